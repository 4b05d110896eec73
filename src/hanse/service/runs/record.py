"""All that is known of one run in one contract, for reports and archives."""

from __future__ import annotations

from itertools import chain

from hanse.contracts.base import now
from hanse.contracts.record import RunRecord
from hanse.service.access.awards import Allocation
from hanse.service.runs import trail
from hanse.service.runs.events import Event
from hanse.service.runs.lifecycle import Run
from hanse.service.runs.telemetry import StepRow
from hanse.service.runs.usage import UsageEntry

LEG_ROWS = 500
"""Step rows of each leg of a run across machines."""


def events_of(run: Run) -> object:
    """Events of a run, its legs' attempts and their usage, in the order they happened (a queryset)."""
    attempts = (attempt.public_id for leg in run.legs.all() for attempt in leg.attempts.all())
    return Event.objects.filter(subject_id__in=list(chain([run.public_id], attempts)))


def record_of(run: Run) -> RunRecord:
    legs = list(run.legs.all())
    allocations = Allocation.objects.with_balance().select_related(
        "award__application__screening", "award__application__call", "project", "machine"
    )
    allocations = list(allocations.filter(legs__run=run).distinct())
    award = allocations[0].award if allocations else None
    usage = UsageEntry.objects.filter(attempt__leg__run=run).select_related("allocation", "attempt")
    return RunRecord(
        run=run.contract(),
        machines=tuple({leg.machine.public_id: leg.machine.facts for leg in legs}.values()),
        allocations=tuple(allocation.contract() for allocation in allocations),
        application=award.application.contract() if award else None,
        gate=award.application.gate if award else None,
        admission=run.admission,
        telemetry=StepRow.thinned(run),
        result=run.result,
        usage=tuple(entry.contract() for entry in usage),
        events=tuple(event.contract() for event in events_of(run)),  # type: ignore[attr-defined]
        evaluations=tuple(one.evaluation for one in run.evaluations.all()),
        across=trail.record_of(run, rows=LEG_ROWS),
        made_at=now(),
    )
