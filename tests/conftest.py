"""Fixtures that several rooms share."""

from __future__ import annotations

from tests.slurm_site import slurm_site  # noqa: F401 - a fixture: real Slurm, started once a session
