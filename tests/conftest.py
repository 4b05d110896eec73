"""Fixtures that several rooms share."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from tests.federation_site import federation, first_site  # noqa: F401 - fixtures: real Slurm, started once a session
from tests.team import host  # noqa: F401 - a fixture: computers with environments of their own

# How long an example takes says something of the machine and of what runs beside it, nothing of the code.
settings.register_profile("hanse", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("hanse")
