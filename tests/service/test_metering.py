"""Every job of an account stands in the ledger once, whatever order its reports come in; what differs shows."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hanse.client.usage import UsageReport
from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, UsageError
from hanse.contracts.job import FINAL_JOB_STATES, JobReport
from hanse.contracts.site import SiteBudget, SiteJob
from hanse.service.access.models import Allocation
from hanse.service.runs import forecast, metering, reckoning
from hanse.service.runs.forecast import StopAsked
from hanse.service.runs.models import Attempt, Event, SiteJobRow, UsageEntry
from tests.service.fixtures import HOUR, World, a_machine, a_plan, a_spec

pytestmark = pytest.mark.django_db

BEGAN = now().replace(microsecond=0)  # once: two reports of one run give the same second


@pytest.fixture
def metered(world: World) -> World:
    """The world's allocation has a scheduler account."""
    Allocation.objects.filter(pk=world.allocation.pk).update(account="proj1")
    world.allocation.refresh_from_db()
    return world


def a_job(
    job_id: str = "1",
    *,
    state: str = "completed",
    elapsed_s: int = 100,
    accelerators: int = 4,
    name: str = "theirs",
    account: str = "proj1",
    partition: str = "gpu",
    ago: timedelta = timedelta(hours=2),
    energy_joules: int | None = None,
    run: int = 0,
) -> SiteJob:
    began = BEGAN - ago
    ended = began + timedelta(seconds=elapsed_s) if state in FINAL_JOB_STATES else None
    report = JobReport(
        job_id=job_id, name=name, state=state, raw_state=state.upper(), submitted_at=began + timedelta(seconds=run),
        started_at=began, ended_at=ended, elapsed_s=elapsed_s, accelerators=accelerators, energy_joules=energy_joules,
    )  # fmt: skip
    return SiteJob(report=report, account=account, user="ada", partition=partition)


def used(world: World) -> int:
    return int(world.balance().used_accelerator_seconds)


def report(world: World) -> UsageReport:
    return reckoning.report(
        Allocation.objects.with_balance().select_related("machine", "project").get(pk=world.allocation.pk)
    )


def test_a_strangers_job_of_the_account_is_charged_once_and_noted(metered: World) -> None:
    for _ in range(3):
        metering.take_jobs(metered.machine, [a_job("77")])
    [entry] = UsageEntry.objects.all()
    assert (entry.kind, entry.accelerator_seconds, entry.attempt) == ("site", 400, None)
    assert "job 77 of ada in account proj1" in entry.note
    assert used(metered) == 400 and metered.events("agent:usage:site") == 1


def test_a_running_job_that_ends_is_corrected_by_a_new_entry(metered: World) -> None:
    metering.take_jobs(metered.machine, [a_job(state="running", elapsed_s=60)])
    metering.take_jobs(metered.machine, [a_job(elapsed_s=100)])
    assert list(UsageEntry.objects.values_list("accelerator_seconds", flat=True)) == [240, 160]


def test_each_run_of_a_requeued_job_is_charged(metered: World) -> None:
    metering.take_jobs(metered.machine, [a_job(elapsed_s=3, run=0), a_job(elapsed_s=25, run=10)])
    assert used(metered) == 28 * 4


def test_our_own_job_is_compared_not_counted_twice(metered: World) -> None:
    attempt = metered.attempt(metered.launch())
    ours = a_job("9", name=f"hanse-{attempt.public_id}", elapsed_s=102, accelerators=1)
    metering.take_jobs(metered.machine, [ours])
    metered.agent.report(attempt, "running", step=1)
    metered.agent.report(attempt, "finished", step=100, accelerator_seconds=100, exit_code=0)
    metering.take_jobs(metered.machine, [ours])
    metering.settle_attempts()
    assert used(metered) == 100 and not UsageEntry.objects.filter(kind="site").exists()
    found = report(metered).drift
    assert found is not None and found.attempts_accelerator_seconds == 2
    assert (found.ledger_accelerator_seconds, found.jobs_accelerator_seconds) == (100, 102)


def test_a_job_of_an_attempt_that_was_never_debited_is_charged_when_the_attempt_has_ended(metered: World) -> None:
    attempt = metered.attempt(metered.launch())
    metering.take_jobs(metered.machine, [a_job("9", name=f"hanse-{attempt.public_id}", accelerators=1)])
    assert used(metered) == 0
    Attempt.objects.filter(pk=attempt.pk).update(state="cancelled")
    assert metering.settle_attempts() == 1
    assert metering.settle_attempts() == 0
    assert used(metered) == 100


def test_jobs_of_other_accounts_partitions_and_times_are_charged_to_nobody(metered: World) -> None:
    Allocation.objects.filter(pk=metered.allocation.pk).update(partition="gpu")
    jobs = [a_job("1", account="other"), a_job("2", partition="cpu"), a_job("3", ago=timedelta(days=40))]
    metering.take_jobs(metered.machine, jobs)
    assert used(metered) == 0
    assert sorted(SiteJobRow.objects.values_list("job_id", flat=True)) == ["2", "3"]
    found = report(metered).drift
    assert found is not None and "2 of the account's jobs lie outside every allocation" in found.note


def test_where_several_allocations_fit_the_first_that_opened_pays_and_the_entry_says_so(metered: World) -> None:
    first = metered.allocation
    later = Allocation.open(
        by="test", project=first.project, machine=first.machine, granted_accelerator_seconds=HOUR, account="proj1",
        starts=first.starts, ends=first.ends,
    )  # fmt: skip
    metering.take_jobs(metered.machine, [a_job()])
    [entry] = UsageEntry.objects.all()
    assert entry.allocation == first != later and "several allocations fit" in entry.note


def test_energy_is_the_sites_or_an_estimate_that_says_so(metered: World) -> None:
    metered.agent.hello(a_machine(node_watts=1000.0, pue=1.2, accelerators_per_node=4))
    metered.machine.refresh_from_db()
    metering.take_jobs(metered.machine, [a_job("1", energy_joules=5000), a_job("2")])
    told = dict(UsageEntry.objects.values_list("energy_estimated", "energy_joules"))
    assert told == {False: 5000, True: round(100 * 1000 * 1.2)}
    sums = report(metered)
    assert (sums.energy_joules_counted, sums.energy_joules_estimated) == (5000, 120_000)


def test_accounts_asked_after_are_those_of_allocations_that_have_not_long_ended(metered: World) -> None:
    assert metering.accounts_of(metered.machine) == ("proj1",)
    Allocation.objects.update(ends=now().date() - timedelta(days=30))
    assert metering.accounts_of(metered.machine) == ()


def test_the_ledger_is_held_against_the_sites_counter_since_that_was_set_to_nothing(metered: World) -> None:
    metering.take_jobs(metered.machine, [a_job("1", ago=timedelta(hours=20)), a_job("2", ago=timedelta(hours=2))])
    at = now()
    budget = SiteBudget(
        account="proj1",
        at=at,
        used=7.0,
        unit="GPU-minutes",
        used_accelerator_seconds=420,
        since=at - timedelta(hours=9),
    )
    metering.take_budgets(metered.machine, [budget, budget.model_copy(update={"at": at - timedelta(hours=1)})])
    found = report(metered).drift
    assert found is not None and found.ledger_accelerator_seconds == 400 and found.ledger_over_counter == -20
    assert found.counter == "7.00000 GPU-minutes" or found.counter == "7 GPU-minutes"


reports = st.builds(
    lambda job, run, elapsed, ended: (job, run, elapsed, ended),
    st.integers(1, 3), st.integers(0, 1), st.integers(1, 50), st.booleans(),
)  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=st.lists(reports, min_size=1, max_size=8), data=st.data())
def test_reports_in_any_order_and_repeated_come_to_the_same_sum(metered: World, said: Any, data: st.DataObject) -> None:
    base = datetime(2026, 1, 1, tzinfo=UTC)
    jobs = []
    for number, run, elapsed_s, ended in said:
        seen = a_job(str(number), run=run, elapsed_s=elapsed_s, state="completed" if ended else "running")
        fixed = seen.report.model_copy(
            update={
                "submitted_at": base + timedelta(seconds=run),
                "started_at": now(),
                "ended_at": base + timedelta(seconds=elapsed_s) if ended else None,
            }
        )
        jobs.append(seen.model_copy(update={"report": fixed}))
    expected = 0
    for _, group in itertools.groupby(
        sorted(jobs, key=lambda job: (job.report.job_id, job.report.submitted_at)),
        key=lambda job: (job.report.job_id, job.report.submitted_at),
    ):
        expected += max(group, key=metering._rank).report.accelerator_seconds
    sums = set()
    for _ in range(2):
        replay = data.draw(st.permutations([*jobs, *data.draw(st.lists(st.sampled_from(jobs), max_size=4))]))
        with transaction.atomic():
            for seen in replay:
                metering.take_jobs(metered.machine, [seen])
            balance = metered.balance()
            sums.add(balance.used_accelerator_seconds)
            assert balance.granted_accelerator_seconds == (
                balance.used_accelerator_seconds
                + balance.reserved_accelerator_seconds
                + balance.free_accelerator_seconds
            )
            kept = UsageEntry.objects.filter(allocation=metered.allocation)
            assert sum(kept.values_list("accelerator_seconds", flat=True)) == balance.used_accelerator_seconds
            transaction.set_rollback(True)
    assert sums == {expected}


def test_a_correction_is_a_new_entry_with_its_reason_and_made_once_a_key(metered: World) -> None:
    metering.take_jobs(metered.machine, [a_job()])
    for _ in range(2):
        UsageEntry.correct(metered.allocation, -100, by="officer", reason="a node had failed", key="k1")
    assert used(metered) == 300
    assert UsageEntry.objects.get(kind="correction").note == "a node had failed (officer)"
    with pytest.raises(Conflict):
        UsageEntry.correct(metered.allocation, -200, by="officer", reason="a node had failed", key="k1")
    with pytest.raises(UsageError):
        UsageEntry.correct(metered.allocation, -200, by="officer", reason=" ")
    with pytest.raises(TypeError):
        UsageEntry.objects.update(accelerator_seconds=0)


def test_the_api_tells_entries_sums_and_forecast_and_takes_corrections_of_those_who_may(metered: World) -> None:
    metering.take_jobs(metered.machine, [a_job("1"), a_job("2")])
    path = f"/api/v1/allocations/{metered.allocation.public_id}"

    def ask(person: Any, what: str, body: dict[str, object] | None = None) -> Any:
        client, headers = Client(), {"authorization": f"Bearer {metered.token(person)}", "idempotency-key": "one"}
        if body is None:
            return client.get(f"{path}/{what}", headers=headers)
        return client.post(f"{path}/{what}", body, content_type="application/json", headers=headers)

    told = ask(metered.founder, "usage?limit=1")
    assert told.status_code == 200, told.content
    found = UsageReport.model_validate_json(told.content)
    assert found.count == 2 and len(found.items) == 1 and found.by_kind == {"site": 800}
    assert sum(day.accelerator_seconds for day in found.by_day) == 800
    assert ask(metered.stranger, "usage").status_code == 404
    change = {"accelerator_seconds": -300, "reason": "the file system was away"}
    assert ask(metered.founder, "corrections", change).status_code == 403
    assert ask(metered.operator, "corrections", change).status_code == 201
    assert ask(metered.operator, "corrections", change).status_code == 201
    assert used(metered) == 500
    assert ask(metered.officer, "corrections", change | {"reason": ""}).status_code == 422


def test_warnings_are_given_once_each(metered: World) -> None:
    assert forecast.warn() == 0
    UsageEntry.correct(metered.allocation, 81 * HOUR, by="x", reason="y")
    assert forecast.warn() == 1 and forecast.warn() == 0
    UsageEntry.correct(metered.allocation, 20 * HOUR, by="x", reason="y")
    assert forecast.warn() == 2, "95 % and overshot"
    assert forecast.warn(now() + timedelta(days=20)) == 1, "it ends within two weeks"
    assert Event.objects.filter(name="tick:allocation:overshot").get().data == {"accelerator_seconds": HOUR}


def test_attempts_that_fit_in_their_reservation_are_left_alone(metered: World) -> None:
    run = metered.launch(a_spec(), a_plan(nodes=2))
    metered.agent.report(metered.attempt(run), "running", step=1, started_at=now() - timedelta(minutes=59))
    assert forecast.stop_in_time() == 0


def test_when_strangers_eat_the_hours_a_running_attempt_is_asked_to_stop_while_a_checkpoint_fits_in(
    metered: World,
) -> None:
    run = metered.launch(a_spec(), a_plan(nodes=2))
    attempt = metered.attempt(run)
    began = now()
    metered.agent.report(attempt, "running", step=1, started_at=began)
    left = metered.balance().granted_accelerator_seconds
    UsageEntry.correct(metered.allocation, left - 2000, by="test", reason="strangers used nearly all")
    assert forecast.stop_in_time(began) == 0, "2,000 are left, and two accelerators take 840 while they save"
    revision = Attempt.objects.get(pk=attempt.pk).revision
    assert forecast.stop_in_time(began + timedelta(seconds=600)) == 1
    assert forecast.stop_in_time(began + timedelta(seconds=610)) == 0
    assert "nearly used up" in StopAsked.because_of(attempt)
    assert Attempt.objects.get(pk=attempt.pk).revision > revision
    metered.agent.report(attempt, "stopped", step=40, accelerator_seconds=1950, reason="asked to stop")
    run.refresh_from_db()
    assert run.state == "failed" and run.reason.startswith(f"The hours of {metered.allocation.public_id} are nearly")
    assert "asked to stop; its last checkpoint is kept" in run.reason


def test_the_forecast_says_when_hours_run_out_or_how_many_are_left_over() -> None:
    today = datetime(2026, 11, 22, tzinfo=UTC).date()
    days = {today - timedelta(days=back): 10 * HOUR for back in range(14)}
    common: dict[str, Any] = {"used": 140 * HOUR, "reserved": 0, "by_day": days, "today": today}
    dates = {"starts": today - timedelta(days=30), "ends": today + timedelta(days=20)}
    short = forecast.forecast(granted=200 * HOUR, **common, **dates)
    assert short.runs_out_on == today + timedelta(days=6) and "run out on 28 November 2026" in short.sentences[0]
    ample = forecast.forecast(granted=1000 * HOUR, **common, **dates)
    assert ample.runs_out_on is None and ample.unused_accelerator_seconds == 660 * HOUR
    spent = forecast.forecast(granted=100 * HOUR, **common, **dates)
    assert spent.runs_out_on == today and spent.sentences == ("The hours are used up.",)
