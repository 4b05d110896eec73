"""Events are told as sentences people say, each with what matters of its data."""

from __future__ import annotations

import pytest

from hanse.contracts.base import now
from hanse.contracts.event import Event
from hanse.contracts.units import NBSP
from hanse.reporting.happenings import told


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("user:run:launched", {"allocation": "alc-1"}, "The run was launched on allocation alc-1"),
        ("service:attempt:planned", {"reserved": 1800}, "Attempt 2 planned, 0.500 GPU-hours reserved for it"),
        ("agent:attempt:queued", {"job": "17"}, "Attempt 2 handed to the scheduler as job 17"),
        ("agent:attempt:running", {"job": "17"}, "Attempt 2 started"),
        ("agent:attempt:finished", {"step": 500}, "Attempt 2 finished at step 500"),
        ("agent:attempt:stopped", {"step": 1200}, "Attempt 2 stopped with a checkpoint at step 1,200"),
        ("agent:attempt:unknown", {}, "The scheduler does not mention attempt 2"),
        ("agent:run:result", {"steps": 500}, "The result was received, after 500 steps"),
        ("agent:usage:measured", {"accelerator_seconds": 382}, "Charged 0.106 GPU-hours for attempt 2"),
        ("user:run:cancelling", {}, "The run was asked to stop"),
        ("officer:application:declined", {}, "The application was not granted"),
        ("service:login-link:issued", {}, "Login link issued"),
    ],
)
def test_an_event_is_told_in_words(name: str, data: dict[str, str | int | float | bool | None], said: str) -> None:
    event = Event(name=name, subject_id="x", actor="ada", at=now(), data=data)
    assert told(event, 2).replace(NBSP, " ") == said
