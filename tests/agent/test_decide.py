"""The agent's judgement: what to do about an attempt, whatever is found."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.agent.decide import (
    CANCEL_AGAIN_AFTER,
    DOUBLE_ENDS_WITHIN,
    FORGOTTEN_AFTER,
    RESUBMIT_AFTER,
    UNKNOWN_AFTER,
    Finished,
    Follow,
    Lost,
    Submit,
    Traces,
    Wait,
    Withdraw,
    decide,
    outcome,
)
from hanse.agent.store import Record
from hanse.contracts.agentapi import Observation
from hanse.contracts.job import FINAL_JOB_STATES, JobReport
from hanse.contracts.run import FINAL_ATTEMPT_STATES, AttemptState
from hanse.contracts.spec import CommandSpec
from tests.contracts.examples import ASSIGNMENT, AT, JOB

FRESH = Record(assignment=ASSIGNMENT)
STATES = ["queued", "running", *sorted(FINAL_JOB_STATES)]


def report(job_id: str, state: str = "running", **more: object) -> JobReport:
    return JobReport.model_validate(
        {"job_id": job_id, "name": JOB.name, "state": state, "raw_state": state.upper(), **more}
    )


def cancelled(record: Record) -> Record:
    return replace(record, assignment=record.assignment.model_copy(update={"desired": "cancel"}))


def test_a_new_attempt_is_submitted_once_the_scheduler_surely_does_not_know_it() -> None:
    assert decide(FRESH, (), Traces(), at=AT) == Submit()


def test_nothing_is_done_on_an_answer_that_did_not_come() -> None:
    for record in (FRESH, replace(FRESH, intent_at=AT), replace(FRESH, job_id="17"), cancelled(FRESH)):
        assert isinstance(decide(record, None, Traces(), at=AT + timedelta(days=3)), Wait)


def test_a_job_submitted_but_not_recorded_is_adopted_not_resubmitted() -> None:
    move = decide(replace(FRESH, intent_at=AT), (report("17", "queued"),), Traces(), at=AT + timedelta(hours=1))
    assert isinstance(move, Follow)
    assert (move.job.job_id, move.state) == ("17", AttemptState.QUEUED)


def test_an_intent_without_a_job_waits_before_it_is_tried_again() -> None:
    record = replace(FRESH, intent_at=AT)
    assert isinstance(decide(record, (), Traces(), at=AT + RESUBMIT_AFTER / 2), Wait)
    assert decide(record, (), Traces(), at=AT + RESUBMIT_AFTER) == Submit()


def test_a_job_that_the_scheduler_forgot_is_unknown_and_never_submitted_again() -> None:
    late = AT + timedelta(days=30)
    assert isinstance(decide(replace(FRESH, job_id="17", submitted_at=AT), (), Traces(), at=late), Lost)
    assert isinstance(decide(FRESH, (), Traces(claimed=True, claim_holder="17"), at=late), Lost)
    assert isinstance(decide(FRESH, (), Traces(claimed=True), at=late), Lost)


def test_accounting_may_lag_a_little_behind_the_queue() -> None:
    record = replace(FRESH, job_id="17", submitted_at=AT)
    assert isinstance(decide(record, (), Traces(), at=AT + UNKNOWN_AFTER / 2), Wait)
    assert isinstance(decide(record, (), Traces(), at=AT + UNKNOWN_AFTER), Lost)


def test_of_two_jobs_the_one_that_holds_the_claim_is_the_job_and_the_other_is_recorded() -> None:
    jobs = (report("17", "completed"), report("18"))
    move = decide(replace(FRESH, job_id="17"), jobs, Traces(claimed=True, claim_holder="18"), at=AT)
    assert isinstance(move, Follow)
    assert move.job.job_id == "18"
    assert [other.job_id for other in move.doubled] == ["17"]


def test_an_attempt_is_not_over_while_a_doubled_job_of_it_lives() -> None:
    record = replace(FRESH, job_id="17")
    jobs = (report("17", "completed", ended_at=AT), report("18", "queued"))
    traces = Traces(claimed=True, claim_holder="17", finished=True)
    soon = decide(record, jobs, traces, at=AT + timedelta(seconds=5))
    assert isinstance(soon, Follow)
    assert (soon.state, soon.end) == (AttemptState.RUNNING, ()), "it finds the claim and ends by itself"
    late = decide(record, jobs, traces, at=AT + DOUBLE_ENDS_WITHIN)
    assert isinstance(late, Follow) and late.end == ("18",)
    over = decide(record, (jobs[0], report("18", "cancelled")), traces, at=AT + DOUBLE_ENDS_WITHIN)
    assert isinstance(over, Follow) and over.state is AttemptState.FINISHED


def test_a_job_that_died_before_its_claim_yields_to_a_doubled_one_that_may_yet_train() -> None:
    move = decide(replace(FRESH, job_id="17"), (report("17", "failed"), report("18", "queued")), Traces(), at=AT)
    assert isinstance(move, Follow)
    assert (move.job.job_id, move.state, move.end) == ("18", AttemptState.QUEUED, ())
    assert [other.job_id for other in move.doubled] == ["17"]


def test_a_claim_of_a_job_that_is_not_mentioned_makes_the_attempt_unknown() -> None:
    move = decide(FRESH, (report("18", "completed"),), Traces(claimed=True, claim_holder="17"), at=AT)
    assert isinstance(move, Lost)


def test_a_finished_run_waits_an_hour_for_the_measure_of_its_job_and_no_longer() -> None:
    record = replace(FRESH, intent_at=AT, submitted_at=AT, job_id="17", seen=UNKNOWN)
    soon, late = AT + FORGOTTEN_AFTER - timedelta(seconds=1), AT + FORGOTTEN_AFTER
    assert isinstance(decide(record, (), Traces(finished=True), at=soon), Lost)
    assert decide(record, (), Traces(finished=True), at=late) == Finished()
    assert isinstance(decide(record, (), Traces(), at=late), Lost)
    assert isinstance(decide(record, None, Traces(finished=True), at=late), Wait)


def test_an_attempt_cancelled_before_it_was_submitted_is_withdrawn() -> None:
    assert decide(cancelled(FRESH), (), Traces(), at=AT) == Withdraw()


def test_all_living_jobs_of_a_cancelled_attempt_are_ended_and_not_asked_again_every_second() -> None:
    jobs = (report("17"), report("18", "queued"), report("19", "completed"))
    move = decide(cancelled(replace(FRESH, job_id="17")), jobs, Traces(), at=AT)
    assert isinstance(move, Follow) and move.end == ("17", "18")
    asked = cancelled(replace(FRESH, job_id="17", cancel_at=AT))
    again = decide(asked, jobs, Traces(), at=AT + CANCEL_AGAIN_AFTER / 2)
    assert isinstance(again, Follow) and again.end == ()
    insisted = decide(asked, jobs, Traces(), at=AT + CANCEL_AGAIN_AFTER)
    assert isinstance(insisted, Follow) and insisted.end == ("17", "18")


@pytest.mark.parametrize("state", sorted(FINAL_JOB_STATES))
def test_a_finished_run_is_finished_however_its_job_ended(state: str) -> None:
    assert outcome(report("17", state), Traces(finished=True), wanted_cancelled=False)[0] is AttemptState.FINISHED


def test_a_wall_time_counts_as_progress_only_if_there_was_any() -> None:
    assert outcome(report("17", "timeout"), Traces(progressed=True), wanted_cancelled=False)[0] is AttemptState.STOPPED
    state, why = outcome(report("17", "timeout"), Traces(), wanted_cancelled=False)
    assert state is AttemptState.FAILED
    assert "single step" in why


UNKNOWN = Observation(attempt_id=ASSIGNMENT.attempt_id, epoch=1, sequence=1, at=AT, state=AttemptState.UNKNOWN)
records = st.builds(
    Record,
    assignment=st.sampled_from([ASSIGNMENT, ASSIGNMENT.model_copy(update={"desired": "cancel"})]),
    intent_at=st.none() | st.just(AT),
    submitted_at=st.none() | st.just(AT),
    job_id=st.none() | st.sampled_from(["1", "2", "3"]),
    cancel_at=st.none() | st.just(AT),
    seen=st.none() | st.sampled_from([UNKNOWN, UNKNOWN.model_copy(update={"state": AttemptState.RUNNING})]),
)
found = st.none() | st.lists(st.sampled_from(STATES), max_size=3).map(
    lambda states: tuple(report(str(number), state) for number, state in enumerate(states, 1))
)
seen_traces = st.builds(
    Traces, claimed=st.just(True), claim_holder=st.sampled_from(["", "1", "2"]), finished=st.booleans()
) | st.builds(Traces, finished=st.booleans(), progressed=st.booleans())


@given(records, found, seen_traces, st.integers(0, 10_000_000).map(lambda s: AT + timedelta(seconds=s)))
def test_whatever_is_found_a_job_that_may_exist_is_never_submitted_again(record, reports, traces, at) -> None:
    if decide(record, reports, traces, at=at) == Submit():
        assert reports == ()
        assert record.job_id is None
        assert not traces.claimed
        assert record.assignment.desired == "run"


@given(records, found, seen_traces)
def test_an_attempt_ends_only_on_the_word_of_its_job_or_of_its_finished_run(record, reports, traces) -> None:
    move = decide(record, reports, traces, at=AT + timedelta(days=1))
    if isinstance(move, Finished):
        assert traces.finished and reports is not None
        assert record.seen is not None and record.seen.state is AttemptState.UNKNOWN
    if isinstance(move, Follow):
        assert (move.state in FINAL_ATTEMPT_STATES) == all(r.state in FINAL_JOB_STATES for r in reports or ())
        assert move.job in (reports or ())
        assert {r.job_id for r in move.doubled} == {r.job_id for r in reports or ()} - {move.job.job_id}


@pytest.mark.parametrize("wish", [{"desired": "stop"}, {"stop": "The hours are nearly used up."}])
def test_a_running_training_is_stopped_by_its_file_and_its_end_is_told_as_asked(wish: dict[str, str]) -> None:
    record = replace(FRESH, job_id="17", assignment=ASSIGNMENT.model_copy(update=wish))
    running = decide(record, (report("17"),), Traces(claimed=True, claim_holder="17"), at=AT)
    assert isinstance(running, Follow) and running.end == () and running.state is AttemptState.RUNNING
    assert running.stop
    for state in ("completed", "cancelled"):
        over = decide(record, (report("17", state),), Traces(claimed=True, claim_holder="17"), at=AT)
        assert isinstance(over, Follow)
        assert (over.state, over.reason, over.stop) == (AttemptState.STOPPED, running.stop, "")


def test_what_failed_or_finished_while_it_was_to_stop_failed_or_finished() -> None:
    record = replace(FRESH, job_id="17", assignment=ASSIGNMENT.model_copy(update={"desired": "stop"}))
    failed = decide(record, (report("17", "failed", exit_code=1),), Traces(), at=AT)
    finished = decide(record, (report("17", "completed"),), Traces(finished=True), at=AT)
    assert isinstance(failed, Follow) and failed.state is AttemptState.FAILED
    assert isinstance(finished, Follow) and finished.state is AttemptState.FINISHED


def test_to_cancel_or_to_halt_is_stronger_than_to_stop() -> None:
    asked = {"desired": "cancel", "stop": "The hours are nearly used up."}
    record = replace(FRESH, job_id="17", assignment=ASSIGNMENT.model_copy(update=asked))
    move = decide(record, (report("17"),), Traces(), at=AT)
    assert isinstance(move, Follow) and (move.end, move.stop) == (("17",), "")
    stopping = replace(record, assignment=ASSIGNMENT.model_copy(update={"desired": "stop"}))
    halted = decide(stopping, (report("17"),), Traces(), at=AT, halted="The kill switch is on.")
    assert isinstance(halted, Follow) and (halted.end, halted.stop) == (("17",), "")


def program(*, resumes: bool, **changes: object) -> Record:
    spec = ASSIGNMENT.spec.model_copy(update={"command": CommandSpec(run="./train", resumes=resumes)})
    wanted = ASSIGNMENT.model_copy(update={"spec": spec, "desired": "stop"})
    return replace(FRESH, job_id="17", assignment=wanted, **changes)  # type: ignore[arg-type]


def test_a_program_that_resumes_is_asked_by_its_signal_once_and_ended_when_its_time_to_save_is_over() -> None:
    asked = decide(program(resumes=True), (report("17"),), Traces(), at=AT)
    assert isinstance(asked, Follow) and (asked.ask, asked.end, asked.stop) == (("17",), (), "")
    to_save = timedelta(seconds=JOB.stop_signal_before_s)
    record = program(resumes=True, cancel_at=AT)
    saving = decide(record, (report("17"),), Traces(), at=AT + to_save - timedelta(seconds=1))
    assert isinstance(saving, Follow) and (saving.ask, saving.end) == ((), ())
    late = decide(record, (report("17"),), Traces(), at=AT + to_save)
    assert isinstance(late, Follow) and (late.ask, late.end) == ((), ("17",))


def test_a_program_that_resumes_not_or_waits_is_ended_at_once() -> None:
    for record, state in ((program(resumes=False), "running"), (program(resumes=True), "queued")):
        move = decide(record, (report("17", state),), Traces(), at=AT)
        assert isinstance(move, Follow) and (move.ask, move.end) == ((), ("17",))


def test_a_program_that_its_stop_signal_ended_was_stopped_and_one_that_failed_before_failed() -> None:
    by_signal = report("17", "failed", exit_code=138)
    stopped = decide(program(resumes=True, cancel_at=AT), (by_signal,), Traces(), at=AT)
    failed = decide(program(resumes=True), (by_signal,), Traces(), at=AT)
    finished = decide(program(resumes=True, cancel_at=AT), (report("17", "completed"),), Traces(finished=True), at=AT)
    assert isinstance(stopped, Follow) and stopped.state is AttemptState.STOPPED
    assert isinstance(failed, Follow) and failed.state is AttemptState.FAILED
    assert isinstance(finished, Follow) and finished.state is AttemptState.FINISHED
