"""The audit trails of a run's legs, as their agents told them: each line once, and what they add up to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, Final

from django.db import models
from django.db.models import Count, Q, Sum
from django.db.models.functions import Coalesce

from hanse.contracts.across_record import AcrossRecord, LegRecord, LegTally, OuterHappening, OuterSpan
from hanse.contracts.agentapi import TrailLine
from hanse.contracts.outer import OuterTerms

MOST_SPANS: Final = 100
MOST_HAPPENINGS: Final = 30
REASON_CHARACTERS: Final = 400
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
    names = [each.name for each in terms.legs]
    sums, differing = _sums(run)
    tallies = _tallies(run, sums)
    unusual = TrailRow.objects.filter(run=run, what__in=_NOT_OF_EVERY_DAY).order_by("-at", "-pk")[:MOST_HAPPENINGS]
    return AcrossRecord(
        legs=tuple(_leg(run, name, tallies.get(name, LegTally()), rows) for name in names),
        exchanges=len(sums), differing=differing,
        spans=tuple(_spans(sums, terms))[-MOST_SPANS:],
        happenings=tuple(
            OuterHappening(
                at=each.at, leg=each.slot, what=each.what, reason=each.reason,
                outer_step=None if each.exchange is None else each.exchange // terms.fragments,
            )
            for each in reversed(unusual)
        ),
    )  # fmt: skip


def _leg(run: Any, slot: str, tally: LegTally, rows: int) -> LegRecord:
    from hanse.service.runs.telemetry import StepRow

    leg = run.legs.filter(slot=slot).order_by("-number").first()
    plan = leg.plan or (run.plan if run.plan and run.plan.machine == slot else None) if leg else None
    return LegRecord(name=slot, plan=plan, telemetry=StepRow.thinned(run, rows, slot=slot), tally=tally)


def _sums(run: Any) -> tuple[dict[int, frozenset[str]], int]:
    """Who took part in each exchange, and in how many the legs came to different weights."""
    took: dict[int, frozenset[str]] = {}
    results: dict[int, set[str]] = defaultdict(set)
    told = TrailRow.objects.filter(run=run, what="applied", exchange__isnull=False).order_by("at", "pk")
    latest: dict[tuple[int, str], tuple[list[str], str]] = {}
    for number, slot, legs, sha256 in told.values_list("exchange", "slot", "took_part", "result_sha256"):
        latest[number, slot] = (legs, sha256)  # a leg that went back to another chain applied it anew
    for (number, _), (legs, sha256) in latest.items():
        took[number] = took.get(number, frozenset()) | frozenset(legs)
        results[number].add(sha256)
    return dict(sorted(took.items())), sum(len(each) > 1 for each in results.values())


def _tallies(run: Any, sums: dict[int, frozenset[str]]) -> dict[str, LegTally]:
    def distinct(what: str) -> Count:
        return Count("exchange", filter=Q(what=what), distinct=True)

    def lines(what: str) -> Count:
        return Count("pk", filter=Q(what=what))

    rows = TrailRow.objects.filter(run=run).order_by().values("slot").annotate(
        sent=distinct("sent"), applied=distinct("applied"), committed=distinct("committed"),
        late=lines("late"), returned=lines("returned"), refused=lines("refused"),
        bytes_out=Coalesce(Sum("sent_bytes"), 0), bytes_in=Coalesce(Sum("received_bytes"), 0),
        waited=Coalesce(Sum("waited_s"), 0.0),
    )  # fmt: skip
    return {
        row["slot"]: LegTally(
            took_part=sum(row["slot"] in legs for legs in sums.values()), sent_bytes=row["bytes_out"],
            received_bytes=row["bytes_in"], waited_s=row["waited"],
            **{name: row[name] for name in ("sent", "applied", "committed", "late", "returned", "refused")},
        )
        for row in rows
    }  # fmt: skip


def _spans(sums: dict[int, frozenset[str]], terms: OuterTerms) -> Iterator[OuterSpan]:
    by_step: dict[int, frozenset[str]] = {}
    for number, legs in sums.items():
        by_step[number // terms.fragments] = by_step.get(number // terms.fragments, frozenset()) | legs
    for legs, group in groupby(by_step.items(), key=lambda each: each[1]):
        steps = [step for step, _ in group]
        in_order = tuple(each.name for each in terms.legs if each.name in legs)
        yield OuterSpan(first=steps[0], last=steps[-1], legs=in_order)
