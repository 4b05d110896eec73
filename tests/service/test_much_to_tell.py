"""An agent that hears of very much at once hears of it in parts, each once, and nothing is read for each again."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from hanse.service.runs import attempts
from hanse.service.runs.attempts import Attempt
from tests.service.fixtures import World

pytestmark = pytest.mark.django_db


def test_many_launches_are_told_in_parts_each_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "MOST_TOLD", 2)
    world.launch()
    cursor = world.agent.sync(cursor=0).cursor
    launched = [world.launch().public_id for _ in range(5)]
    told: list[list[str]] = []
    while (answer := world.agent.sync(cursor=cursor)).assignments:
        told.append([each.run_id for each in answer.assignments])
        cursor = answer.cursor
    assert [len(part) for part in told] == [2, 2, 1]
    assert [run for part in told for run in part] == launched
    assert len(world.agent.sync(cursor=0).assignments) == 6, "whoever knows nothing hears of everything"


def test_what_is_told_of_more_attempts_takes_no_more_queries(world: World) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            Attempt.offer(world.machine, 0)
        return len(asked)

    world.launch()
    Attempt.offer(world.machine, 0)
    few: Any = queries()
    for _ in range(4):
        world.launch()
    Attempt.offer(world.machine, 0)
    assert queries() == few
