"""What the legs of a run across machines exchanged, each beside its own plan, for its report and its page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from statistics import median

from hanse.contracts.across_record import AcrossRecord, LegRecord
from hanse.contracts.outer import OuterTerms
from hanse.contracts.run import Run
from hanse.contracts.units import format_bytes, format_percent, format_seconds
from hanse.planning.between import BYTES_PER_VALUE
from hanse.reporting.markup import Child, Html, h, join
from hanse.reporting.tables import Column, Happening, table, timeline
from hanse.reporting.words import plural

_WHAT = {
    "late": "came too late for an exchange",
    "returned": "came back",
    "refused": "refused a file",
    "follows": "follows another leg",
}


def exchanged(across: AcrossRecord, run: Run, names: Mapping[str, str]) -> Html:
    """A line for each leg, who took part when, and what was not as on every day."""
    assert run.across is not None
    if not any(leg.tally.sent for leg in across.legs):
        return h("p", "Nothing has been exchanged yet.", class_="muted")
    told = [
        Happening(
            each.at,
            join(
                h("b", names.get(each.leg, each.leg)), " ", h("span", _WHAT[each.what]), ": " if each.reason else "",
                h("span", each.reason, lang="en"),
            ),
            "tone-bad" if each.what == "refused" else "tone-off",
        )
        for each in across.happenings
    ]  # fmt: skip
    return join(
        table(_COLUMNS, [_row(leg, across, run, names) for leg in across.legs]),
        h("p", *_agreement(across), class_="small muted"),
        _took_part(across, names),
        timeline(told) if told else None,
    )


_COLUMNS = (
    "Leg", Column("Outer steps", True), Column("Took part in", True), Column("Sent", True), Column("Waited", True),
    Column("Late or away", True), Column("Inner step", True),
)  # fmt: skip


def _row(leg: LegRecord, across: AcrossRecord, run: Run, names: Mapping[str, str]) -> tuple[Child, ...]:
    terms, tally = run.across, leg.tally
    assert terms is not None
    rounds = planned_rounds(leg, terms)
    applied = tally.applied // terms.fragments
    left = next((each.left_because for each in reversed(run.legs) if each.machine == leg.name), "")
    away = [
        f"{tally.late:,} late" if tally.late else "",
        plural(tally.returned, "return") if tally.returned else "",
        "given up" if left else "",
    ]
    step_s = [row.step_s.median for row in leg.telemetry]
    sent, share = planned_bytes(leg, terms, tally.sent), _share(leg)
    return (
        names.get(leg.name, leg.name),
        join(f"{applied:,}", h("small", f"planned {rounds:,}") if rounds else None),
        format_percent(tally.took_part / across.exchanges) if across.exchanges else "",
        join(format_bytes(tally.sent_bytes), h("small", f"planned {format_bytes(sent)}") if sent else None),
        join(
            format_seconds(tally.waited_s) if tally.waited_s else "none",
            h("small", f"{format_percent(share)} of its time") if share else None,
        ),
        [join(", " if place else None, h("span", each)) for place, each in enumerate(filter(None, away))] or "none",
        join(
            format_seconds(median(step_s)) if step_s else "",
            h("small", f"planned {format_seconds(leg.plan.step_time.total_s.expected)}") if leg.plan else None,
        ),
    )  # fmt: skip


def planned_rounds(leg: LegRecord, terms: OuterTerms) -> int:
    """Outer steps that the leg's plan has steps for; 0 without a plan."""
    return round(leg.plan.steps / terms.inner_steps_of(leg.name)) if leg.plan else 0


def planned_bytes(leg: LegRecord, terms: OuterTerms, parts: int) -> int:
    """What so many parts of one fragment each are, without headers; 0 without a plan."""
    if leg.plan is None:
        return 0
    return round(leg.plan.workload.trainable * BYTES_PER_VALUE[terms.codec] * parts / terms.fragments)


def _share(leg: LegRecord) -> float | None:
    """Of the time from the first step to the last of each attempt, how much it stood still for the others."""
    ends: dict[int, tuple[datetime, datetime]] = {}
    for row in leg.telemetry:
        ends[row.attempt] = (ends.get(row.attempt, (row.at, row.at))[0], row.at)
    took = sum((last - first).total_seconds() for first, last in ends.values())
    return min(1.0, leg.tally.waited_s / took) if took > 0 and leg.tally.waited_s else None


def _agreement(across: AcrossRecord) -> Iterator[Child]:
    if across.differing:
        yield h("b", f"After {plural(across.differing, 'exchange')} two legs held different weights.")
    else:
        yield f"All legs held the same weights after each of {plural(across.exchanges, 'exchange')}."
    yield " "
    yield "Sent is what a leg wrote for each of the others. Waited is how long its training stood still for them."


def _took_part(across: AcrossRecord, names: Mapping[str, str]) -> Html | None:
    """Outer steps in a row with the same legs; nothing where all took part in all."""
    everybody = tuple(leg.name for leg in across.legs)
    if all(each.legs == everybody for each in across.spans):
        return None
    rows = [
        (
            f"{each.first + 1:,}" if each.first == each.last else f"{each.first + 1:,}\N{EN DASH}{each.last + 1:,}",
            ", ".join(names.get(leg, leg) for leg in each.legs),
            ", ".join(names.get(leg, leg) for leg in everybody if leg not in each.legs),
        )
        for each in across.spans
    ]
    return table(("Outer step", "Took part", "Without"), rows)
