"""The audit trails of a run's legs, as their agents told them: each line once, and what they add up to."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, Final, NamedTuple

from django.db import models

from hanse.contracts.across_record import AcrossRecord, LegRecord, LegTally, OuterHappening, OuterSpan
from hanse.contracts.agentapi import TrailLine
from hanse.contracts.outer import OuterTerms
from hanse.service.runs.telemetry import StepRow

MOST_SPANS: Final = 100
MOST_HAPPENINGS: Final = 30
REASON_CHARACTERS: Final = 400
_EVERY_DAY: Final = ("sent", "applied", "committed")
_NOT_OF_EVERY_DAY: Final = ("late", "returned", "refused", "follows")


class TrailRow(models.Model):
    """A line of one leg's outer.jsonl. The chain of hashes stays with the run's files."""

    run = models.ForeignKey("runs.Run", on_delete=models.CASCADE, related_name="trail")
    slot = models.CharField(max_length=63)
    offset = models.PositiveBigIntegerField()
    at = models.DateTimeField()
    what = models.CharField(max_length=12)
    exchange = models.PositiveBigIntegerField(null=True)
    """Outer step × fragments + fragment."""
    took_part = models.JSONField(default=list)
    """Of what was applied: the legs whose parts are in the sum."""
    result_sha256 = models.CharField(max_length=64, blank=True)
    sent_bytes = models.PositiveBigIntegerField(default=0)
    received_bytes = models.PositiveBigIntegerField(default=0)
    waited_s = models.FloatField(default=0.0)
    reason = models.TextField(blank=True)

    class Meta:
        app_label = "runs"
        ordering = ["run", "slot", "offset"]
        constraints = [models.UniqueConstraint(fields=["run", "slot", "offset"], name="trail_line_once")]

    def __str__(self) -> str:
        return f"{self.slot}: {self.what}"

    @classmethod
    def store(cls, run: Any, slot: str, lines: Iterable[TrailLine]) -> None:
        rows = [_row(run, slot, each) for each in lines if each.row.leg == slot]
        cls.objects.bulk_create(rows, ignore_conflicts=True, batch_size=500)


def _row(run: Any, slot: str, line: TrailLine) -> TrailRow:
    row = line.row
    number = None if row.outer_step is None else row.outer_step * run.across.fragments + (row.fragment or 0)
    return TrailRow(
        run=run, slot=slot, offset=line.offset, at=row.at, what=row.what, exchange=number,
        took_part=[each.leg for each in row.parts] if row.what == "applied" else [],
        result_sha256=row.result_sha256 or "", sent_bytes=row.sent_bytes, received_bytes=row.received_bytes,
        # What the leg that commits waits for parts is in `applied` too, as the time that it stood still.
        waited_s=row.waited_s if row.what == "applied" else 0.0, reason=row.reason[:REASON_CHARACTERS],
    )  # fmt: skip


def record_of(run: Any, *, rows: int) -> AcrossRecord | None:
    """What is known of a run's legs, with so many step rows of each; None for an ordinary run."""
    if run.across is None:
        return None
    terms: OuterTerms = run.across
    lines = [_Line(*each) for each in TrailRow.objects.filter(run=run).order_by("at", "pk").values_list(*_Line._fields)]
    sums, differing = _sums(lines)
    told = StepRow.thinned_by_leg(run, rows)
    latest = {leg.slot: leg for leg in sorted(run.legs.all(), key=lambda leg: leg.number)}
    unusual = [each for each in lines if each.what in _NOT_OF_EVERY_DAY]
    return AcrossRecord(
        legs=tuple(
            LegRecord(
                name=name, plan=_plan(run, latest.get(name)), telemetry=told.get(name, ()),
                tally=_tally(name, lines, sums),
            )
            for name in (each.name for each in terms.legs)
        ),
        exchanges=len(sums), differing=differing,
        spans=tuple(_spans(sums, terms))[-MOST_SPANS:],
        happenings=tuple(
            OuterHappening(
                at=each.at, leg=each.slot, what=each.what, reason=each.reason,
                outer_step=None if each.exchange is None else each.exchange // terms.fragments,
            )
            for each in unusual[-MOST_HAPPENINGS:]
        ),
    )  # fmt: skip


class _Line(NamedTuple):
    """What is asked of a row: one query for all of a run's, since its page may not ask often."""

    at: datetime
    slot: str
    what: Any
    exchange: int | None
    took_part: list[str]
    result_sha256: str
    sent_bytes: int
    received_bytes: int
    waited_s: float
    reason: str


def _plan(run: Any, leg: Any) -> Any:
    """A leg's own; the first one's is the run's."""
    if leg is None or leg.plan is not None:
        return leg and leg.plan
    return run.plan if run.plan and run.plan.machine == leg.slot else None


def _sums(lines: Sequence[_Line]) -> tuple[dict[int, frozenset[str]], int]:
    """Who took part in each exchange, and in how many the legs came to different weights."""
    # A leg that went back to another chain has applied it anew: its latest line holds.
    latest = {(each.exchange, each.slot): each for each in lines if each.what == "applied"}
    took: dict[int, frozenset[str]] = {}
    results: dict[int, set[str]] = defaultdict(set)
    for (number, _), each in latest.items():
        if number is not None:
            took[number] = took.get(number, frozenset()) | frozenset(each.took_part)
            results[number].add(each.result_sha256)
    return dict(sorted(took.items())), sum(len(each) > 1 for each in results.values())


def _tally(slot: str, lines: Sequence[_Line], sums: dict[int, frozenset[str]]) -> LegTally:
    own = [each for each in lines if each.slot == slot]
    exchanges = {what: {each.exchange for each in own if each.what == what} for what in _EVERY_DAY}
    counts = Counter(each.what for each in own)
    return LegTally(
        **{what: len(each) for what, each in exchanges.items()},
        **{what: counts[what] for what in ("late", "returned", "refused")},
        took_part=sum(slot in legs for legs in sums.values()), sent_bytes=sum(each.sent_bytes for each in own),
        received_bytes=sum(each.received_bytes for each in own), waited_s=sum(each.waited_s for each in own),
    )  # fmt: skip


def _spans(sums: dict[int, frozenset[str]], terms: OuterTerms) -> Iterator[OuterSpan]:
    by_step: dict[int, frozenset[str]] = {}
    for number, legs in sums.items():
        by_step[number // terms.fragments] = by_step.get(number // terms.fragments, frozenset()) | legs
    for legs, group in groupby(by_step.items(), key=lambda each: each[1]):
        steps = [step for step, _ in group]
        in_order = tuple(each.name for each in terms.legs if each.name in legs)
        yield OuterSpan(first=steps[0], last=steps[-1], legs=in_order)
