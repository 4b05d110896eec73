"""Every public contract with its JSON Schema, frozen in `tests/contracts/frozen/` so that a change is a decision."""

from __future__ import annotations

from typing import Any

from hanse.contracts.agentapi import Assignment, Hello, Observation, SyncRequest, SyncResponse, Welcome
from hanse.contracts.base import Contract
from hanse.contracts.decision import Decision
from hanse.contracts.event import Event
from hanse.contracts.job import JobReport, JobSpec
from hanse.contracts.layout import Layout
from hanse.contracts.machine import Machine
from hanse.contracts.plan import Plan
from hanse.contracts.programme import Allocation, Application, CallTerms
from hanse.contracts.record import RunRecord
from hanse.contracts.run import Attempt, CodeBundle, Leg, Run
from hanse.contracts.spec import TrainSpec
from hanse.contracts.telemetry import LedgerEntry, RankRow, StepSummary, TrainResult
from hanse.contracts.ticket import SignedTicket, Ticket
from hanse.contracts.usage import UsageEntry
from hanse.contracts.workload import Workload

PUBLIC: dict[str, type[Contract]] = {
    "train-spec": TrainSpec, "workload": Workload, "machine": Machine, "layout": Layout, "plan": Plan,
    "job-spec": JobSpec, "job-report": JobReport, "run": Run, "leg": Leg, "attempt": Attempt, "code-bundle": CodeBundle,
    "ticket": Ticket, "signed-ticket": SignedTicket,
    "hello": Hello, "welcome": Welcome, "observation": Observation, "assignment": Assignment,
    "sync-request": SyncRequest, "sync-response": SyncResponse,
    "rank-row": RankRow, "step-summary": StepSummary, "ledger-entry": LedgerEntry, "train-result": TrainResult,
    "run-record": RunRecord, "usage-entry": UsageEntry, "decision": Decision, "event": Event,
    "call-terms": CallTerms, "application": Application, "allocation": Allocation,
}  # fmt: skip


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of one contract, by its name in `PUBLIC`."""
    document = PUBLIC[name].model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": name, **document}
