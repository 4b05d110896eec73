"""The meter tells every job of an account once, again when it has changed, and forgets nothing when it starts anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hanse.agent.meter import FIRST_WINDOW, OVERLAP, RUNNING_EVERY, Meter
from hanse.contracts.errors import SchedulerUnknown
from hanse.contracts.job import JobReport
from hanse.contracts.site import SiteJob

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def a_job(job_id: str = "1", *, elapsed_s: float = 60, state: str = "completed", started: bool = True) -> SiteJob:
    report = JobReport(
        job_id=job_id, name="theirs", state=state, raw_state=state.upper(), submitted_at=AT, elapsed_s=elapsed_s,
        started_at=AT if started else None, accelerators=4,
    )  # fmt: skip
    return SiteJob(report=report, account="proj1", user="ada", partition="gpu")


@dataclass
class Desk:
    """A scheduler's accounting in the test's hand."""

    jobs: tuple[SiteJob, ...] = ()
    away: bool = False
    asked: list[datetime] = field(default_factory=list)

    def accounting(self, _accounts: Sequence[str], since: datetime) -> tuple[SiteJob, ...]:
        self.asked.append(since)
        if self.away:
            raise SchedulerUnknown("slurmdbd is away")
        return self.jobs


@pytest.fixture
def desk() -> Desk:
    return Desk(jobs=(a_job(),))


@pytest.fixture
def meter(desk: Desk, tmp_path: Path) -> Iterator[Meter]:
    meter = Meter(desk, tmp_path / "meter.sqlite3")
    yield meter
    meter.close()


def test_a_job_is_told_until_the_service_has_it_and_then_only_if_it_changes(meter: Meter, desk: Desk) -> None:
    first = meter.look(("proj1",), AT)
    assert first == desk.jobs
    assert meter.look(("proj1",), AT + MINUTE) == first, "told again while nobody took it"
    meter.told(first)
    assert meter.look(("proj1",), AT + 2 * MINUTE) == ()
    desk.jobs = (a_job(elapsed_s=61),)
    assert meter.look(("proj1",), AT + 3 * MINUTE) == desk.jobs


def test_accounting_is_asked_at_most_once_a_minute_and_with_an_overlap(meter: Meter, desk: Desk) -> None:
    for seconds in (0, 2, 59, 60, 61):
        meter.look(("proj1",), AT + timedelta(seconds=seconds))
    assert desk.asked == [AT - FIRST_WINDOW, AT - OVERLAP]
    meter.look(("proj1", "proj2"), AT + 2 * MINUTE)
    assert desk.asked[-1] == AT + 2 * MINUTE - FIRST_WINDOW, "an account never asked after is read from its beginning"
    meter.look((), AT + 9 * MINUTE)
    assert len(desk.asked) == 3


def test_accounting_that_is_away_loses_nothing(meter: Meter, desk: Desk) -> None:
    desk.away = True
    assert meter.look(("proj1",), AT) == ()
    desk.away = False
    assert meter.look(("proj1",), AT + MINUTE) == desk.jobs
    assert desk.asked[-1] == AT + MINUTE - FIRST_WINDOW


def test_a_meter_that_starts_anew_tells_what_was_not_told_and_no_more(desk: Desk, tmp_path: Path) -> None:
    desk.jobs = (a_job("1"), a_job("2"))
    before = Meter(desk, tmp_path / "meter.sqlite3")
    before.told(before.look(("proj1",), AT)[:1])
    before.close()
    after = Meter(desk, tmp_path / "meter.sqlite3")
    assert [job.report.job_id for job in after.look(("proj1",), AT + MINUTE)] == ["2"]
    after.close()


def test_a_running_job_is_told_now_and_then_and_its_end_at_once(meter: Meter, desk: Desk) -> None:
    desk.jobs = (a_job(state="running", elapsed_s=5),)
    meter.told(meter.look(("proj1",), AT), AT)
    desk.jobs = (a_job(state="running", elapsed_s=65),)
    assert meter.look(("proj1",), AT + MINUTE) == ()
    assert meter.look(("proj1",), AT + RUNNING_EVERY) == desk.jobs
    meter.told(desk.jobs, AT + RUNNING_EVERY)
    desk.jobs = (a_job(elapsed_s=700),)
    assert meter.look(("proj1",), AT + RUNNING_EVERY + MINUTE) == desk.jobs


def test_a_job_that_never_started_is_not_told(meter: Meter, desk: Desk) -> None:
    desk.jobs = (a_job(state="cancelled", elapsed_s=0, started=False),)
    assert meter.look(("proj1",), AT) == ()
