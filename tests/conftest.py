"""Fixtures that several rooms share."""

from __future__ import annotations

from tests.federation_site import federation, first_site  # noqa: F401 - fixtures: real Slurm, started once a session
