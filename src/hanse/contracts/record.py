"""All that is known of one run, in one object: what the report is made from and what may be archived."""

from __future__ import annotations

import json

from hanse.contracts.across_record import AcrossRecord
from hanse.contracts.base import Contract, Timestamp
from hanse.contracts.decision import Decision
from hanse.contracts.event import Event
from hanse.contracts.machine import Machine
from hanse.contracts.programme import Allocation, Application
from hanse.contracts.release import Evaluation
from hanse.contracts.run import Run
from hanse.contracts.telemetry import StepSummary, TrainResult
from hanse.contracts.usage import UsageEntry


class RunRecord(Contract):
    schema_version: int = 1
    run: Run
    machines: tuple[Machine, ...]
    allocations: tuple[Allocation, ...]
    application: Application | None = None
    gate: Decision | None = None
    admission: Decision | None = None
    telemetry: tuple[StepSummary, ...] = ()
    """In order of step; at most a few thousand rows, thinned evenly beyond."""
    result: TrainResult | None = None
    usage: tuple[UsageEntry, ...] = ()
    events: tuple[Event, ...] = ()
    evaluations: tuple[Evaluation, ...] = ()
    across: AcrossRecord | None = None
    """Of a run with legs on several machines; `telemetry` is then that of the leg that speaks for it."""
    made_at: Timestamp

    def canonical(self) -> bytes:
        """Without what came later where there is none: documents made before a record could hold it keep their hash."""
        empty = {name for name in ("evaluations", "across") if not getattr(self, name)}
        dumped = self.model_dump(mode="json", exclude=empty)
        return json.dumps(dumped, sort_keys=True, separators=(",", ":")).encode()
