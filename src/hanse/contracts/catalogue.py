"""Every public contract with its JSON Schema, frozen in `tests/contracts/frozen/` so that a change is a decision."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any

from hanse.contracts.agentapi import Assignment, Exchange, Hello, Observation, SyncRequest, SyncResponse, Welcome
from hanse.contracts.application import Draft
from hanse.contracts.base import Contract
from hanse.contracts.compliance import Check
from hanse.contracts.decision import Decision
from hanse.contracts.document import Document
from hanse.contracts.event import Event
from hanse.contracts.forms import KeptDraft
from hanse.contracts.imports import AwardRow, ImportAsked
from hanse.contracts.job import JobReport, JobSpec
from hanse.contracts.layout import Layout
from hanse.contracts.machine import Machine
from hanse.contracts.outer import OuterFile, OuterLaunch, OuterRow, OuterTerms
from hanse.contracts.parcel import Parcel, ParcelOrder, ParcelReport
from hanse.contracts.plan import Plan
from hanse.contracts.policy import SitePolicy
from hanse.contracts.programme import Allocation, Application, CallTerms
from hanse.contracts.record import RunRecord
from hanse.contracts.release import Evaluation, Release
from hanse.contracts.run import Attempt, CodeBundle, Leg, Run
from hanse.contracts.scaling import Option, ScalingTable
from hanse.contracts.site import MachineState, SiteBudget, SiteJob
from hanse.contracts.spec import TrainSpec
from hanse.contracts.telemetry import LedgerEntry, RankRow, StepSummary, TrainResult
from hanse.contracts.ticket import SignedTicket, Ticket
from hanse.contracts.usage import UsageEntry
from hanse.contracts.watch import ComputeSeen, Permit, RunChange, WatchedCondition
from hanse.contracts.workload import Workload

PUBLIC: dict[str, type[Contract]] = {
    "train-spec": TrainSpec, "workload": Workload, "machine": Machine, "layout": Layout, "plan": Plan,
    "option": Option, "scaling-table": ScalingTable,
    "job-spec": JobSpec, "job-report": JobReport, "run": Run, "leg": Leg, "attempt": Attempt, "code-bundle": CodeBundle,
    "ticket": Ticket, "signed-ticket": SignedTicket,
    "hello": Hello, "welcome": Welcome, "observation": Observation, "assignment": Assignment,
    "machine-state": MachineState, "site-job": SiteJob, "site-budget": SiteBudget,
    "parcel-order": ParcelOrder, "parcel": Parcel, "parcel-report": ParcelReport,
    "sync-request": SyncRequest, "sync-response": SyncResponse,
    "rank-row": RankRow, "step-summary": StepSummary, "ledger-entry": LedgerEntry, "train-result": TrainResult,
    "run-record": RunRecord, "usage-entry": UsageEntry, "decision": Decision, "compliance-check": Check,
    "document": Document, "event": Event, "call-terms": CallTerms, "draft": Draft, "kept-draft": KeptDraft,
    "application": Application, "award-row": AwardRow, "import-asked": ImportAsked,
    "allocation": Allocation,
    "site-policy": SitePolicy,
    "watched-condition": WatchedCondition, "permit": Permit, "run-change": RunChange, "compute-seen": ComputeSeen,
    "evaluation": Evaluation, "release": Release,
    "outer-terms": OuterTerms, "outer-launch": OuterLaunch, "outer-file": OuterFile, "outer-row": OuterRow,
    "exchange": Exchange,
}  # fmt: skip


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of one contract, by its name in `PUBLIC`, with what its fields mean."""
    document = PUBLIC[name].model_json_schema()
    for title, part in ((document["title"], document), *document.get("$defs", {}).items()):
        for field, meaning in _meanings().get(title, {}).items():
            if field in part.get("properties", {}):
                part["properties"][field]["description"] = meaning
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": name, **document}


@cache
def _meanings() -> dict[str, dict[str, str]]:
    """Class to field to the docstring under it: editors show them beside the keys of train.yaml.

    Read from the sources here, when somebody asks for a schema; pydantic would do it at every import.
    """
    found: dict[str, dict[str, str]] = {}
    modules = {
        sys.modules[kind.__module__]
        for kind in _all_contracts(Contract)
        if kind.__module__.startswith("hanse.contracts.")
    }
    for module in sorted(modules, key=lambda each: each.__name__):
        for node in ast.parse(inspect.getsource(module)).body:
            if isinstance(node, ast.ClassDef):
                found[node.name] = dict(_documented(node.body))
    return found


def _documented(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for field, text in pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
            and isinstance(text.value.value, str)
        ):
            yield field.target.id, inspect.cleandoc(text.value.value)


def _all_contracts(kind: type[Contract]) -> Iterator[type[Contract]]:
    for child in kind.__subclasses__():
        if child.__module__.startswith("hanse.contracts."):
            yield child
        yield from _all_contracts(child)
