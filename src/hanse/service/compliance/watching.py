"""The watch: computation seen beside its thresholds, data really read beside what was declared, clocks that run.

Every observation may be repeated: what was seen is overwritten with what is seen now, and what is told is told once.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from statistics import median
from typing import Any, Final

from django.db import transaction
from django.db.models import F, Max, Q, Sum

from hanse.contracts import watch as contract
from hanse.contracts.base import now
from hanse.contracts.decision import Finding
from hanse.contracts.plan import Plan
from hanse.contracts.run import FINAL_RUN_STATES
from hanse.contracts.spec import TrainSpec
from hanse.rules import prefill, watch
from hanse.rules.documents import compute
from hanse.service.compliance import changes, conditions, permits
from hanse.service.compliance.computed import RunCompute, ThresholdMark
from hanse.service.runs.events import Event
from hanse.service.runs.lifecycle import Run
from hanse.service.runs.telemetry import StepRow

SAMPLED_ROWS: Final = 101
"""Steps whose throughput the hardware formula takes the median of."""
NOTIFY: Final = "gpai.notify"
CLOCK_WARNINGS: Final = (7, 2)


def admission_findings(
    allocation: Any, spec: TrainSpec, plan: Plan | None = None, *, at: datetime | None = None
) -> tuple[Finding, ...]:
    """What the watch says of a launch on that allocation (None: there is none), to be called in its transaction.

    A change that is new is kept and an officer asked, also where the launch is refused then.
    """
    moment = at or now()
    if allocation is None:
        return ()
    award, machine = allocation.award, allocation.machine.public_id
    if award is None:
        return tuple(permits.findings(None, machine, spec, moment.date()))
    conditions.open_for(award)
    so_far = award_flops(award)
    found = [*_breached(award), *permits.findings(award, machine, spec, moment.date())]
    found += changes.findings(award, spec, plan, before_flops=so_far, today=moment.date())
    if plan is not None:
        found += _planned(award, spec, plan, so_far, moment)
    return tuple(found)


def _breached(award: Any) -> Iterator[Finding]:
    for one in conditions.Condition.objects.filter(award=award, state="breached"):
        yield Finding(
            rule="watch.condition", verdict="deny", citation=one.citation,
            reason=f"A condition of the award does not hold: {one.text} {one.evidence or one.reason}".strip(),
            what_would_change_it=f"Show an officer that {one.public_id} is met again, or have it waived.",
        )  # fmt: skip


def _planned(award: Any, spec: TrainSpec, plan: Plan, so_far: float, at: datetime) -> Iterator[Finding]:
    """Thresholds that this plan would reach. To know that 10^25 will be passed starts its clock (Art. 52(1))."""
    total = so_far + prefill.training_flops(plan.workload)[0]
    for one in thresholds_of(award, (spec,)):
        if one.level(total) != "crossed":
            continue
        if one.notify_days is not None:
            _start_clock(award, one, at, f"planned: {total:.3g} FLOP in all")
        yield Finding(
            rule=f"watch.{one.id}", verdict="condition", citation=one.citation,
            reason=f"This plan comes to {total + one.before:.3g} FLOP in all and passes {one.what}.",
            condition=f"Before the computation passes {one.flops:.3g} FLOP, what follows from that is made ready.",
        )  # fmt: skip


def thresholds_of(award: Any, specs: tuple[TrainSpec, ...]) -> tuple[watch.Threshold, ...]:
    screening = getattr(award.application, "screening", None)
    builds_on = any(spec.training in ("finetuning", "lora") for spec in specs)
    return watch.thresholds(screening.answers if screening else {}, builds_on_model=builds_on)


def award_flops(award: Any) -> float:
    """Of all its runs: one model may be trained over several, and what is told too early does no harm."""
    return float(RunCompute.objects.filter(award=award).aggregate(sum=Sum("flops"))["sum"] or 0.0)


def observe_all(at: datetime) -> int:
    """Look at every run of an award that moved since it was last looked at; how much was new."""
    fresh = (
        Run.objects.filter(legs__allocation__award__isnull=False)
        .annotate(heard=Max("legs__attempts__last_heard_at"))
        .filter(
            Q(compute_seen=None)
            | Q(heard__gt=F("compute_seen__at"))
            | Q(state__in=FINAL_RUN_STATES, compute_seen__final=False)
        )
        .order_by("pk")
    )
    return sum(observe(run, at) for run in fresh)


def observe(run: Run, at: datetime) -> int:
    """What is seen of one run now: kept, compared, and told where it is news."""
    allocation = run.legs.select_related("allocation__award").order_by("pk").first()
    award = allocation.allocation.award if allocation else None
    if award is None:
        return 0
    seen, final = compute_of(run, at), run.is_final
    with transaction.atomic():
        type(award).objects.select_for_update().get(pk=award.pk)  # of two that observe at once, one tells
        conditions.open_for(award)
        RunCompute.objects.update_or_create(
            run=run, defaults={"award": award, "seen": seen, "flops": seen.flops, "at": at, "final": final}
        )
        return _told(award, run, at) + _data(award, run)


def compute_of(run: Run, at: datetime) -> contract.ComputeSeen:
    """Both formulas over what telemetry and metering have said so far."""
    rows = list(StepRow.of_run(run).order_by("-step").values_list("row", flat=True)[:SAMPLED_ROWS])
    tokens = run.result.tokens if run.result else StepRow.tokens_of(run)
    whole = Run.objects.whole().get(pk=run.pk)
    seconds = whole._so_far()[1]
    machines = {leg.machine_id: leg.machine.facts for leg in whole.legs.all()}
    facts = next(iter(machines.values())) if len(machines) == 1 else None
    counted = run.result.parameters if run.result else None
    by_architecture = compute.architecture_flops(run.spec, run.plan, tokens, parameters=counted) if tokens else None
    by_hardware = None
    if rows and facts:
        measured = median(row.tokens_per_s for row in rows)
        by_hardware = compute.hardware_flops(run.spec, run.plan, facts, seconds, measured)
    return contract.ComputeSeen(
        run_id=run.public_id, architecture_flops=by_architecture, hardware_flops=by_hardware, tokens=tokens,
        accelerator_seconds=seconds, at=at,
    )  # fmt: skip


def _told(award: Any, run: Run, at: datetime) -> int:
    total, new = award_flops(award), 0
    for one in thresholds_of(award, (run.spec,)):
        level = one.level(total)
        if level is None:
            continue
        _, fresh = ThresholdMark.objects.get_or_create(
            award=award, threshold=one.id, level=level, defaults={"flops": total, "run": run, "at": at}
        )
        if not fresh:
            continue
        new += 1
        share = (total + one.before) / one.flops
        verb = "passed" if level == "crossed" else "is near"
        Event.record(
            f"service:compute:{level}", award.application.public_id, by=conditions.WATCH,
            reason=f"The training of {award.public_id} {verb} {one.what}: {total + one.before:.3g} FLOP, {share:.0%}.",
            threshold=one.id, flops=total, run=run.public_id, award=award.public_id,
        )  # fmt: skip
        if level == "crossed" and one.notify_days is not None:
            _start_clock(award, one, at, f"measured: {total:.3g} FLOP in run {run.public_id}")
    return new


def _start_clock(award: Any, one: watch.Threshold, at: datetime, evidence: str) -> None:
    due = at.date() + timedelta(days=one.notify_days or 0)
    conditions.ensure(
        award, key=NOTIFY, kind="compute", rule=NOTIFY, citation=one.citation, due=due, evidence=evidence,
        parameters={"known_on": at.date().isoformat(), "flops": one.flops},
        text=f"The Commission is notified by {due} that the model passes 10^25 FLOP.",
    )  # fmt: skip


def _data(award: Any, run: Run) -> int:
    """What the trainer's ledger says was read, beside what train.yaml declared."""
    if run.result is None or not run.result.datasets:
        return 0
    wrong = watch.undeclared(run.result.datasets, run.spec.data)
    if wrong:
        told = f"Run {run.public_id}: {' '.join(wrong)}"
        return int(conditions.breach(award, conditions.DATA_DECLARED, told, "The ledger names other data."))
    held = conditions.Condition.objects.get(award=award, key=conditions.DATA_DECLARED)
    if held.state == "open":
        names = ", ".join(one.name for one in run.result.datasets)
        shown = f"Run {run.public_id} read {names}, as declared."
        held.become("met", by=conditions.WATCH, reason="The ledger agrees with train.yaml.", evidence=shown)
        return 1
    return 0


def clocks(at: datetime) -> int:
    """What is overdue is breached; of what is due soon it is told 7 and 2 days before, once each."""
    today, new = at.date(), 0
    for one in conditions.overdue(today):
        with transaction.atomic():
            late = f"It was due on {one.due}, and nobody has shown that it was done."
            new += conditions.breach(one.award, one.key, one.evidence, late)
    for one in conditions.Condition.objects.filter(state="open", due__gte=today).select_related("award__application"):
        left = (one.due - today).days
        days = min((each for each in CLOCK_WARNINGS if left <= each), default=None)
        if days is not None:
            new += _clock_told(one, days, left)
    return new


def _clock_told(one: conditions.Condition, days: int, left: int) -> int:
    with transaction.atomic():
        held = conditions.Condition.objects.select_for_update().get(pk=one.pk)
        told = held.parameters.get("told_days", 10**6)
        if told <= days:
            return 0
        conditions.Condition.objects.filter(pk=held.pk).update(parameters={**held.parameters, "told_days": days})
        Event.record(
            "tick:condition:due", held.public_id, by="tick", reason=f"{held.text} {left} days are left.", days=left,
            award=one.award.public_id, application=one.award.application.public_id,
        )  # fmt: skip
    return 1
