"""A leg's outbox and inbox: files signed, checked before anything of them is used, and found by what they are.

What is damaged, of another run, from a stranger, or under another file's name is refused: it is renamed, said in the
log and noted in the audit trail. Nothing is ever overwritten.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from pydantic import ValidationError

from hanse.contracts.errors import NotAsWritten, TrainingError
from hanse.contracts.outer import (
    LARGEST_HEADER_BYTES,
    SUFFIX,
    OuterCommit,
    OuterFile,
    OuterLaunch,
    OuterPart,
    OuterShare,
    OuterWord,
)
from hanse.contracts.rundir import RunDir
from hanse.files.durable import write_atomically
from hanse.tickets import keys
from hanse.training.outer.quantise import Values, decode, encoded_bytes
from hanse.training.outer.trail import Trail

REFUSED: Final = ".refused"
Body = OuterPart | OuterCommit | OuterWord


class Refused(Exception):  # noqa: N818 - it states what became of a file
    """A file that nothing is taken from, and why."""


@dataclass(slots=True)
class Found:
    """What lies in the two boxes, checked. Outer steps and fragments are one number: step × fragments + fragment."""

    parts: dict[tuple[int, str], dict[int, OuterPart]] = field(default_factory=dict)
    """By number and leg, then by epoch."""
    files: dict[str, tuple[OuterPart, Path]] = field(default_factory=dict)
    """Parts by their digests."""
    commits: dict[int, dict[int, OuterCommit]] = field(default_factory=dict)
    """By number, then by epoch."""
    words: dict[tuple[str, str], OuterWord] = field(default_factory=dict)
    """By word and leg, of the latest epoch."""


class Mail:
    """The two boxes of one leg. `sizes` are the values of each fragment."""

    def __init__(self, run: RunDir, launch: OuterLaunch, private: bytes, sizes: Sequence[int], trail: Trail) -> None:
        """Raises TrainingError if the key is not the one that the terms name for this leg."""
        self.terms, self.leg, self.sizes, self.trail = launch.terms, launch.leg, tuple(sizes), trail
        self.inbox, self.outbox, self._private = run.inbox, run.outbox, private
        self._absent = run.absent
        self._terms_sha256 = self.terms.digest()
        if keys.public_key_b64(private) != self.terms.leg(self.leg).public_key:
            raise TrainingError(
                f"it is not the key that the run's terms name for leg {self.leg}", where=str(run.exchange_key),
                fix="Launch the run again; the other legs would refuse what this one signs.",
            )  # fmt: skip
        self.found = Found()
        self.version = 0
        """Grows whenever something new was found."""
        self._seen: set[str] = set()
        for folder in (self.inbox, self.outbox):
            folder.mkdir(parents=True, exist_ok=True)
        self.look()

    def absent(self) -> frozenset[str]:
        """Legs that were given up, by the word of the machine's agent: nobody waits for them, though a part of theirs
        that lies here still counts."""
        try:
            return frozenset(map(str, json.loads(self._absent.read_bytes())))
        except (OSError, ValueError, TypeError):
            return frozenset()

    def number(self, body: OuterPart | OuterCommit) -> int:
        return body.outer_step * self.terms.fragments + body.fragment

    def look(self) -> None:
        """Take in what is new."""
        for folder in (self.outbox, self.inbox):
            with os.scandir(folder) as entries:
                names = sorted(each.name for each in entries if each.name not in self._seen)
            for name in names:
                # Drafts have a dot before their name, and the courier's may end so.
                if name.startswith(".") or name.endswith((".tmp", REFUSED)):
                    continue
                self._take(folder / name)

    def part(self, number: int, leg: str, *, base_sha256: str | None = None) -> OuterPart | None:
        """A leg's part, its newest; of those that have moved from these weights, where they are given."""
        by_epoch = self.found.parts.get((number, leg), {})
        fitting = [epoch for epoch, each in by_epoch.items() if base_sha256 in (None, each.base_sha256)]
        return by_epoch[max(fitting)] if fitting else None

    def named(self, share: OuterShare) -> OuterPart | None:
        """The very part that a commit names, where it has come."""
        entry = self.found.files.get(share.part_sha256)
        return entry[0] if entry else None

    def values(self, part: OuterPart) -> Values:
        """What it holds, decoded.

        Raises:
            NotAsWritten: the file is no longer what it was.
        """
        _, path = self.found.files[part.digest()]
        payload = path.read_bytes().partition(b"\n")[2]
        if hashlib.sha256(payload).hexdigest() != part.payload_sha256:
            raise NotAsWritten(
                "it has changed since it was checked", where=str(path), fix="Look at the disk, then start again."
            )
        return decode(payload, part.values, part.codec)

    def send(self, body: Body, payload: bytes = b"") -> None:
        """Sign and lay it into the outbox; what lies there under the same name stays as it is."""
        signature = keys.private_key(self._private).sign(body.canonical())
        sealed = OuterFile(body=body, signature=base64.b64encode(signature).decode())
        path = self.outbox / sealed.name
        if not path.exists():
            write_atomically(path, sealed.model_dump_json().encode() + b"\n" + payload)
        self._take(path)

    def pass_on(self, since: int) -> None:
        """Lay into the outbox what others sent from outer number `since` on, for legs that their sender cannot reach
        any more."""
        parts = [path for part, path in self.found.files.values() if self.number(part) >= since]
        commits = [
            self.inbox / OuterFile(body=each, signature="").name
            for number, by_epoch in self.found.commits.items() if number >= since for each in by_epoch.values()
        ]  # fmt: skip
        for path in (*parts, *commits):
            beside = self.outbox / f".{path.name}.tmp"
            if path.parent == self.inbox and path.exists() and not (self.outbox / path.name).exists():
                shutil.copyfile(path, beside)
                beside.rename(self.outbox / path.name)

    def prune(self, before: int) -> None:
        """Remove what is of numbers below `before`, which this leg's checkpoints and all other legs are past."""
        for key in [each for each in self.found.parts if each[0] < before]:
            for part in self.found.parts.pop(key).values():
                _, path = self.found.files.pop(part.digest())
                for folder in (self.inbox, self.outbox):
                    (folder / path.name).unlink(missing_ok=True)
        for number in [each for each in self.found.commits if each < before]:
            for commit in self.found.commits.pop(number).values():
                for folder in (self.inbox, self.outbox):
                    (folder / OuterFile(body=commit, signature="").name).unlink(missing_ok=True)

    def _take(self, path: Path) -> None:
        if path.name in self._seen:
            return
        self._seen.add(path.name)
        try:
            body = self._checked(path)
        except Refused as why:
            path.replace(path.with_name(path.name + REFUSED))
            self._seen.discard(path.name)
            self.trail.refused(path.name, str(why))
            return
        self._index(body, path)
        self.version += 1

    def _index(self, body: Body, path: Path) -> None:
        found = self.found
        if isinstance(body, OuterWord):
            before = found.words.get((body.word, body.leg))
            if before is None or before.epoch <= body.epoch:
                found.words[body.word, body.leg] = body
            return
        number = self.number(body)
        if isinstance(body, OuterPart):
            found.parts.setdefault((number, body.leg), {})[body.epoch] = body
            found.files[body.digest()] = (body, path)
        else:
            found.commits.setdefault(number, {})[body.epoch] = body

    def _checked(self, path: Path) -> Body:
        """Raises Refused."""
        if not path.name.endswith(SUFFIX) or path.is_symlink() or not path.is_file():
            raise Refused("it is no file of a leg")
        with path.open("rb") as file:
            line = file.readline(LARGEST_HEADER_BYTES)
            try:
                sealed = OuterFile.model_validate_json(line)
            except ValidationError as error:
                raise Refused("its header cannot be read") from error
            self._authentic(sealed)
            if sealed.name != path.name:
                raise Refused(f"it is {sealed.name} under another name")
            payload_bytes = path.stat().st_size - len(line)
            body = sealed.body
            if isinstance(body, OuterPart):
                self._of_this_model(body, payload_bytes)
                if hashlib.file_digest(file, "sha256").hexdigest() != body.payload_sha256:
                    raise Refused("it is damaged: its checksum is another")
            elif payload_bytes:
                raise Refused(f"{payload_bytes} bytes follow its header")
        if isinstance(body, OuterCommit):
            self._well_formed(body)
        return body

    def _authentic(self, sealed: OuterFile) -> None:
        body = sealed.body
        if body.run_id != self.terms.run_id:
            raise Refused(f"it is of run {body.run_id}")
        names = {each.name for each in self.terms.legs}
        if body.leg not in names:
            raise Refused(f"{body.leg} is no leg of this run")
        try:
            signature = base64.b64decode(sealed.signature, validate=True)
            keys.public_key(self.terms.leg(body.leg).public_key).verify(signature, body.canonical())
        except (InvalidSignature, binascii.Error, ValueError) as error:
            raise Refused(f"leg {body.leg} has not signed it") from error
        if body.terms_sha256 != self._terms_sha256:
            raise Refused("its leg has other terms")

    def _of_this_model(self, part: OuterPart, payload_bytes: int) -> None:
        if part.fragment >= len(self.sizes) or part.values != self.sizes[part.fragment]:
            raise Refused("its leg trains another model")
        if part.codec != self.terms.codec:
            raise Refused(f"it is encoded as {part.codec}, not {self.terms.codec}")
        wanted = encoded_bytes(part.values, part.codec)
        if not payload_bytes == part.payload_bytes == wanted:
            raise Refused(f"it is damaged: {payload_bytes} bytes of {wanted}")

    def _well_formed(self, commit: OuterCommit) -> None:
        order = [each.name for each in self.terms.legs]
        taking_part = [each.leg for each in commit.parts]
        if commit.leg != self.terms.lead_of(commit.epoch):
            raise Refused(f"in epoch {commit.epoch} it is {self.terms.lead_of(commit.epoch)} that commits")
        if taking_part != [name for name in order if name in taking_part] or commit.fragment >= len(self.sizes):
            raise Refused("its legs are not those of the run, each once and in order")
