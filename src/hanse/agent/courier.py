"""The courier: packs and sends what the service orders, fetches and puts in place what attempts wait for.

It may be killed at any line: pieces the service has are not sent again, pieces that lie here are not fetched again, and
nothing stands under its own name before it is whole and verified. One call works for a few seconds, then reports.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final

from hanse.agent.courier_ground import Ground
from hanse.agent.courier_state import CourierState, Kept
from hanse.agent.parcels import STAGING, NotYet, Packer, complete_checkpoints, root_of, unit_of, units_of
from hanse.client.parcels import ParcelManifest, ParcelService, fits
from hanse.contracts.errors import HanseError, PolicyError, ServiceError, SiteError, UsageError
from hanse.contracts.parcel import MAX_PIECE_BYTES, Parcel, ParcelFile, ParcelOrder, ParcelReport, ParcelState
from hanse.contracts.rundir import RunDir
from hanse.contracts.units import format_bytes

TURN_S: Final = 5.0
"""How long one call works on before it reports."""


class Courier:
    """One machine's. `run_dir_of` says where a run lies, `data_dir` where prepared data lie, both on `ground`."""

    def __init__(
        self, service: ParcelService, run_dir_of: Callable[[str], RunDir], ground: Ground, state_path: Path,
        *, machine: str, data_dir: Path, turn_s: float = TURN_S,
    ) -> None:  # fmt: skip
        self._service, self._run_dir_of, self._ground = service, run_dir_of, ground
        self._machine, self._data_dir, self._turn_s = machine, data_dir, turn_s
        self._state = CourierState(state_path)
        self._until = 0.0

    def close(self) -> None:
        self._state.close()

    def arrived(self, parcel: Parcel) -> bool:
        """Every file of it was verified and put in its place here."""
        return self._state.state(parcel.id, "fetch") == "arrived"

    def pursue(self, orders: Iterable[ParcelOrder], fetches: Iterable[Parcel]) -> tuple[ParcelReport, ...]:
        """Go on with everything for a few seconds; never raises for what one parcel meets."""
        self._until = time.monotonic() + self._turn_s
        fetched = tuple(self._told(parcel.id, "fetch", partial(self._fetch, parcel)) for parcel in fetches)
        return (*(self._told(order.id, "send", partial(self._send, order)) for order in orders), *fetched)

    def _over(self) -> bool:
        return time.monotonic() > self._until

    def _told(self, id: str, side: str, go_on: Callable[[], ParcelReport]) -> ParcelReport:
        """What came of it, troubles included: those that pass are tried again, a refusal is the end of the parcel."""
        ended = self._state.state(id, side) == "failed"
        if ended:
            return _report(id, side, "failed", reason=self._state.parcel(id, side).reason)
        try:
            return go_on()
        except (UsageError, PolicyError) as error:
            self._state.note(id, side, "failed", _told_in_one_line(error))
            return _report(id, side, "failed", reason=_told_in_one_line(error))
        except (ServiceError, SiteError) as error:
            return _report(id, side, "moving", reason=_told_in_one_line(error))
        except OSError as error:
            full = error.errno in {errno.ENOSPC, errno.EDQUOT}
            reason = f"{error.filename or self._machine}: {'the disk or quota is full' if full else error.strerror}"
            return _report(id, side, "moving", reason=f"{reason}. It is tried again.")

    # Sending

    def _send(self, order: ParcelOrder) -> ParcelReport:
        kept = self._state.parcel(order.id, "send")
        if kept.manifest is None:
            packer = Packer(self._ground, self._state, self._machine, self._over)
            try:
                packed = packer.pack(order, self._run_dir_of(order.run_id), self._data_dir)
            except NotYet as why:
                return _report(order.id, "send", "packing", reason=str(why))
            self._state.keep(order.id, "send", packed.manifest, packed.sources)
            kept = Kept("", "", packed.manifest, packed.sources)
        assert kept.manifest is not None
        return self._hand_over(kept.manifest, kept.sources)

    def _hand_over(self, manifest: ParcelManifest, sources: tuple[str, ...]) -> ParcelReport:
        parcel, sizes = manifest.parcel, manifest.sizes()
        lacking = set(self._service.offer_parcel(manifest).pieces)
        for source, file, pieces in zip(sources, parcel.files, manifest.pieces, strict=True):
            for number, piece in enumerate(pieces):
                if piece not in lacking:
                    continue
                if self._over():
                    return self._sending(manifest, sum(sizes[each] for each in lacking))
                data = self._piece_of(parcel, Path(source), file, number, piece)
                if data is None:
                    return _report(parcel.id, "send", "packing", reason=f"{file.path} has changed; packing it again")
                self._service.put_piece(parcel.id, piece, data)
                lacking.discard(piece)
        if self._service.offer_parcel(manifest).pieces:
            return self._sending(manifest, sum(sizes[each] for each in lacking))
        if parcel.kind == "outer":
            self._state.carry(manifest)
        total = sum(sizes.values())
        return _report(parcel.id, "send", "ready", moved_bytes=total, total_bytes=total, parcel=parcel)

    def _piece_of(self, parcel: Parcel, source: Path, file: ParcelFile, number: int, piece: str) -> bytes | None:
        """The piece as it was packed; None, and the packing is forgotten, if the file is another by now."""
        offset = number * MAX_PIECE_BYTES
        try:
            data = self._ground.read(source, offset, min(MAX_PIECE_BYTES, file.size_bytes - offset))
        except (OSError, SiteError):
            if self._ground.exists(source):
                raise
            data = b""
        if sha256(data).hexdigest() == piece:
            return data
        self._state.forget(parcel.id, "send")
        return None

    def _sending(self, manifest: ParcelManifest, left_bytes: int) -> ParcelReport:
        total = sum(manifest.sizes().values())
        return _report(
            manifest.parcel.id, "send", "moving", moved_bytes=total - left_bytes, total_bytes=total,
            parcel=manifest.parcel,
        )  # fmt: skip

    # Fetching

    def _fetch(self, wanted: Parcel) -> ParcelReport:
        kept = self._state.parcel(wanted.id, "fetch")
        if kept.state == "arrived":
            return self._here(wanted, kept.reason)
        manifest = kept.manifest
        fresh = False
        if manifest is None or manifest.parcel != wanted:
            manifest = self._service.parcel(wanted.id)
            _require_fit(manifest.parcel)
            fresh = True
        parcel, run = manifest.parcel, self._run_dir_of(wanted.run_id)
        root = root_of(parcel.kind, run, self._data_dir)
        staging = root / STAGING / parcel.id
        if fresh:
            # Files of an earlier packing may stand there under the same names; pieces are named by what they are.
            self._ground.remove(staging / "whole")
            self._state.keep(wanted.id, "fetch", manifest)
        if fresh or kept.state != "placing":
            if reason := self._not_needed(parcel, run, root):
                self._ground.remove(staging)
                self._state.note(parcel.id, "fetch", "arrived", reason)
                return self._here(parcel, reason)
            left_bytes = self._bring(manifest, staging)
            if left_bytes:
                moved = parcel.size_bytes - left_bytes
                return _report(parcel.id, "fetch", "moving", moved_bytes=max(0, moved), total_bytes=parcel.size_bytes)
            self._state.note(parcel.id, "fetch", "placing")
        self._place(parcel, root, staging)
        self._ground.remove(staging)
        self._state.note(parcel.id, "fetch", "arrived")
        return self._here(parcel, "")

    def _here(self, parcel: Parcel, reason: str) -> ParcelReport:
        size = parcel.size_bytes
        return _report(parcel.id, "fetch", "arrived", moved_bytes=size, total_bytes=size, reason=reason)

    def _not_needed(self, parcel: Parcel, run: RunDir, root: Path) -> str:
        """Why nothing has to be fetched; '' if something has."""
        if parcel.kind == "checkpoint":
            newest = next(complete_checkpoints(self._ground, run), None)
            if newest is not None and newest[0] >= (parcel.step or 0):
                return f"a checkpoint of step {newest[0]} lies here already"
            return ""
        if parcel.kind != "data":
            return ""
        for unit in units_of(parcel):
            found = {f"{unit}/{each.path}": each for each in self._ground.walk(root / unit)}
            for file in (file for file in parcel.files if unit_of("data", file.path) == unit):
                each = found.get(file.path)
                if (
                    each is None
                    or each.size_bytes != file.size_bytes
                    or self._sha256(root, file, each.stamp) != file.sha256
                ):
                    return ""
        return "the prepared data lie here already" if parcel.files else "no data were prepared"

    def _sha256(self, root: Path, file: ParcelFile, stamp: str) -> str:
        known = self._state.known(root / file.path, stamp)
        if known is None:
            known = self._ground.hashes(root / file.path)
            self._state.learn(root / file.path, stamp, known)
        return known.sha256

    def _bring(self, manifest: ParcelManifest, staging: Path) -> int:
        """Fetch pieces and join them, file by file, in the staging folder; returns the bytes still to come."""
        parcel, sizes = manifest.parcel, manifest.sizes()
        whole = {each.path: each.size_bytes for each in self._ground.walk(staging / "whole")}
        here = {each.path: each.size_bytes for each in self._ground.walk(staging / "pieces")}
        todo = [
            (file, pieces)
            for file, pieces in zip(parcel.files, manifest.pieces, strict=True)
            if whole.get(file.path) != file.size_bytes
        ]
        missing = {piece for _, pieces in todo for piece in pieces if here.get(piece) != sizes[piece]}
        left = sum(sizes[piece] for piece in missing)
        self._require_room(staging, left + max((file.size_bytes for file, _ in todo), default=0))
        needed: dict[str, int] = {}
        for _, pieces in todo:
            for piece in set(pieces):
                needed[piece] = needed.get(piece, 0) + 1
        for file, pieces in todo:
            for piece in pieces:
                if piece in missing:
                    if self._over():
                        return left
                    self._ground.write(staging / "pieces" / piece, self._service.piece(parcel.id, piece))
                    missing.discard(piece)
                    left -= sizes[piece]
            self._join(file, pieces, staging)
            for piece in set(pieces):
                needed[piece] -= 1
                if not needed[piece]:
                    self._ground.remove(staging / "pieces" / piece)
        return 0

    def _join(self, file: ParcelFile, pieces: tuple[str, ...], staging: Path) -> None:
        draft = staging / "draft"
        written = self._ground.join([staging / "pieces" / piece for piece in pieces], draft)
        if written != file.sha256:
            for piece in pieces:
                self._ground.remove(staging / "pieces" / piece)
            raise SiteError(f"{file.path} arrived altered", where=self._machine, fix="Its pieces are fetched again.")
        self._ground.move(draft, staging / "whole" / file.path)

    def _require_room(self, staging: Path, size_bytes: int) -> None:
        free = self._ground.free_bytes(staging)
        if size_bytes > free:
            raise SiteError(
                f"a parcel needs {format_bytes(size_bytes)} and {format_bytes(free)} are free",
                where=str(staging.parent),
                fix="Make room there; it is tried again.",
            )  # fmt: skip

    def _place(self, parcel: Parcel, root: Path, staging: Path) -> None:
        """Give every file its name. What is no longer in the staging folder was placed before this began again."""
        for unit in units_of(parcel):
            source, target = staging / "whole" / unit, root / unit
            if not self._ground.exists(source):
                continue
            if unit_of(parcel.kind, f"{unit}/x") == unit and self._ground.exists(target):
                self._ground.remove(staging / "replaced")
                self._ground.move(target, staging / "replaced")
            self._ground.move(source, target)


def _require_fit(parcel: Parcel) -> None:
    for file in parcel.files:
        if not fits(parcel.kind, file.path):
            raise UsageError(
                f"a {parcel.kind} parcel may not hold {file.path!r}", where=parcel.id,
                fix="Look at what the sending machine does: nothing of it was written.",
            )  # fmt: skip


def _report(id: str, side: str, state: ParcelState, **more: object) -> ParcelReport:
    return ParcelReport.model_validate({"id": id, "side": side, "state": state, **more})


def _told_in_one_line(error: HanseError) -> str:
    return " ".join(str(error).split())
