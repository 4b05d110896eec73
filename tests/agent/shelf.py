"""Two machines' disks and the service between them, in one process, that may lose power at any of their acts."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hanse.agent.courier import Courier
from hanse.agent.courier_ground import Ground, LocalGround
from hanse.client.parcels import Lacking, ParcelManifest
from hanse.contracts.parcel import Parcel, ParcelOrder, ParcelReport
from hanse.contracts.rundir import RunDir

RUN = "run-1"


class PowerCut(BaseException):
    """The process is gone at this line."""


@dataclass
class Shelf:
    """The service's part: manifests and pieces, and how often each was sent and fetched."""

    manifests: dict[str, ParcelManifest] = field(default_factory=dict)
    pieces: dict[str, bytes] = field(default_factory=dict)
    put: list[str] = field(default_factory=list)
    got: list[str] = field(default_factory=list)

    def offer_parcel(self, manifest: ParcelManifest) -> Lacking:
        self.manifests[manifest.parcel.id] = manifest
        return Lacking(pieces=tuple(piece for piece in manifest.sizes() if piece not in self.pieces))

    def parcel(self, parcel_id: str) -> ParcelManifest:
        return self.manifests[parcel_id]

    def put_piece(self, parcel_id: str, sha256: str, data: bytes) -> None:
        assert hashlib.sha256(data).hexdigest() == sha256
        self.put.append(sha256)
        self.pieces[sha256] = data

    def piece(self, parcel_id: str, sha256: str) -> bytes:
        self.got.append(sha256)
        return self.pieces[sha256]


class Cut:
    """Passes every call on, until the power is cut: before or after the act, by turns."""

    def __init__(self, inner: Any, after: int) -> None:
        self._inner, self._count, self._after = inner, itertools.count(), after

    def __getattr__(self, name: str) -> Callable[..., Any]:
        act = getattr(self._inner, name)

        def call(*arguments: Any, **options: Any) -> Any:
            number = next(self._count)
            if number == self._after and number % 2:
                raise PowerCut
            answer = act(*arguments, **options)
            if number >= self._after:
                raise PowerCut
            return answer

        return call


@dataclass
class End:
    """One machine: a home with runs/ and data/, and its courier, begun anew for every turn."""

    name: str
    home: Path
    service: Any
    ground: Ground = field(default_factory=LocalGround)

    @property
    def run(self) -> RunDir:
        return RunDir(self.home / "runs" / RUN)

    @property
    def data(self) -> Path:
        return self.home / "data"

    def courier(self, *, cut_after: int | None = None, turn_s: float = 30.0) -> Courier:
        ground, service = self.ground, self.service
        if cut_after is not None:
            ground, service = Cut(ground, cut_after), Cut(service, cut_after)
        return Courier(
            service, lambda _: self.run, ground, self.home / "courier.sqlite3", machine=self.name, data_dir=self.data,
            turn_s=turn_s,
        )  # fmt: skip

    def send(self, kind: str = "checkpoint", id: str = "par-1", **how: Any) -> ParcelReport:
        (report,) = self.courier(**how).pursue([ParcelOrder(id=id, run_id=RUN, kind=kind, to_machine="b")], [])
        return report

    def fetch(self, parcel: Parcel, **how: Any) -> ParcelReport:
        (report,) = self.courier(**how).pursue([], [parcel])
        return report


def write_checkpoint(run: RunDir, step: int, content: dict[str, bytes], *, complete: bool = True) -> Path:
    """A checkpoint as the trainer leaves it, with its ledger and the note of its data."""
    folder = run.checkpoints / f"step-{step:08d}"
    folder.mkdir(parents=True)
    for name, data in content.items():
        (folder / name).write_bytes(data)
    files = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
    if complete:
        (folder / "COMPLETE").write_text(json.dumps({"position": {"step": step}, "files": files}))
    run.ledger.write_text(f'{{"last_step":{step}}}\n')
    return folder


def write_data(end: End, key: str = "k" * 64) -> Path:
    folder = end.data / "prepared" / key[:16]
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    (folder / "shard-0.bin").write_bytes(b"tokens" * 99)
    end.run.root.mkdir(parents=True, exist_ok=True)
    end.run.data.write_text(json.dumps({"key": key, "manifest_sha256": "0" * 64}))
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below, with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
