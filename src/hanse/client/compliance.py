"""Evaluations and releases of a run, told to the service."""

from __future__ import annotations

from hanse.client.http import Connection, parsed
from hanse.contracts.release import Evaluation, Release


def attach(connection: Connection, run: str, evaluation: Evaluation) -> Evaluation:
    """Keep these results with the run; the same file again changes nothing."""
    return parsed(Evaluation, connection.exchange("POST", f"/api/v1/runs/{run}/evaluations", body=evaluation))


def publish(connection: Connection, release: Release) -> Release:
    """Tell that it is published. Raises Conflict where that version is, with another content."""
    return parsed(Release, connection.exchange("POST", f"/api/v1/runs/{release.run_id}/releases", body=release))
