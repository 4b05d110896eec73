"""Runs at a glance: what a list shows of each, and a reader that needs no contract.

`hanse status` is typed more often than anything else, and importing the validators of Run, with its whole spec and
plan, takes longer than asking for it. A summary is a plain value instead; the service answers with this same class.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hanse.client.http import Connection, misfit

MOST = 100
"""Runs a list holds at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    id: str
    name: str
    state: str
    """A RunState's word."""
    step: int
    steps: int
    """0 for a command, which has none."""
    used_accelerator_seconds: int
    machines: tuple[str, ...]
    created_at: datetime


def run_summaries(connection: Connection, limit: int = 50) -> tuple[RunSummary, ...]:
    """The latest runs, newest first."""
    answer = connection.exchange("GET", "/api/v1/run-summaries", params={"limit": min(limit, MOST)})
    try:
        return tuple(_read(item) for item in json.loads(answer.content)["items"])
    except (KeyError, TypeError, ValueError) as error:
        raise misfit(RunSummary, answer, f"{type(error).__name__} {error}") from error


def _read(item: dict[str, Any]) -> RunSummary:
    plain = {**item, "machines": tuple(item["machines"]), "created_at": datetime.fromisoformat(item["created_at"])}
    return RunSummary(**plain)
