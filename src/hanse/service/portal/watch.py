"""What the pages of a run show, gathered from its rows, its log and its events."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from django.db.models import F, Subquery

from hanse.contracts.across_record import AcrossRecord
from hanse.contracts.base import now
from hanse.contracts.run import FINAL_RUN_STATES, Run
from hanse.contracts.telemetry import StepSummary
from hanse.reporting import run_report
from hanse.reporting.legs import exchanged
from hanse.reporting.run_charts import attempts_figure, legs_figures, loss_figure, throughput_figure
from hanse.reporting.sections import attempts_table
from hanse.reporting.sentences import opening
from hanse.service.portal import blocks, moves, standing
from hanse.service.runs import abreast, trail
from hanse.service.runs.models import Attempt, LogChunk, Machine, StepRow, TrailRow
from hanse.service.runs.record import events_of, record_of

CHART_ROWS = 400
TAIL_CHARACTERS, TAIL_LINES, TAIL_CHUNKS = 16_000, 12, 64
PAGE_CHARACTERS = 200_000
_REDRAW_S = 15


def head(run: Any) -> dict[str, Any]:
    """What every page of the run has on top."""
    return _head(run, run.contract(), ())


def _head(run: Any, contract: Run, rows: Sequence[StepSummary]) -> dict[str, Any]:
    return {
        "run": run, "final": run.state in FINAL_RUN_STATES, "state": run.state,
        "lede": standing.progress(contract, rows), "meter": blocks.progress_meter(contract),
    }  # fmt: skip


def overview(run: Any) -> dict[str, Any]:
    """Everything of the overview; the live fragment is made of the same."""
    contract, at, across = run.contract(), now(), trail.record_of(run, rows=CHART_ROWS)
    rows = StepRow.thinned(run, CHART_ROWS) if across is None else _spoken(run, across)
    legs = list(run.legs.all())
    names = _names(run, legs)
    attempts = [attempt for leg in legs for attempt in leg.attempts.all()]
    failed = next((attempt for attempt in reversed(attempts) if attempt.error), None)
    machine = legs[-1].machine if legs else None
    places = {attempt.id: names.get(leg.machine, leg.machine) for leg in contract.legs for attempt in leg.attempts}
    numbers = {attempt.id: attempt.number for leg in contract.legs for attempt in leg.attempts}
    happened = [event.contract() for event in events_of(run)]
    ends = standing.expected_end(contract, rows)
    unigram = run.result.unigram_entropy if run.result else None
    return {
        **_head(run, contract, rows),
        "poll_headers": json.dumps({"If-None-Match": entity_tag(run)}),
        "note": standing.callout(contract, error=failed.error if failed else "", machine=machine),
        **_charts(contract, rows, unigram, names, across),
        "attempts_chart": attempts_figure(contract, names=names, made_at=at),
        "attempts": attempts_table(contract, names=names, at=at, newest_first=True),
        "allowance": blocks.allowance(contract, names),
        "allocations": list({leg.allocation.pk: leg.allocation for leg in legs}.values()),
        "events": blocks.events(
            happened, numbers=numbers, places=places if len(legs) > 1 else None,
            expected=(ends, "About here it ends, at this pace."),
        ),
        "cost": moves.cost(run, legs),
        "why_here": moves.why_here(run.placement, names),
        "tried": moves.tried(legs, names),
        "parcels": moves.parcels(run, names),
        "tail": _tail(run),
    }  # fmt: skip


def _spoken(run: Any, across: AcrossRecord) -> tuple[StepSummary, ...]:
    """The rows of the leg that speaks for the run."""
    name = abreast.speaker(run).slot
    return next((leg.telemetry for leg in across.legs if leg.name == name), ())


def _charts(
    run: Run, rows: Sequence[StepSummary], unigram: float | None, names: dict[str, str], across: AcrossRecord | None
) -> dict[str, Any]:
    """Of a run across machines each leg's curve, and what the legs exchanged."""
    running = run.state not in FINAL_RUN_STATES
    if across is not None:
        return {
            "curves": legs_figures(across.legs, unigram=unigram, running=running, names=names),
            "exchanged": exchanged(across, run, names),
        }
    loss = loss_figure(rows, plan=run.plan, unigram=unigram, running=running)
    return {"loss": loss, "throughput": throughput_figure(rows, plan=run.plan, running=running)}


def _names(run: Any, legs: list[Any]) -> dict[str, str]:
    """Of the run's machines, and of those it could have gone to."""
    known = {leg.machine.public_id: leg.machine for leg in legs}
    if run.placement is not None:
        asked = [one.machine for one in (*run.placement.options, *run.placement.unusable) if one.machine not in known]
        known |= {machine.public_id: machine for machine in Machine.objects.filter(public_id__in=asked)}
    return {name: machine.facts.name for name, machine in known.items() if machine.facts}


def entity_tag(run: Any) -> str:
    """Changes whenever the live fragment would; a running attempt's length is redrawn every quarter of a minute."""
    legs = list(run.legs.all())
    attempts = sorted((each for leg in legs for each in leg.attempts.all()), key=lambda each: each.pk)
    seen = [(each.pk, each.state, each.epoch, each.sequence, each.last_step) for each in attempts]
    away = sorted((leg.machine_id, leg.machine.away) for leg in legs)
    clock = 0 if run.state in FINAL_RUN_STATES else int(now().timestamp()) // _REDRAW_S
    carried = [(each.pk, each.state, each.sent_bytes, each.fetched_bytes) for each in run.parcels.all()]
    told = repr((run.state, run.reason, seen, away, _newest(run, attempts), carried, clock))
    return f'"{hashlib.sha256(told.encode()).hexdigest()[:24]}"'


def _newest(run: Any, attempts: Sequence[Attempt]) -> tuple[int | None, ...]:
    """The newest piece of log, row and line of an audit trail, in one query."""
    pks = [each.pk for each in attempts]
    told = [kind.objects.filter(attempt__in=pks) for kind in (LogChunk, StepRow)]
    ends = (Subquery(rows.order_by("-pk").values("pk")[:1]) for rows in (*told, TrailRow.objects.filter(run=run.pk)))
    found: tuple[int | None, ...] = type(run).objects.filter(pk=run.pk).values_list(*ends).get()
    return found


def report(run: Any) -> dict[str, Any]:
    record = record_of(run)
    return {"opening": opening(record), "body": run_report.body(record)}


def log(run: Any, wanted: str | None) -> dict[str, Any]:
    """The end of one attempt's log: the one asked for, else the latest that wrote something."""
    attempts = list(_in_order(run))
    written = set(LogChunk.objects.filter(attempt__in=attempts).values_list("attempt_id", flat=True))
    shown = next((a for a in attempts if wanted in (a.public_id, str(a.number))), None)
    shown = shown or next((a for a in reversed(attempts) if a.pk in written), attempts[-1] if attempts else None)
    text = _end_of_log(shown, PAGE_CHARACTERS) if shown else ""
    several = len({attempt.leg_id for attempt in attempts}) > 1
    return {"attempts": attempts, "several": several, "shown": shown, "text": text, "cut": len(text) >= PAGE_CHARACTERS}


def whole_log(run: Any) -> str:
    """Every attempt's log, one after another, each under its heading."""
    parts = []
    for attempt in _in_order(run):
        text = "".join(LogChunk.objects.filter(attempt=attempt).order_by("offset").values_list("text", flat=True))
        parts.append(f"=== attempt {attempt.number} on {attempt.machine} ===\n{text}")
    return "\n".join(parts)


def _in_order(run: Any) -> Any:
    """Its attempts over all legs; each leg numbers its own from 1."""
    return Attempt.objects.filter(leg__run=run).select_related("machine").order_by("leg__number", "number")


def _tail(run: Any) -> str:
    """The last lines of the last attempt that wrote some."""
    of_run = LogChunk.objects.filter(attempt__leg__run=run)
    chunks = of_run.order_by("-attempt__leg__number", "-attempt__number", "-offset").values_list("attempt", "text")
    last, parts = None, list[str]()
    for attempt, text in chunks[:TAIL_CHUNKS]:
        if last not in (None, attempt) or sum(map(len, parts)) >= TAIL_CHARACTERS:
            break
        last = attempt
        parts.append(text)
    return "\n".join("".join(reversed(parts)).splitlines()[-TAIL_LINES:])


def _end_of_log(attempt: Any, characters: int) -> str:
    """The last so many characters, beginning with a whole line."""
    parts: list[str] = []
    chunks = LogChunk.objects.filter(attempt=attempt).order_by(F("offset").desc())
    for text in chunks.values_list("text", flat=True).iterator(chunk_size=16):
        parts.append(text)
        if sum(map(len, parts)) >= characters:
            break
    whole = "".join(reversed(parts))
    return whole if len(whole) <= characters else whole[-characters:].split("\n", 1)[-1]
