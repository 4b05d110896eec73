"""Notices and mail, invitations, audit of views, and a person's own data."""
