"""Machines, runs, legs, attempts, usage, telemetry and the events of everything."""
