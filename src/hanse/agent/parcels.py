"""What a parcel of a run holds: found on the sender's disk, listed with hashes; and where its files go at the target.

A checkpoint is complete with its COMPLETE file (see hanse.training.checkpoints); run folders name prepared data by hash
(data.json), never by path, so nothing has to be rewritten at the target.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple

from hanse.agent.courier_ground import Found, Ground
from hanse.agent.courier_state import CourierState
from hanse.client.parcels import ParcelManifest
from hanse.contracts.base import now
from hanse.contracts.errors import SiteError, UsageError
from hanse.contracts.parcel import Parcel, ParcelFile, ParcelOrder
from hanse.contracts.rundir import RunDir
from hanse.files.pieces import Hashes

COMPLETE: Final = "COMPLETE"
OUTBOX, INBOX = "outbox", "inbox"
STAGING: Final = ".parcels"
_STEP = re.compile(r"step-(\d{8})")


class NotYet(Exception):  # noqa: N818 - it states what is so
    """There is nothing to pack at this moment, or the time for it is up; asked again later it goes on."""


class Packed(NamedTuple):
    manifest: ParcelManifest
    sources: tuple[str, ...]


class _Item(NamedTuple):
    path: str
    source: Path
    found: Found


class Packer:
    """Lists what is to be sent. `over` says when this turn's time is up: hashes taken so far are remembered."""

    def __init__(self, ground: Ground, state: CourierState, machine: str, over: Callable[[], bool]) -> None:
        self._ground, self._state, self._machine, self._over = ground, state, machine, over

    def pack(self, order: ParcelOrder, run: RunDir, data_dir: Path) -> Packed:
        """Raises NotYet; UsageError where what is ordered is not here and will not be."""
        if order.kind == "checkpoint":
            step, items = self._checkpoint(run)
        elif order.kind == "data":
            step, items = None, self._data(run, data_dir)
        else:
            step, items = None, self._outbox(order, run)
        hashes = [self._hashes(item) for item in items]
        files = tuple(
            ParcelFile(path=item.path, size_bytes=item.found.size_bytes, sha256=each.sha256)
            for item, each in zip(items, hashes, strict=True)
        )
        parcel = Parcel(
            id=order.id, run_id=order.run_id, kind=order.kind, from_machine=self._machine,
            to_machine=order.to_machine, step=step, files=files, packed_at=now(),
        )  # fmt: skip
        manifest = ParcelManifest(parcel=parcel, pieces=tuple(each.pieces for each in hashes))
        return Packed(manifest, tuple(str(item.source) for item in items))

    def _hashes(self, item: _Item) -> Hashes:
        known = self._state.known(item.source, item.found.stamp)
        if known is None:
            if self._over():
                raise NotYet(f"hashing {item.path}")
            known = self._ground.hashes(item.source)
            self._state.learn(item.source, item.found.stamp, known)
        return known

    def _checkpoint(self, run: RunDir) -> tuple[int, list[_Item]]:
        faults = []
        for step, name, inside in complete_checkpoints(self._ground, run):
            items = [
                _Item(f"{run.checkpoints.name}/{name}/{each.path}", run.checkpoints / name / each.path, each)
                for each in inside
            ]
            if fault := self._fault(items):
                faults.append(f"{name}: {fault}.")
                continue
            beside = {each.path: each for each in self._ground.walk(run.root) if "/" not in each.path}
            singles = (path.name for path in (run.ledger, run.data) if path.name in beside)
            return step, [*items, *(_Item(name, run.root / name, beside[name]) for name in singles)]
        raise UsageError(" ".join(["the run has no complete checkpoint here.", *faults]), where=str(run.checkpoints))

    def _fault(self, items: list[_Item]) -> str:
        """Why a checkpoint is not what its COMPLETE file says; '' if it is."""
        by_name = {PurePosixPath(item.path).name: item for item in items}
        said = _read_complete(self._ground, by_name[COMPLETE].source)
        if said is None:
            return f"its {COMPLETE} cannot be read"
        for name, sha256 in said.items():
            if name not in by_name:
                return f"{name} is missing"
            if self._hashes(by_name[name]).sha256 != sha256:
                return f"{name} is damaged"
        return ""

    def _data(self, run: RunDir, data_dir: Path) -> list[_Item]:
        """The prepared data that data.json names; nothing where none was prepared: the target does it itself."""
        try:
            key = str(json.loads(self._ground.read(run.data, 0, 1 << 16))["key"])
        except (OSError, SiteError):
            return []
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError("it does not name prepared data", where=str(run.data)) from error
        folder = f"prepared/{key[:16]}"
        found = self._ground.walk(data_dir / folder)
        return [_Item(f"{folder}/{each.path}", data_dir / folder / each.path, each) for each in found]

    def _outbox(self, order: ParcelOrder, run: RunDir) -> list[_Item]:
        carried = self._state.carried(order.run_id, order.to_machine)
        waiting = [
            _Item(f"{INBOX}/{each.path}", run.root / OUTBOX / each.path, each)
            for each in self._ground.walk(run.root / OUTBOX)
            if not PurePosixPath(each.path).name.startswith(".") and not each.path.endswith(".tmp")
        ]
        new = [item for item in waiting if carried.get(item.path) != self._hashes(item).sha256]
        if not new:
            raise NotYet("nothing new lies in the outbox")
        return new


def complete_checkpoints(ground: Ground, run: RunDir) -> Iterator[tuple[int, str, list[Found]]]:
    """Step, folder and files of every checkpoint with its COMPLETE file, newest first."""
    folders: dict[str, list[Found]] = {}
    for each in ground.walk(run.checkpoints):
        name, _, rest = each.path.partition("/")
        if _STEP.fullmatch(name) and rest:
            folders.setdefault(name, []).append(each._replace(path=rest))
    for name in sorted(folders, reverse=True):
        if any(each.path == COMPLETE for each in folders[name]):
            yield int(name.removeprefix("step-")), name, folders[name]


def _read_complete(ground: Ground, path: Path) -> dict[str, str] | None:
    try:
        said: Any = json.loads(ground.read(path, 0, 1 << 24))
        return {str(name): str(sha256) for name, sha256 in said["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def root_of(kind: str, run: RunDir, data_dir: Path) -> Path:
    """Under what a parcel's paths lie at the target."""
    return data_dir if kind == "data" else run.root


def unit_of(kind: str, path: str) -> str:
    """What is put in its place in one step: a checkpoint's folder, a folder of prepared data, else the file."""
    parts = PurePosixPath(path).parts
    whole_folder = (kind == "checkpoint" and parts[0] == "checkpoints") or (kind == "data" and len(parts) > 2)
    return "/".join(parts[:2]) if whole_folder else path


def units_of(parcel: Parcel) -> tuple[str, ...]:
    """In the order in which they are put in place: single files first, so that a checkpoint never lacks its ledger."""
    units = dict.fromkeys(unit_of(parcel.kind, file.path) for file in parcel.files)
    paths = {file.path for file in parcel.files}
    return tuple(sorted(units, key=lambda unit: (unit not in paths, unit)))
