"""Rows and log text that agents send: stored once, however often they come."""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from django.db import models
from django.db.models import F, Max

from hanse.client.answers import LogText
from hanse.contracts.telemetry import StepSummary
from hanse.service.records import ContractField

LOG_LIMIT_BYTES = 20 * 1024 * 1024
"""Of one attempt; what comes beyond stays with the run's files."""
LOG_PAGE_CHUNKS = 64
ATTEMPT_SPAN = 2**40
"""Offsets of the log API: the place of an attempt among its run's times this, plus the byte in its log."""

logger = logging.getLogger(__name__)


class StepRow(models.Model):
    attempt = models.ForeignKey("runs.Attempt", on_delete=models.CASCADE, related_name="rows")
    step = models.PositiveBigIntegerField()
    row = ContractField(contract="hanse.contracts.telemetry.StepSummary")

    class Meta:
        app_label = "runs"
        ordering = ["step", "attempt__number"]
        constraints = [models.UniqueConstraint(fields=["attempt", "step"], name="step_once_an_attempt")]

    def __str__(self) -> str:
        return f"step {self.step}"

    @classmethod
    def store(cls, attempt: Any, rows: Sequence[StepSummary]) -> None:
        sound = [row for row in rows if math.isfinite(row.loss) and math.isfinite(row.grad_norm)]
        if len(sound) < len(rows):
            logger.warning("%s: %d rows without a finite loss dropped", attempt.public_id, len(rows) - len(sound))
        cls.objects.bulk_create(
            [cls(attempt=attempt, step=row.step, row=row) for row in sound], ignore_conflicts=True, batch_size=500
        )

    @classmethod
    def of_run(cls, run: Any, *, after_step: int = 0) -> Any:
        """A run's rows; of one across machines those of the leg that speaks for it."""
        rows = cls.objects.filter(attempt__leg__run=run, step__gt=after_step)
        if run.across is None:
            return rows
        from hanse.service.runs.abreast import speaker

        return rows.filter(attempt__leg__slot=speaker(run).slot)

    @classmethod
    def tokens_of(cls, run: Any) -> int:
        """Tokens trained on so far, by what was reported last; of a run across machines those of all legs."""
        slots = run.legs.order_by("slot").values_list("slot", flat=True).distinct()
        latest = (cls.objects.filter(attempt__leg__run=run, attempt__leg__slot=slot).last() for slot in slots)
        return sum(one.row.tokens for one in latest if one is not None)

    @classmethod
    def thinned(cls, run: Any, limit: int = 2000) -> tuple[StepSummary, ...]:
        """A run's rows in order of step, the latest attempt's where one was repeated, evenly thinned to `limit`."""
        by_step = dict(cls.of_run(run).values_list("step", "pk"))
        rows = cls.objects.filter(pk__in=_evenly(by_step, limit))
        return tuple(row.row for row in rows)

    @classmethod
    def thinned_by_leg(cls, run: Any, limit: int) -> dict[str, tuple[StepSummary, ...]]:
        """The same of each leg of a run across machines, by its slot."""
        every = cls.objects.filter(attempt__leg__run=run)
        by_step: dict[str, dict[int, int]] = defaultdict(dict)
        for slot, step, pk in every.values_list("attempt__leg__slot", "step", "pk"):
            by_step[slot][step] = pk
        kept = [pk for steps in by_step.values() for pk in _evenly(steps, limit)]
        found: dict[str, list[StepSummary]] = defaultdict(list)
        for slot, row in cls.objects.filter(pk__in=kept).values_list("attempt__leg__slot", "row"):
            found[slot].append(row)
        return {slot: tuple(rows) for slot, rows in found.items()}


def _evenly(by_step: dict[int, int], limit: int) -> list[int]:
    steps = sorted(by_step)
    if len(steps) > limit:
        stride = (len(steps) - 1) / (limit - 1)
        steps = [steps[round(i * stride)] for i in range(limit)]
    return [by_step[step] for step in steps]


class LogChunk(models.Model):
    attempt = models.ForeignKey("runs.Attempt", on_delete=models.CASCADE, related_name="log")
    offset = models.PositiveBigIntegerField()
    size_bytes = models.PositiveIntegerField()
    text = models.TextField()

    class Meta:
        app_label = "runs"
        ordering = ["attempt__number", "offset"]
        constraints = [models.UniqueConstraint(fields=["attempt", "offset"], name="log_offset_once")]

    def __str__(self) -> str:
        return f"{self.offset}+{self.size_bytes}"

    @classmethod
    def store(cls, attempt: Any, offset: int, text: str) -> None:
        """Keep what is new of a chunk: agents may send any part again, cut otherwise."""
        data = text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode()
        end = cls.objects.filter(attempt=attempt).aggregate(end=Max(F("offset") + F("size_bytes")))["end"] or 0
        known = max(0, end - offset)
        fresh = data[known:]
        if not fresh or offset + known + len(fresh) > LOG_LIMIT_BYTES:
            return
        cls.objects.create(
            attempt=attempt, offset=offset + known, size_bytes=len(fresh), text=fresh.decode(errors="replace")
        )

    @classmethod
    def read(cls, run: Any, offset: int) -> LogText:
        """What stands from an API offset on: of one attempt, and of the next where that one has no more.

        Attempts are counted over all legs, in the order in which they were planned: each leg numbers its own from 1.
        """
        place, byte = offset // ATTEMPT_SPAN, offset % ATTEMPT_SPAN
        from hanse.service.runs.attempts import Attempt

        in_order = Attempt.objects.filter(leg__run=run).order_by("leg__number", "number")
        attempts = list(in_order.values_list("pk", "number", "leg__machine__public_id"))
        for index in range(place, len(attempts)):
            pk, number, machine = attempts[index]
            start = byte if index == place else 0
            page = list(cls.objects.filter(attempt=pk, offset__gte=start).order_by("offset")[:LOG_PAGE_CHUNKS])
            if page:
                last = page[-1]
                return LogText(
                    offset=index * ATTEMPT_SPAN + page[0].offset,
                    next_offset=index * ATTEMPT_SPAN + last.offset + last.size_bytes,
                    text="".join(chunk.text for chunk in page),
                    attempt=number,
                    machine=machine,
                )
        number = attempts[place][1] if byte and place < len(attempts) else 0
        return LogText(offset=offset, next_offset=offset, text="", attempt=number)
