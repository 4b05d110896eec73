"""Drafts, calls and how they are written: pages, API, paper, languages."""
