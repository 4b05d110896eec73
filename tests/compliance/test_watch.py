"""The watch over an award: thresholds told before and at crossing, data, changes, permits and clocks, each once."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction

from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, PolicyError, UsageError
from hanse.contracts.spec import DatasetSpec
from hanse.contracts.telemetry import DatasetRead, TrainResult
from hanse.contracts.watch import ConditionChange, PermitForm
from hanse.service.compliance import chores, conditions, permits, watching
from hanse.service.compliance.models import Condition, Permit, RunChange, RunCompute, ThresholdMark
from hanse.service.runs.models import Event, Run, StepRow
from tests.compliance.parts import Granted
from tests.service.fixtures import a_plan, a_row, a_spec

pytestmark = pytest.mark.django_db
PERSONAL = (DatasetSpec(name="records", source="records/*.txt", licence="by permit", personal_data=True),)


def admitted(granted: Granted, spec: Any = None, plan: Any = None, at: Any = None) -> dict[str, str]:
    with transaction.atomic():
        found = watching.admission_findings(granted.allocation, spec or a_spec(), plan or a_plan(), at=at)
    return {one.rule: one.verdict for one in found}


def under_way(granted: Granted, *, parameters: int, tokens: int, **changes: Any) -> Run:
    """A run whose model and progress come to so much computation: 6 · parameters · tokens."""
    spec = a_spec(**changes)
    plan = a_plan(spec)
    plan = plan.model_copy(update={"workload": plan.workload.model_copy(update={"parameters": parameters})})
    run = granted.world.launch(spec, plan)
    attempt = granted.world.attempt(run)
    granted.world.agent.report(attempt, "running")
    reach(run, tokens)
    return run


def reach(run: Run, tokens: int) -> None:
    attempt = run.legs.get().attempts.get()
    step = StepRow.objects.filter(attempt=attempt).count() + 1
    StepRow.store(attempt, [a_row(step).model_copy(update={"tokens": tokens})])
    attempt.last_heard_at = now()
    attempt.save(update_fields=["last_heard_at"])


def finished(run: Run, *datasets: DatasetRead) -> Run:
    result = TrainResult(
        steps=100, tokens=51_200, final_loss=2.0, unigram_entropy=6.0, vocab=512, parameters=100_000,
        dataset_tokens=51_200, datasets=datasets, training_s=100.0, finished_at=now(),
    )  # fmt: skip
    Run.objects.filter(pk=run.pk).update(result=result, state="finished", ended_at=now())
    run.refresh_from_db()
    return run


def read_of(name: str = "stdlib", **changes: Any) -> DatasetRead:
    said = {"source": "python-stdlib", "licence": "PSF-2.0", "samples": 1, "tokens": 1, "shards_sha256": "0" * 64}
    return DatasetRead(name=name, **{**said, **changes})


def test_conditions_are_made_once_from_what_the_gate_and_the_officer_asked(granted: Granted) -> None:
    before = [(one.key, one.kind, one.state) for one in conditions.open_for(granted.award)]
    assert ("data.declared", "data", "open") in before
    assert any(kind == "officer" for _, kind, _ in before)
    assert [(one.key, one.kind, one.state) for one in conditions.open_for(granted.award)] == before
    assert granted.world.events("service:condition:opened") == len(before)
    assert "Publish the tokenizer." in conditions.sentences(granted.award)


def test_a_condition_is_met_by_evidence_or_waived_with_a_reason_and_only_by_an_officer(granted: Granted) -> None:
    one = Condition.objects.get(award=granted.award, kind="officer")
    world = granted.world
    with pytest.raises(PolicyError):
        one.change(ConditionChange(to="met", evidence="it is on the hub"), world.founder)
    for lacking in (ConditionChange(to="met", reason="sure"), ConditionChange(to="waived", evidence="x")):
        with pytest.raises(UsageError):
            one.change(lacking, world.officer)
    one.offer("https://hub.example/tokenizer", world.founder)
    again = Condition.objects.get(pk=one.pk)
    one.change(ConditionChange(to="met", evidence="Seen on the hub."), world.officer)
    with pytest.raises(Conflict):
        again.change(ConditionChange(to="waived", reason="late"), world.officer)
    one.change(ConditionChange(to="waived", reason="The programme dropped it."), world.officer)
    assert (one.state, one.evidence, one.said_by) == ("waived", "Seen on the hub.", "officer")
    assert "Publish the tokenizer." not in conditions.sentences(granted.award)
    told = [event.name for event in Event.objects.filter(subject_id=one.public_id)]
    assert told[-3:] == ["user:condition:evidence", "officer:condition:met", "officer:condition:waived"]


def test_a_threshold_is_told_when_near_and_when_crossed_each_once(granted: Granted) -> None:
    run = under_way(granted, parameters=10**11, tokens=10**11)  # 6e22
    assert chores.run(now()) == 0
    reach(run, 140 * 10**9)  # 8.4e22
    assert chores.run(now()) == 1
    assert chores.run(now()) == 0
    reach(run, 170 * 10**9)  # 1.02e23
    chores.run(now())
    chores.run(now())
    marks = [(one.threshold, one.level) for one in ThresholdMark.objects.all()]
    assert marks == [("general-purpose", "near"), ("general-purpose", "crossed")]
    told = Event.objects.filter(subject_id=granted.application.public_id, name__startswith="service:compute:")
    assert [(one.name, one.data["threshold"]) for one in told] == [
        ("service:compute:near", "general-purpose"), ("service:compute:crossed", "general-purpose"),
    ]  # fmt: skip
    assert "84%" in told[0].reason and "102%" in told[1].reason


def test_runs_of_one_award_are_counted_together_and_the_larger_formula_counts(granted: Granted) -> None:
    first = under_way(granted, parameters=10**11, tokens=10**11)
    second = under_way(granted, parameters=10**11, tokens=10**11)
    chores.run(now())
    assert watching.award_flops(granted.award) == pytest.approx(1.2e23)
    assert ThresholdMark.objects.filter(level="crossed").count() == 1
    seen = RunCompute.objects.get(run=first).seen
    assert seen.architecture_flops == pytest.approx(6e22)
    assert seen.hardware_flops is not None or seen.accelerator_seconds == 0
    assert RunCompute.objects.get(run=second).seen.flops >= seen.flops * 0.99


def test_a_run_that_was_begun_anew_after_its_end_is_looked_at_again(granted: Granted) -> None:
    run = under_way(granted, parameters=10**11, tokens=10**11)
    Run.objects.filter(pk=run.pk).update(state="failed")
    chores.run(now())
    assert RunCompute.objects.get(run=run).final
    Run.objects.filter(pk=run.pk).update(state="running")
    reach(run, 140 * 10**9)
    assert chores.run(now()) == 1
    assert not RunCompute.objects.get(run=run).final


def test_who_builds_on_a_model_is_told_of_the_third(granted: Granted) -> None:
    granted.answers(general_purpose=True, builds_on_model=True)
    run = under_way(granted, parameters=10**11, tokens=46 * 10**9)  # 2.76e22 of 3.33e22
    chores.run(now())
    reach(run, 60 * 10**9)
    chores.run(now())
    assert [(one.threshold, one.level) for one in ThresholdMark.objects.all()] == [
        ("modifier", "near"), ("modifier", "crossed"),
    ]  # fmt: skip


def test_ten_to_the_twenty_fifth_starts_a_clock_of_two_weeks_that_is_breached_when_nobody_answers(
    granted: Granted,
) -> None:
    run = under_way(granted, parameters=10**12, tokens=10**12)
    reach(run, 2 * 10**12)  # 1.2e25
    at = datetime(2030, 1, 1, 12, tzinfo=UTC)
    chores.run(at)
    clock = Condition.objects.get(award=granted.award, key=watching.NOTIFY)
    assert (clock.state, clock.due) == ("open", date(2030, 1, 15))
    for days in range(1, 20):
        chores.run(at + timedelta(days=days))
    told = Event.objects.filter(subject_id=clock.public_id, name="tick:condition:due")
    assert [one.data["days"] for one in told] == [7, 2]
    clock.refresh_from_db()
    assert clock.state == "breached"
    assert admitted(granted)["watch.condition"] == "deny"
    clock.change(ConditionChange(to="met", evidence="Notified late, receipt 17."), granted.world.officer)
    assert "watch.condition" not in admitted(granted)


def test_a_plan_that_would_pass_a_threshold_is_told_so_before_it_starts(granted: Granted) -> None:
    plan = a_plan()
    large = plan.model_copy(update={"workload": plan.workload.model_copy(
        update={"parameters": 10**12, "total_tokens": 2 * 10**12}
    )})  # fmt: skip
    found = admitted(granted, plan=large, at=datetime(2030, 1, 1, tzinfo=UTC))
    assert found["watch.general-purpose"] == found["watch.systemic"] == "condition"
    assert Condition.objects.get(key=watching.NOTIFY).due == date(2030, 1, 15), "it is known that it will be passed"


def test_data_as_declared_is_noted_and_other_data_breaches_the_award(granted: Granted) -> None:
    first = finished(granted.world.launch(), read_of())
    chores.run(now())
    held = Condition.objects.get(award=granted.award, key="data.declared")
    assert held.state == "met" and first.public_id in held.evidence
    finished(granted.world.launch(), read_of(), read_of("secret"))
    finished(granted.world.launch(), read_of(licence="CC0-1.0"))
    chores.run(now())
    chores.run(now())
    held.refresh_from_db()
    assert held.state == "breached" and "secret was read and is not declared" in held.evidence
    assert granted.world.events("watch:condition:breached") == 1
    assert admitted(granted)["watch.condition"] == "deny"


def test_another_purpose_or_model_goes_on_where_the_gate_says_no_more_until_an_officer_refuses_it(
    granted: Granted,
) -> None:
    world = granted.world
    world.launch(a_spec(purpose="Sort letters"))
    assert "watch.changed" not in admitted(granted, a_spec(purpose="sort  letters."))
    other = a_spec(purpose="Watch people in the street")
    before = world.events("service:change:noted")
    assert admitted(granted, other)["watch.changed"] == "allow", "people word each run in their own way"
    assert admitted(granted, other)["watch.changed"] == "allow"
    asked = RunChange.objects.first()
    assert asked is not None and world.events("service:change:noted") == before + 1, "once"
    assert asked.decision.subject == granted.application.public_id
    with pytest.raises(PolicyError):
        asked.decide(world.founder, accept=True, reason="mine")
    asked.decide(world.officer, accept=False, reason="That is another project.")
    assert admitted(granted, other)["watch.changed"] == "deny"
    asked.decide(world.officer, accept=True, reason="It is the same product.")
    assert admitted(granted, other) == {}, "what was accepted is no change any more"
    shape = a_spec().model.shape
    larger = a_spec(purpose="Sort letters", model=a_spec().model.model_copy(
        update={"shape": shape.model_copy(update={"layers": 9})}
    ))  # fmt: skip
    assert admitted(granted, larger)["watch.changed"] == "condition"
    noted = next(one for one in RunChange.objects.filter(state="noted") if "model" in str(one))
    noted.decide(world.officer, accept=False, reason="Ask for it first.")
    assert admitted(granted, larger)["watch.changed"] == "deny"


def test_a_first_purpose_that_is_refused_starts_no_second_run(granted: Granted) -> None:
    spec = a_spec(purpose="Read faces")
    assert admitted(granted, spec)["watch.changed"] == "allow", "the gate passed; both texts are on file"
    granted.world.launch(spec)
    (noted,) = RunChange.objects.filter(state="noted")
    noted.decide(granted.world.officer, accept=False, reason="That is another project.")
    assert admitted(granted, spec)["watch.changed"] == "deny"


def test_an_award_that_nobody_screened_has_conditions_and_no_changes(granted: Granted) -> None:
    granted.application.screening.delete()
    granted.world.launch(a_spec(purpose="Sort letters"))
    assert admitted(granted, a_spec(purpose="Sort people")) == {}
    assert Condition.objects.filter(award=granted.award).count() >= 2


def permit(granted: Granted, **changes: Any) -> Permit:
    form = PermitForm(**{
        "kind": "health-data", "number": "HDAB-1", "issuer": "The health data access body", "purpose": "research",
        "datasets": ("records",), "machines": ("local",), "valid_until": date(2031, 3, 1), **changes,
    })  # fmt: skip
    return Permit.state_one(granted.award, form, granted.world.founder, today=date(2031, 1, 1))


def test_personal_data_needs_a_confirmed_permit_that_names_it_and_the_machine(granted: Granted) -> None:
    at, spec = datetime(2031, 1, 1, tzinfo=UTC), a_spec(data=PERSONAL)
    assert admitted(granted, spec, at=at)["watch.permit"] == "deny"
    held = permit(granted)
    assert admitted(granted, spec, at=at)["watch.permit"] == "deny", "nobody looked at it yet"
    with pytest.raises(PolicyError):
        held.confirm(granted.world.founder, reason="it is mine")
    held.confirm(granted.world.officer, reason="Seen the letter.")
    assert admitted(granted, spec, at=at)["watch.permit"] == "allow"
    assert permits.number_for(granted.award, "local", "records", at.date()) == "HDAB-1"
    assert permits.number_for(granted.award, "elsewhere", "records", at.date()) is None
    assert admitted(granted, spec, at=datetime(2031, 3, 2, tzinfo=UTC))["watch.permit"] == "deny"
    with pytest.raises(UsageError):
        permit(granted, valid_until=date(2030, 1, 1))


def test_a_permit_is_warned_of_at_sixty_thirty_and_seven_days_and_ends_what_runs_on_it(granted: Granted) -> None:
    held = permit(granted)
    held.confirm(granted.world.officer, reason="Seen the letter.")
    run = granted.world.launch()
    Run.objects.filter(pk=run.pk).update(spec=a_spec(data=PERSONAL))
    start = datetime(2030, 12, 1, 9, tzinfo=UTC)
    for day in range(120):
        permits.look_after(start + timedelta(days=day))
    told = Event.objects.filter(subject_id=held.public_id, name__startswith="tick:permit:")
    assert [(one.name, one.data["days"]) for one in told] == [
        ("tick:permit:ending", 60), ("tick:permit:ending", 30), ("tick:permit:ending", 7), ("tick:permit:ended", 0),
    ]  # fmt: skip
    run.refresh_from_db()
    assert run.state == "cancelled" and "HDAB-1 ended" in run.reason


def test_hours_granted_elsewhere_have_no_conditions_and_still_no_personal_data(world: Any) -> None:
    with transaction.atomic():
        assert watching.admission_findings(world.allocation, a_spec(), a_plan()) == ()
        (finding,) = watching.admission_findings(world.allocation, a_spec(data=PERSONAL), a_plan())
    assert finding.verdict == "deny"
    assert watching.admission_findings(None, a_spec(), None) == ()
    world.launch()
    assert chores.run(now()) == 0
