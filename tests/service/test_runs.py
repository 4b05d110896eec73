"""A run from launch to its end, through whatever its attempts meet."""

from __future__ import annotations

from datetime import timedelta

import pytest

from hanse.client.answers import LaunchRequest
from hanse.contracts.agentapi import LogChunk as SentLog
from hanse.contracts.agentapi import RunResultReport, SyncRequest, TelemetryBatch
from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, PolicyError, UsageError
from hanse.contracts.plan import Plan
from hanse.contracts.spec import CommandSpec, DatasetSpec, TrainSpec
from hanse.contracts.telemetry import TrainResult
from hanse.service.access.models import Allocation
from hanse.service.runs import issue
from hanse.service.runs.launch import launch
from hanse.service.runs.models import Attempt, CodeBundle, Event, Leg, LogChunk, Run, StepRow, UsageEntry
from hanse.service.runs.record import record_of
from hanse.service.runs.sync import sync
from hanse.tickets import signing
from tests.service.fixtures import HOUR, World, a_machine, a_plan, a_row, a_spec

pytestmark = pytest.mark.django_db


def finish(world: World, run: Run, seconds: int = 100) -> None:
    world.agent.report(world.attempt(run), "finished", step=100, accelerator_seconds=seconds, exit_code=0)
    run.refresh_from_db()


def offloaded(plan: Plan) -> Plan:
    return plan.model_copy(update={"layout": plan.layout.model_copy(update={"offload": True})})


def test_a_run_goes_from_launch_to_finished_and_is_debited_what_the_scheduler_measured(world: World) -> None:
    run = world.launch()
    [assignment] = world.agent.sync().assignments
    assert assignment.desired == "run" and assignment.job.name == f"hanse-{assignment.attempt_id}"
    assert [step.name for step in assignment.job.steps] == ["prepare", "train"]
    world.agent.report(assignment.attempt_id, "queued")
    world.agent.report(assignment.attempt_id, "running", step=3, accelerator_seconds=20)
    assert Run.objects.whole().get().contract().state == "running"
    assert Run.objects.whole().get().contract().used_accelerator_seconds == 20
    finish(world, run, seconds=612)
    assert run.state == "finished" and run.ended_at
    assert world.balance().used_accelerator_seconds == 612
    assert world.balance().reserved_accelerator_seconds == 0
    assert world.agent.sync().assignments == ()


def test_a_training_stopped_at_its_wall_time_goes_on_in_a_next_attempt(world: World) -> None:
    run = world.launch()
    world.agent.report(world.attempt(run), "running", step=1)
    world.agent.report(world.attempt(run), "stopped", step=40, accelerator_seconds=7200, reason="wall time")
    run.refresh_from_db()
    assert (run.state, world.attempt(run).number) == ("queued", 2)
    finish(world, run)
    assert run.state == "finished"
    assert sorted(UsageEntry.objects.values_list("accelerator_seconds", flat=True)) == [100, 7200]


def test_a_run_that_fails_after_progress_goes_on_to_a_next_attempt(world: World) -> None:
    run = world.launch()
    world.agent.report(world.attempt(run), "failed", step=20, accelerator_seconds=50, exit_code=137, error="killed")
    run.refresh_from_db()
    assert (run.state, world.attempt(run).number) == ("queued", 2)


def test_three_failures_in_a_row_without_a_step_of_progress_fail_the_run_with_the_last_line(world: World) -> None:
    run = world.launch()
    for _ in range(3):
        assert run.state == "queued"
        world.agent.report(world.attempt(run), "failed", accelerator_seconds=2, error="Traceback\nno such module: x")
        run.refresh_from_db()
    assert run.state == "failed"
    assert "3 attempts in a row" in run.reason and run.reason.endswith("no such module: x")


def test_failures_that_each_get_further_are_not_rapid_and_end_with_the_attempts_allowed(world: World) -> None:
    run = world.launch(a_spec(where={"max_attempts": 4}))
    for number in range(1, 5):
        world.agent.report(world.attempt(run), "failed", step=10 * number, accelerator_seconds=2)
    run.refresh_from_db()
    assert run.state == "failed" and "All 4 attempts" in run.reason


def test_a_command_that_ends_badly_is_not_repeated(world: World) -> None:
    run = launch_command(world)
    job = world.attempt(run).job
    assert [s.name for s in job.steps] == ["command"] and job.uses_code_bundle
    assert job.steps[0].argv == ("bash", "-c", "make all")
    world.agent.report(world.attempt(run), "failed", accelerator_seconds=2, exit_code=2, error="make: *** No rule")
    run.refresh_from_db()
    assert run.state == "failed" and "exit code 2" in run.reason


def launch_command(world: World) -> Run:
    CodeBundle.objects.create(sha256="a" * 64, size_bytes=1, uploaded_by=world.founder)
    spec = TrainSpec(name="cmd", command=CommandSpec(run="make all"), where=a_spec().where)
    asked = LaunchRequest(
        spec=spec, allocation=world.allocation.public_id, machine="local", code_sha256="a" * 64
    )  # fmt: skip
    return launch(world.founder, asked)


def test_a_command_without_its_folder_is_refused_before_anything_is_stored(world: World) -> None:
    spec = TrainSpec(name="cmd", command=CommandSpec(run="make all"), where=a_spec().where)
    with pytest.raises(UsageError, match="uploaded"):
        launch(world.founder, LaunchRequest(spec=spec, allocation=world.allocation.public_id, machine="local"))
    assert not Run.objects.exists()


def test_an_unknown_attempt_is_kept_reserved_and_never_resubmitted(world: World) -> None:
    run = world.launch()
    world.agent.report(world.attempt(run), "running", step=5)
    reserved = world.balance().reserved_accelerator_seconds
    world.agent.report(world.attempt(run), "unknown", reason="the scheduler does not mention it")
    run.refresh_from_db()
    assert (run.state, Attempt.objects.count()) == ("running", 1)
    assert world.balance().reserved_accelerator_seconds == reserved > 0
    world.agent.report(world.attempt(run), "running", step=6)
    assert world.attempt(run).state == "running"


def test_hours_that_ran_out_end_the_run_in_plain_words(world: World) -> None:
    run = world.launch(a_spec(where={"max_gpu_hours": 2.0}))
    world.agent.report(world.attempt(run), "stopped", step=50, accelerator_seconds=2 * HOUR)
    run.refresh_from_db()
    assert run.state == "failed" and "hours are used up" in run.reason


def test_the_wall_time_of_an_attempt_is_cut_to_the_hours_that_are_left(world: World) -> None:
    run = world.launch(a_spec(where={"max_gpu_hours": 0.5}))
    assert world.attempt(run).job.wall_time_s == 900
    assert world.attempt(run).ticket.ticket.max_accelerator_seconds == 1800
    world.agent.report(world.attempt(run), "stopped", step=9, accelerator_seconds=1000)
    assert world.attempt(run, 2).job.wall_time_s == 400


def test_a_cancelled_run_asks_the_agent_and_ends_when_the_job_has_ended(world: World) -> None:
    run = world.launch()
    world.agent.sync()
    run.cancel(by="founder", reason="wrong data")
    assert run.state == "cancelling"
    [assignment] = world.agent.sync().assignments
    assert assignment.desired == "cancel"
    world.agent.report(assignment.attempt_id, "cancelled", accelerator_seconds=7)
    run.refresh_from_db()
    assert run.state == "cancelled" and Attempt.objects.count() == 1
    assert run.reason == "wrong data"
    assert world.balance().used_accelerator_seconds == 7


def test_a_run_cancelled_before_any_agent_was_told_ends_at_once_and_costs_nothing(world: World) -> None:
    run = world.launch()
    run.cancel(by="founder")
    assert (run.state, world.attempt(run).state) == ("cancelled", "cancelled")
    assert world.agent.sync().assignments == ()
    assert not UsageEntry.objects.exists()


def test_a_run_that_finishes_while_it_is_being_cancelled_is_finished(world: World) -> None:
    run = world.launch()
    world.agent.sync()
    run.cancel(by="founder")
    finish(world, run)
    assert run.state == "finished"


def test_cancelling_twice_is_once_and_cancelling_an_ended_run_is_a_conflict(world: World) -> None:
    run = world.launch()
    world.agent.sync()
    run.cancel(by="founder")
    run.cancel(by="founder")
    assert world.events("user:run:cancelling") == 1
    finish(world, run)
    with pytest.raises(Conflict, match="already finished"):
        run.cancel(by="founder")


def test_a_job_cancelled_at_the_machine_cancels_the_run_and_says_so(world: World) -> None:
    run = world.launch()
    world.agent.report(world.attempt(run), "cancelled", raw_state="CANCELLED by 1000", accelerator_seconds=3)
    run.refresh_from_db()
    assert run.state == "cancelled" and "not through Hanse" in run.reason


def test_the_ticket_verifies_offline_and_says_what_the_job_may(world: World) -> None:
    run = world.launch()
    attempt = world.attempt(run)
    ticket = signing.verify(attempt.ticket, issue.public_key(), at=now() + timedelta(days=20))
    assert (ticket.max_nodes, ticket.max_wall_time_s, ticket.max_accelerator_seconds) == (2, HOUR, 2 * HOUR)
    assert ticket.spec_hash == a_spec().digest() and ticket.datasets[0].source == "python-stdlib"


def test_a_doubled_job_is_charged_with_its_attempt_and_named(world: World) -> None:
    run = world.launch()
    world.agent.report(
        world.attempt(run), "finished", accelerator_seconds=100, doubled_jobs=("77",), doubled_accelerator_seconds=4
    )
    entry = UsageEntry.objects.get()
    assert entry.accelerator_seconds == 104 and "77" in entry.note


def test_a_result_telemetry_and_log_arrive_once_however_often_they_are_sent(world: World) -> None:
    run = world.launch()
    attempt = world.attempt(run)
    result = TrainResult(
        steps=100, tokens=51_200, final_loss=1.0, unigram_entropy=4.0, vocab=512, parameters=100_000,
        dataset_tokens=10**6, training_s=60, finished_at=now(),
    )  # fmt: skip
    sent = SyncRequest(
        epoch=world.agent.epoch,
        telemetry=(TelemetryBatch(attempt_id=attempt.public_id, rows=(a_row(1), a_row(2))),),
        logs=tuple(SentLog(attempt_id=attempt.public_id, offset=o, text=t) for o, t in ((0, "hé"), (3, "llo\n"))),
        results=(RunResultReport(run_id=run.public_id, result=result),),
    )  # fmt: skip
    for _ in range(3):
        sync(world.machine, sent)
    run.refresh_from_db()
    assert run.result == result and world.events("agent:run:result") == 1
    assert StepRow.objects.count() == 2 and world.attempt(run).last_step == 2
    assert LogChunk.read(run, 0).text == "héllo\n"


def test_log_chunks_cut_otherwise_after_a_restart_join_without_a_gap_or_a_repeat(world: World) -> None:
    run = world.launch()
    attempt = world.attempt(run)
    text = "zero one two three four five\n"
    for start, end in ((0, 10), (4, 14), (0, 5), (14, len(text)), (0, len(text))):
        LogChunk.store(attempt, start, text[start:end])
    assert LogChunk.read(run, 0).text == text


def test_reading_the_log_follows_from_one_attempt_into_the_next(world: World) -> None:
    run = world.launch()
    LogChunk.store(world.attempt(run), 0, "first\n")
    world.agent.report(world.attempt(run), "failed", step=3, accelerator_seconds=1)
    first = LogChunk.read(run, 0)
    assert (first.text, first.attempt) == ("first\n", 1)
    assert LogChunk.read(run, first.next_offset).text == ""
    LogChunk.store(world.attempt(run), 0, "second\n")
    second = LogChunk.read(run, first.next_offset)
    assert (second.text, second.attempt) == ("second\n", 2)
    assert LogChunk.read(run, second.next_offset).next_offset == second.next_offset


def test_a_row_whose_loss_is_not_a_number_does_not_poison_the_record(world: World) -> None:
    run = world.launch()
    StepRow.store(world.attempt(run), (a_row(1), a_row(2, loss=float("nan"))))
    assert [row.step for row in record_of(run).telemetry] == [1]


def test_the_record_keeps_the_last_attempts_row_of_a_step_and_thins_evenly(world: World) -> None:
    run = world.launch()
    StepRow.store(world.attempt(run), [a_row(step) for step in range(1, 31)])
    world.agent.report(world.attempt(run), "failed", step=30, accelerator_seconds=1)
    StepRow.store(world.attempt(run), [a_row(step, attempt=2) for step in range(21, 41)])
    kept = StepRow.thinned(run)
    assert [row.step for row in kept] == list(range(1, 41))
    assert {row.attempt for row in kept if row.step > 20} == {2}
    thin = [row.step for row in StepRow.thinned(run, limit=5)]
    assert len(thin) == 5 and thin[0] == 1 and thin[-1] == 40


def test_the_record_of_a_run_holds_everything_a_report_needs(world: World) -> None:
    run = world.launch()
    finish(world, run)
    record = record_of(Run.objects.whole().get(pk=run.pk))
    assert record.run.state == "finished" and record.machines[0].id == "local"
    assert record.allocations[0].used_accelerator_seconds == 100
    assert record.admission and record.admission.verdict == "allow"
    names = [event.name for event in record.events]
    assert names[0] == "user:run:launched" and names[-1] == "service:run:finished"
    assert "agent:usage:measured" in names and len(record.usage) == 1


@pytest.mark.parametrize(
    ("spec", "plan", "says"),
    [
        (a_spec(data=(DatasetSpec(name="p", source="x", licence="y", personal_data=True),)), a_plan(), "personal data"),
        (a_spec(where={"max_gpu_hours": 0.1}), a_plan(accelerator_seconds=2 * HOUR), "max_gpu_hours"),
        (a_spec(where={"max_gpu_hours": 1000.0}), a_plan(accelerator_seconds=200 * HOUR), "are free"),
        (a_spec(), a_plan(nodes=8), "at most 4"),
        (a_spec(where={"machines": ("lumi",)}), a_plan(), "where.machines names lumi"),
        (a_spec(training="lora"), a_plan(), "begins from weights"),
        (a_spec(), offloaded(a_plan()), "keeps the optimiser's state on the accelerator"),
    ],
)
def test_admission_denies_with_a_reason_and_stores_nothing_but_the_event(
    world: World, spec: TrainSpec, plan: object, says: str
) -> None:
    with pytest.raises(PolicyError) as refusal:
        world.launch(spec, plan)
    assert any(says in finding.reason for finding in refusal.value.findings if finding.verdict == "deny")
    assert not Run.objects.exists() and world.events("service:run:refused") == 1


def test_a_run_that_may_outlast_its_hours_is_admitted_on_a_condition_that_stands_in_its_ticket(world: World) -> None:
    plan = a_plan(accelerator_seconds=HOUR)
    slow = plan.model_copy(update={"wall_time_s": plan.wall_time_s.model_copy(update={"high": 4.0 * HOUR})})
    run = world.launch(a_spec(where={"max_gpu_hours": 2.0}), slow)
    assert run.admission.verdict == "condition"
    assert "finished or not" in world.attempt(run).ticket.ticket.conditions[0]


@pytest.mark.parametrize("days", [-2, 40])
def test_an_allocation_outside_its_dates_takes_no_run(world: World, days: int) -> None:
    Allocation.objects.update(starts=now().date() + timedelta(days=days), ends=now().date() + timedelta(days=days))
    with pytest.raises(PolicyError, match="may not start"):
        world.launch()


def test_a_machine_that_wants_an_account_takes_no_run_without_one(world: World) -> None:
    facts = a_machine()
    world.agent.hello(
        facts.model_copy(update={"scheduler": facts.scheduler.model_copy(update={"account_required": True})})
    )
    with pytest.raises(PolicyError) as refusal:
        world.launch()
    assert "account" in refusal.value.history[0]


def test_reservation_keeps_a_second_launch_from_spending_the_same_hours(world: World) -> None:
    Allocation.objects.update(granted_accelerator_seconds=2 * HOUR)
    first = world.launch()
    assert world.balance().free_accelerator_seconds == 0
    with pytest.raises(PolicyError, match="may not start"):
        world.launch()
    finish(world, first, seconds=600)
    assert world.balance().free_accelerator_seconds == 2 * HOUR - 600
    second = world.launch()
    assert world.attempt(second).job.wall_time_s == (2 * HOUR - 600) // 2


def test_the_same_idempotency_key_launches_once(world: World) -> None:
    asked = LaunchRequest(spec=a_spec(), plan=a_plan(), allocation=world.allocation.public_id, machine="local")
    assert launch(world.founder, asked, key="k").pk == launch(world.founder, asked, key="k").pk
    assert Run.objects.count() == 1
    launch(world.colleague, asked, key="k")
    assert Run.objects.count() == 2


def test_every_step_of_a_run_left_its_event_with_an_actor(world: World) -> None:
    run = world.launch()
    world.agent.report(world.attempt(run), "running")
    finish(world, run)
    told = list(
        Event.objects.filter(subject_id__in=[run.public_id, world.attempt(run).public_id]).values_list("name", "actor")
    )
    assert told == [
        ("user:run:launched", "founder"),
        ("service:attempt:planned", "founder"),
        ("agent:attempt:running", "agent@local"),
        ("service:run:running", "agent@local"),
        ("agent:attempt:finished", "agent@local"),
        ("agent:usage:measured", "agent@local"),
        ("service:run:finished", "agent@local"),
    ]


def test_a_log_goes_on_in_the_next_leg_though_its_attempts_are_numbered_anew(world: World) -> None:
    run = world.launch()
    first = run.legs.get()
    one = Attempt.objects.get(leg=first)
    second = Leg.objects.create(run=run, number=2, machine=first.machine, allocation=first.allocation)
    two = Attempt.objects.create(
        leg=second, number=1, job=one.job, ticket=one.ticket, reserved_accelerator_seconds=0, planned_at=now()
    )
    LogChunk.store(one, 0, "on the first\n")
    LogChunk.store(two, 0, "on the second\n")
    begun = LogChunk.read(run, 0)
    assert begun.text == "on the first\n"
    onward = LogChunk.read(run, begun.next_offset)
    assert (onward.text, onward.attempt) == ("on the second\n", 1)
    assert onward.next_offset > begun.next_offset
    assert LogChunk.read(run, onward.next_offset).text == ""
