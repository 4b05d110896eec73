"""Read what a job has written since last time: steps, log, result, and what its files show of its progress.

Little travels: of the steps at most one in five seconds and the last one, of the log at most 64 kB a time, and of a
log that grew by more than a megabyte only the end.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from hanse.agent.decide import Traces
from hanse.agent.store import Record
from hanse.contracts.agentapi import LogChunk, TelemetryBatch
from hanse.contracts.rundir import AttemptDir, RunDir
from hanse.contracts.telemetry import StepSummary, TrainResult

ROW_EVERY_S = 5.0
CHUNK_BYTES = 64_000
BACKLOG_BYTES = 1_000_000
_TELLING = re.compile(r"\b\w*(error|exception|killed|refused|denied|no such|not found)\b", re.IGNORECASE)
_SCAFFOLD = re.compile(
    r"torch\.distributed\.elastic|ChildFailedError|^\s*(File \"|[-=]{5,}|raise |traceback)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What to send of one attempt, and how far it brings the record once it has arrived."""

    telemetry: TelemetryBatch | None = None
    log: LogChunk | None = None
    more_log: bool = False
    """The log goes on after this piece."""
    more_steps: bool = False
    result: TrainResult | None = None
    steps_offset: int
    steps_sent_at: float
    log_offset: int

    @property
    def more(self) -> bool:
        return self.more_log or self.more_steps


def traces(run_dir: RunDir, number: int) -> Traces:
    attempt = run_dir.attempt(number)
    try:
        holder, claimed = attempt.claim.read_text("utf-8", "replace").split("\n")[0].strip(), True
    except FileNotFoundError:
        holder, claimed = "", False
    except PermissionError:  # written by another user, and there: who holds it is not to be seen
        holder, claimed = "", True
    last = last_step(attempt)
    return Traces(
        claimed=claimed,
        claim_holder=holder.split(" ")[0],
        finished=run_dir.finished.exists(),
        last_step=last,
        progressed=last is not None,
    )


def last_step(attempt: AttemptDir) -> int | None:
    """The last step this attempt wrote down; None before the first."""
    row = _last_row(attempt)
    return row.step if row else None


def _last_row(attempt: AttemptDir) -> StepSummary | None:
    rows = [row for line in _tail(attempt.steps, 8_000) if (row := _step(line))]
    return rows[-1] if rows else None


def news(record: Record, run_dir: RunDir, *, ended: bool) -> News:
    """What is new since the record's offsets; `ended` sends the last step however soon it came."""
    attempt = run_dir.attempt(record.assignment.number)
    lines, steps_offset, more_steps = _new_lines(attempt.steps, record.steps_offset, BACKLOG_BYTES)
    rows = [row for line in lines if (row := _step(line.decode("utf-8", "replace")))]
    kept: list[StepSummary] = []
    sent_at = record.steps_sent_at
    for row in rows:
        if row.at.timestamp() - sent_at >= ROW_EVERY_S:
            kept.append(row)
            sent_at = row.at.timestamp()
    if ended and not more_steps and (last := _last_row(attempt)) and last.at.timestamp() > sent_at:
        kept.append(last)
        sent_at = last.at.timestamp()
    chunk, more_log = log_chunk(record, attempt)
    return News(
        telemetry=TelemetryBatch(attempt_id=record.attempt_id, rows=tuple(kept)) if kept else None,
        log=chunk,
        more_log=more_log,
        more_steps=more_steps,
        result=_result(run_dir) if ended and not record.result_sent else None,
        steps_offset=steps_offset,
        steps_sent_at=sent_at,
        log_offset=chunk.offset + len(chunk.text.encode()) if chunk else record.log_offset,
    )


def log_chunk(record: Record, attempt: AttemptDir) -> tuple[LogChunk | None, bool]:
    """The next piece of the log, in whole lines where there are any, and whether there is more behind it.

    Bytes that are no UTF-8 become question marks, one each, so that an offset stays a number of bytes.
    """
    try:
        size = attempt.log.stat().st_size
    except (FileNotFoundError, PermissionError):
        return None, False
    offset = max(record.log_offset, size - BACKLOG_BYTES)
    if size <= offset:
        return None, False
    with attempt.log.open("rb") as file:
        file.seek(offset)
        raw = file.read(CHUNK_BYTES)
    whole = raw[: raw.rfind(b"\n") + 1] or raw
    text = whole.decode("utf-8", "surrogateescape")
    text = "".join("?" if "\udc80" <= character <= "\udcff" else character for character in text)
    return LogChunk(attempt_id=record.attempt_id, offset=offset, text=text), offset + len(whole) < size


def last_lines(log: Path) -> list[str]:
    """The end of a log, line by line, for whoever looks for a cause in it."""
    return _tail(log, 128_000)


def telling_lines(log: Path, count: int = 5) -> str:
    """The last lines of a failed job's log that say why: those that name an error, else just the last ones."""
    lines = [line.rstrip() for line in _tail(log, 32_000) if line.strip() and not _SCAFFOLD.search(line)]
    telling = [line for line in lines if _TELLING.search(line)]
    return "\n".join((telling or lines)[-count:])


def _result(run_dir: RunDir) -> TrainResult | None:
    try:
        return TrainResult.from_json(run_dir.result.read_bytes())
    except (FileNotFoundError, PermissionError, ValidationError):
        return None


def _step(line: str) -> StepSummary | None:
    try:
        return StepSummary.from_json(line)
    except ValidationError:
        return None  # a line cut off when its writer was killed


def _new_lines(path: Path, offset: int, limit: int) -> tuple[list[bytes], int, bool]:
    """Whole lines from `offset` on, where they end, and whether there may be more of them behind."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            raw = file.read(limit)
    except (FileNotFoundError, PermissionError):
        return [], offset, False
    whole = raw[: raw.rfind(b"\n") + 1]
    return whole.splitlines(), offset + len(whole), bool(whole) and len(raw) == limit


def _tail(path: Path, limit: int) -> list[str]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - limit))
            return file.read().decode("utf-8", "replace").splitlines()
    except (FileNotFoundError, PermissionError):
        return []
