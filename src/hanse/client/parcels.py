"""The courier's side of the agent API: what was packed, which pieces the service lacks, pieces by their hash.

Files travel in pieces of 8 MiB, each named by its SHA-256: what the service or the receiver has is not sent again.
"""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath
from typing import Protocol

from pydantic import Field, model_validator

from hanse.client.http import Connection, parsed
from hanse.contracts.base import Contract, Sha256
from hanse.contracts.errors import ServiceError
from hanse.contracts.parcel import MAX_PIECE_BYTES, Parcel

PIECES_TYPE = "application/octet-stream"


class ParcelManifest(Contract):
    """A parcel and, for each of its files in order, the pieces it is cut into."""

    parcel: Parcel
    pieces: tuple[tuple[Sha256, ...], ...] = Field(default=())

    @model_validator(mode="after")
    def _one_list_a_file(self) -> ParcelManifest:
        if len(self.pieces) != len(self.parcel.files):
            raise ValueError("there must be one list of pieces for each file")
        for file, pieces in zip(self.parcel.files, self.pieces, strict=True):
            if len(pieces) != pieces_of(file.size_bytes):
                raise ValueError(f"{file.path} is {pieces_of(file.size_bytes)} pieces long, not {len(pieces)}")
        return self

    def sizes(self) -> dict[str, int]:
        """Every piece once, with its bytes."""
        found: dict[str, int] = {}
        for file, pieces in zip(self.parcel.files, self.pieces, strict=True):
            for number, piece in enumerate(pieces):
                found[piece] = min(MAX_PIECE_BYTES, file.size_bytes - number * MAX_PIECE_BYTES)
        return found


class Lacking(Contract):
    """The pieces of a parcel that the service does not have; none: it is ready to be fetched."""

    pieces: tuple[Sha256, ...] = ()


class ParcelService(Protocol):
    """What a courier needs of the service."""

    def offer_parcel(self, manifest: ParcelManifest) -> Lacking: ...

    def parcel(self, parcel_id: str) -> ParcelManifest: ...

    def put_piece(self, parcel_id: str, sha256: str, data: bytes) -> None: ...

    def piece(self, parcel_id: str, sha256: str) -> bytes: ...


class ParcelClient(Connection):
    """Speaks to `/api/agent/v1/parcels` for one machine."""

    def offer_parcel(self, manifest: ParcelManifest) -> Lacking:
        """Say what was packed and learn which pieces to send; asking again is harmless."""
        answer = self.exchange("PUT", f"/api/agent/v1/parcels/{manifest.parcel.id}", body=manifest)
        return parsed(Lacking, answer)

    def parcel(self, parcel_id: str) -> ParcelManifest:
        return parsed(ParcelManifest, self.exchange("GET", f"/api/agent/v1/parcels/{parcel_id}"))

    def put_piece(self, parcel_id: str, sha256: str, data: bytes) -> None:
        headers = {"Content-Type": PIECES_TYPE}
        self.exchange("PUT", _piece(parcel_id, sha256), content=data, headers=headers)

    def piece(self, parcel_id: str, sha256: str) -> bytes:
        """One piece, checked against its name."""
        data = self.exchange("GET", _piece(parcel_id, sha256)).content
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ServiceError(
                f"the piece {sha256[:12]} arrived altered or cut", where=self.url, fix="it will be fetched again"
            )
        return data


def pieces_of(size_bytes: int) -> int:
    """How many pieces a file of that size is cut into."""
    return -(-size_bytes // MAX_PIECE_BYTES)


def _piece(parcel_id: str, sha256: str) -> str:
    return f"/api/agent/v1/parcels/{parcel_id}/pieces/{sha256}"


def fits(kind: str, path: str) -> bool:
    """Whether a parcel of that kind may hold a file at that place: never code, specs or tickets."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\0" in path or str(pure) != path:
        return False
    if kind == "checkpoint":
        return path in {"ledger.jsonl", "data.json"} or (len(pure.parts) == 3 and pure.parts[0] == "checkpoints")
    return len(pure.parts) >= 2 and pure.parts[0] == {"data": "prepared", "outer": "inbox"}[kind]
