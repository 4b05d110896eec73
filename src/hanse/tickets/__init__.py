"""Tickets: what one attempt may do, signed by the service and checked offline by agents, jobs and data loaders."""
