"""Watching the programme: figures for officers, the public register, imports and exports."""
