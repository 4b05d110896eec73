"""Read what a job has written since last time: steps, log, result, and what its files show of its progress.

Little travels: of the steps at most one in five seconds and the last one, of the log at most 64 kB a time, and of a
log that grew by more than a megabyte only the end. The files lie on a host, which may be behind SSH: one that cannot be
reached raises HostUnreachable, and nothing is known then.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from hanse.agent.decide import Traces
from hanse.agent.store import Record
from hanse.contracts.agentapi import LogChunk, TelemetryBatch, TrailBatch, TrailLine
from hanse.contracts.outer import OuterRow
from hanse.contracts.rundir import AttemptDir, RunDir
from hanse.contracts.telemetry import StepSummary, TrainResult
from hanse.schedulers.host import Host, LocalHost

HERE = LocalHost()

ROW_EVERY_S = 5.0
CHUNK_BYTES = 64_000
BACKLOG_BYTES = 1_000_000
TRAIL_BYTES = 200_000
_STEPS_END_BYTES = 8_000
_RESULT_BYTES = 1_000_000
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
    trail: TrailBatch | None = None
    more_trail: bool = False
    result: TrainResult | None = None
    steps_offset: int
    steps_sent_at: float
    log_offset: int
    trail_offset: int

    @property
    def more(self) -> bool:
        return self.more_log or self.more_steps or self.more_trail


def traces(run_dir: RunDir, number: int, host: Host = HERE) -> Traces:
    attempt = run_dir.attempt(number)
    found = host.tails({attempt.claim: 0, run_dir.finished: 0, attempt.steps: -_STEPS_END_BYTES}, _STEPS_END_BYTES)
    claim = found[attempt.claim]
    claimed, holder = True, ""
    if claim is not None:
        holder = claim.decode("utf-8", "replace").split("\n")[0].strip()
    else:
        try:
            claimed = host.exists(attempt.claim)  # written by another user, and there: who holds it is not to be seen
        except PermissionError:
            claimed = True
    row = _last_of(found[attempt.steps])
    return Traces(
        claimed=claimed,
        claim_holder=holder.split(" ")[0],
        finished=found[run_dir.finished] is not None or _is_there(run_dir.finished, host),
        last_step=row.step if row else None,
        progressed=row is not None,
    )


def _is_there(path: Path, host: Host) -> bool:
    """For a file that could not be read here, as another user's may be; behind SSH all is one's own."""
    return not host.remote and path.exists()


def last_step(attempt: AttemptDir, host: Host = HERE) -> int | None:
    """The last step this attempt wrote down; None before the first."""
    row = _last_row(attempt, host)
    return row.step if row else None


def _last_row(attempt: AttemptDir, host: Host) -> StepSummary | None:
    return _last_of(host.tails({attempt.steps: -_STEPS_END_BYTES}, _STEPS_END_BYTES)[attempt.steps])


def _last_of(end: bytes | None) -> StepSummary | None:
    lines = (end or b"").decode("utf-8", "replace").splitlines()
    rows = [row for line in lines if (row := _step(line))]
    return rows[-1] if rows else None


def news(record: Record, run_dir: RunDir, host: Host = HERE, *, ended: bool) -> News:
    """What is new since the record's offsets; `ended` sends the last step however soon it came."""
    attempt = run_dir.attempt(record.assignment.number)
    lines, steps_offset, more_steps = _new_lines(attempt.steps, record.steps_offset, BACKLOG_BYTES, host)
    rows = [row for line in lines if (row := _step(line.decode("utf-8", "replace")))]
    kept: list[StepSummary] = []
    sent_at = record.steps_sent_at
    for row in rows:
        if row.at.timestamp() - sent_at >= ROW_EVERY_S:
            kept.append(row)
            sent_at = row.at.timestamp()
    if ended and not more_steps and (last := _last_row(attempt, host)) and last.at.timestamp() > sent_at:
        kept.append(last)
        sent_at = last.at.timestamp()
    chunk, more_log = log_chunk(record, attempt, host)
    trail, trail_offset, more_trail = _trail(record, run_dir, host)
    return News(
        telemetry=TelemetryBatch(attempt_id=record.attempt_id, rows=tuple(kept)) if kept else None,
        log=chunk,
        more_log=more_log,
        more_steps=more_steps,
        trail=trail,
        more_trail=more_trail,
        result=_result(run_dir, host) if ended and not record.result_sent else None,
        steps_offset=steps_offset,
        steps_sent_at=sent_at,
        log_offset=chunk.offset + len(chunk.text.encode()) if chunk else record.log_offset,
        trail_offset=trail_offset,
    )


def _trail(record: Record, run_dir: RunDir, host: Host) -> tuple[TrailBatch | None, int, bool]:
    """New lines of a leg's audit trail, where they end, and whether there may be more; an ordinary run has none."""
    offset = record.trail_offset
    if record.assignment.spec.across is None:
        return None, offset, False
    raw, end, more = _new_lines(run_dir.outer_rows, offset, TRAIL_BYTES, host)
    lines = []
    for each in raw:
        with suppress(ValidationError):  # cut off when its writer was killed
            lines.append(TrailLine(offset=offset, row=OuterRow.from_json(each)))
        offset += len(each) + 1
    return TrailBatch(attempt_id=record.attempt_id, lines=tuple(lines)) if lines else None, end, more


def log_chunk(record: Record, attempt: AttemptDir, host: Host = HERE) -> tuple[LogChunk | None, bool]:
    """The next piece of the log, in whole lines where there are any, and whether there is more behind it.

    Bytes that are no UTF-8 become question marks, one each, so that an offset stays a number of bytes.
    """
    try:
        size = host.size(attempt.log)
    except PermissionError:
        return None, False
    if size is None:
        return None, False
    offset = max(record.log_offset, size - BACKLOG_BYTES)
    if size <= offset:
        return None, False
    try:
        raw = host.read(attempt.log, offset, CHUNK_BYTES)
    except (FileNotFoundError, PermissionError):
        return None, False
    whole = raw[: raw.rfind(b"\n") + 1] or raw
    text = whole.decode("utf-8", "surrogateescape")
    text = "".join("?" if "\udc80" <= character <= "\udcff" else character for character in text)
    return LogChunk(attempt_id=record.attempt_id, offset=offset, text=text), offset + len(whole) < size


def last_lines(log: Path, host: Host = HERE) -> list[str]:
    """The end of a log, line by line, for whoever looks for a cause in it."""
    return _tail(log, 128_000, host)


def telling_lines(log: Path, count: int = 5, host: Host = HERE) -> str:
    """The last lines of a failed job's log that say why: those that name an error, else just the last ones."""
    lines = [line.rstrip() for line in _tail(log, 32_000, host) if line.strip() and not _SCAFFOLD.search(line)]
    telling = [line for line in lines if _TELLING.search(line)]
    return "\n".join((telling or lines)[-count:])


def _result(run_dir: RunDir, host: Host) -> TrainResult | None:
    written = host.read_many([run_dir.result], _RESULT_BYTES)[run_dir.result]
    try:
        return TrainResult.from_json(written) if written is not None else None
    except ValidationError:
        return None


def _step(line: str) -> StepSummary | None:
    try:
        return StepSummary.from_json(line)
    except ValidationError:
        return None  # a line cut off when its writer was killed


def _new_lines(path: Path, offset: int, limit: int, host: Host) -> tuple[list[bytes], int, bool]:
    """Whole lines from `offset` on, where they end, and whether there may be more of them behind."""
    raw = host.tails({path: offset}, limit)[path]
    if raw is None:
        return [], offset, False
    whole = raw[: raw.rfind(b"\n") + 1]
    return whole.splitlines(), offset + len(whole), bool(whole) and len(raw) == limit


def _tail(path: Path, limit: int, host: Host) -> list[str]:
    return (host.tails({path: -limit}, limit)[path] or b"").decode("utf-8", "replace").splitlines()
