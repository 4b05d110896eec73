"""Fixtures that several rooms share."""

from __future__ import annotations

from tests.federation_site import federation, first_site  # noqa: F401 - fixtures: real Slurm, started once a session
from tests.team import host  # noqa: F401 - a fixture: computers with environments of their own
