"""What the courier carries from one machine to another: files by their hashes, so that nothing is sent twice."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from hanse.contracts.base import Contract, Count, Identifier, Sha256, Timestamp

ParcelState = Literal["asked", "packing", "moving", "ready", "arrived", "failed"]


class ParcelFile(Contract):
    """`path` is relative to the run's folder (or to the data folder for `kind: data`), never absolute, without '..'."""

    path: str = Field(min_length=1, max_length=1000)
    size_bytes: Count
    sha256: Sha256


class ParcelOrder(Contract):
    """The service asks the agent of the machine that has them to send files of a run; repeated until it is done."""

    id: Identifier
    run_id: Identifier
    kind: Literal["checkpoint", "data", "outer"]
    """`checkpoint`: the newest complete one with what a job on another machine needs to go on from it."""
    to_machine: Identifier


class Parcel(Contract):
    """What was packed. An attempt that fetches it is submitted only when every file lies there, verified."""

    id: Identifier
    run_id: Identifier
    kind: Literal["checkpoint", "data", "outer"]
    from_machine: Identifier
    to_machine: Identifier
    step: Count | None = None
    files: tuple[ParcelFile, ...] = ()
    packed_at: Timestamp | None = None

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


class ParcelReport(Contract):
    """How an agent stands with a parcel it sends or fetches."""

    id: Identifier
    side: Literal["send", "fetch"]
    state: ParcelState
    moved_bytes: Count = 0
    total_bytes: Count = 0
    reason: str = ""
    parcel: Parcel | None = None
    """From the sender, once it is packed."""


MAX_PIECE_BYTES: Final = 8 * 1024 * 1024
"""Files travel in pieces of at most this size, each of which may be sent again."""
