"""outer.jsonl, the audit trail of a leg: one line for what it sent, committed, applied, missed and refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from hanse.contracts.base import now
from hanse.contracts.outer import OuterRow
from hanse.training.say import say

What = Literal["sent", "committed", "applied", "late", "returned", "refused", "follows"]


class Trail:
    """Lines are added and never changed; what a resumed leg does again stands there again, under its attempt."""

    def __init__(self, path: Path, leg: str, attempt: int) -> None:
        self.path, self.leg, self.attempt = path, leg, attempt

    def note(self, what: What, **fields: Any) -> None:
        row = OuterRow(at=now(), what=what, leg=self.leg, attempt=self.attempt, **fields)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(row.model_dump_json(exclude_defaults=True) + "\n")

    def refused(self, name: str, why: str) -> None:
        say(f"REFUSED {name}: {why}. Nothing of it is used; it lies there as {name}.refused.")
        self.note("refused", reason=f"{name}: {why}")


def read(path: Path) -> tuple[OuterRow, ...]:
    """The rows so far; a last line that was cut short is none."""
    if not path.is_file():
        return ()
    lines = path.read_bytes().splitlines(keepends=True)
    return tuple(OuterRow.from_json(line) for line in lines if line.endswith(b"\n"))
