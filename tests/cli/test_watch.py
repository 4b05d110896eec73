"""The picture of a run: what it says at each stage, on a terminal, in a pipe and when the service is away."""

from __future__ import annotations

import io
import re
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from hanse.cli import watch
from hanse.cli.output import ProgramError
from hanse.contracts.errors import ServiceError
from hanse.contracts.record import RunRecord
from hanse.contracts.run import Run
from hanse.contracts.telemetry import StepSummary
from tests.reporting import records


def picture(record: RunRecord, at: datetime | None = None) -> watch.Picture:
    made = watch.Picture(record.run, clock=lambda: at or record.made_at)
    made.learn(record.run, record.telemetry)
    return made


def drawn(made: watch.Picture, width: int = 80) -> str:
    out = Console(file=io.StringIO(), width=width, force_terminal=True, no_color=True, markup=False, highlight=False)
    out.print(made)
    return re.sub("\x1b\\[[0-9;]*m", "", out.file.getvalue())  # type: ignore[attr-defined]


class Service:
    """Answers like the client, from a list of records; an exception in the list is an outage."""

    def __init__(self, *answers: RunRecord | Exception) -> None:
        self.answers = list(answers)
        self.now: RunRecord | Exception = self.answers[0]

    def run(self, id: str) -> Run:
        self.now = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(self.now, Exception):
            raise self.now
        return self.now.run

    def telemetry(self, run: str, after_step: int = 0) -> tuple[StepSummary, ...]:
        assert isinstance(self.now, RunRecord)
        return tuple(row for row in self.now.telemetry if row.step > after_step)


def test_a_running_training_shows_step_loss_speed_and_measured_beside_predicted() -> None:
    said = drawn(picture(records.under_way()))
    assert "▸ running" in said
    assert "step 96 of 240" in said
    assert "left" in said
    assert "tokens/s" in said
    assert "measured, " in said
    assert "predicted (within)" in said


def test_a_waiting_run_says_what_it_waits_for() -> None:
    assert "waiting for the machine" in drawn(picture(records.waiting()))


def test_a_run_whose_agent_is_away_says_when_it_was_last_heard_and_that_the_job_goes_on() -> None:
    record = records.under_way()
    leg = record.run.legs[0]
    heard = leg.attempts[0].model_copy(update={"last_heard_at": record.made_at - timedelta(minutes=10)})
    run = record.run.model_copy(update={"legs": (leg.model_copy(update={"attempts": (heard,)}),)})
    said = drawn(picture(record.model_copy(update={"run": run})), width=200)
    assert "the agent is away, last heard" in said
    assert "the job goes on" in said


def test_what_a_running_attempt_holds_is_counted_once() -> None:
    record = records.under_way()
    leg = record.run.legs[0]
    attempt = leg.attempts[0].model_copy(
        update={"started_at": record.made_at - timedelta(hours=1), "accelerator_seconds": 7000}
    )
    legs = (leg.model_copy(update={"attempts": (attempt,)}),)
    run = record.run.model_copy(update={"legs": legs, "used_accelerator_seconds": 7000})
    assert run.plan is not None
    assert run.plan.layout.world_size == 2
    assert picture(record.model_copy(update={"run": run})).used().startswith("about 2.00\N{NO-BREAK SPACE}GPU-hours")


def test_a_command_has_no_steps_and_shows_none() -> None:
    said = drawn(picture(records.command()))
    assert "step" not in said.lower()
    assert "finished" in said


@pytest.mark.parametrize("width", [40, 60, 200])
@pytest.mark.parametrize("kind", sorted(records.ALL))
def test_no_line_is_wider_than_the_terminal(kind: str, width: int) -> None:
    assert all(cell_len(line) <= width for line in drawn(picture(records.ALL[kind]()), width).splitlines())


def test_in_a_pipe_changes_of_state_are_lines_and_the_end_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "POLL_S", 0.0)
    out = Console(file=io.StringIO(), width=300, markup=False, highlight=False)
    service = Service(records.waiting(), records.under_way(), records.under_way(), records.finished())
    ended = watch.follow(service, records.waiting().run, out)  # type: ignore[arg-type]
    lines = out.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert ended.state == "finished"
    assert [line.split()[1] for line in lines] == ["queued", "running", "finished"]
    assert "step 240 of 240" in lines[-1]


def test_a_service_that_is_away_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "POLL_S", 0.0)
    out = Console(file=io.StringIO(), width=300)
    service = Service(records.under_way(), ServiceError("no route"), records.finished())
    assert watch.follow(service, records.under_way().run, out).state == "finished"  # type: ignore[arg-type]


def test_what_died_while_somebody_watches_is_reached_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "POLL_S", 0.0)
    out = Console(file=io.StringIO(), width=300)
    dead, alive = Service(ServiceError("connection refused")), Service(records.finished())
    ended = watch.follow(dead, records.under_way().run, out, lambda: alive)  # type: ignore[arg-type, return-value]
    assert ended.state == "finished"


def test_what_ctrl_c_leaves_behind_is_told_with_the_ways_back() -> None:
    said = watch.keeps_going(records.under_way().run.id)
    for verb in ("hanse status run-7f3a --watch", "hanse logs run-7f3a -f", "hanse cancel run-7f3a"):
        assert verb in said


@given(values=st.lists(st.floats(0, 100), min_size=1, max_size=300), width=st.integers(1, 80))
def test_a_sparkline_is_never_wider_than_asked_and_the_highest_is_highest(values: list[float], width: int) -> None:
    line = watch.sparkline(values, width)
    assert len(line) == min(width, len(values))
    assert set(line) <= set(watch.BARS)
    if len(values) <= width and max(values) - min(values) > 1e-6:
        assert line[values.index(max(values))] == watch.BARS[-1]
        assert line[values.index(min(values))] == watch.BARS[0]


def test_a_picture_leaves_room_for_the_ctrl_c_a_terminal_writes_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "POLL_S", 0.0)
    out = Console(file=io.StringIO(), width=80, force_terminal=True, no_color=True)
    watch.follow(Service(records.under_way(), records.finished()), records.under_way().run, out)  # type: ignore[arg-type]
    shown = re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", out.file.getvalue())  # type: ignore[attr-defined]
    assert max(len(line) for line in re.split("[\r\n]+", shown)) <= 78


def test_a_service_that_cannot_be_started_again_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "POLL_S", 0.0)
    answers = [ProgramError("The embedded service ended with code 1."), Service(records.finished())]

    def reconnect() -> Service:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    out = Console(file=io.StringIO(), width=300)
    away = Service(ServiceError("no route"))
    assert watch.follow(away, records.under_way().run, out, reconnect).state == "finished"  # type: ignore[arg-type]
