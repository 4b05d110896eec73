"""Beside a scheduler: do what the service wants of this machine, exactly once, and tell what was seen."""
