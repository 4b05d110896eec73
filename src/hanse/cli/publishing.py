"""A release as a folder: weights, licence, card, documents and hashes, checked against the run's record before.

The folder is made beside and gets its name when it is whole: what was cut off half-way is no release.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import struct
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from hanse.cli.home import Home, short
from hanse.contracts.document import Document
from hanse.contracts.errors import SpecError, UsageError
from hanse.contracts.record import RunRecord
from hanse.contracts.release import Release, ReleaseFile
from hanse.contracts.rundir import RunDir
from hanse.files.durable import move_folder, sync_folder
from hanse.reporting import documents as pages
from hanse.rules import release as rules
from hanse.rules.documents import build, croissant

RELEASE, SUMS = "release.json", "SHA256SUMS"
_LARGEST_HEADER: Final = 100 * 1024 * 1024
_ITEM_BYTES: Final = {
    "F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2, "I8": 1,
    "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1,
}  # fmt: skip


class Wanted(NamedTuple):
    """What the user said of the release."""

    version: str
    licence: str | None
    licence_file: Path | None
    url: str
    facts: dict[str, str]


def weights_of(record: RunRecord, given: Path | None, here: Home) -> Path:
    """The export folder. Raises UsageError where it is not on this machine."""
    folder = given or RunDir(here.work / "runs" / record.run.id).export
    if not (folder / "config.json").is_file() or not list(folder.glob("*.safetensors")):
        raise UsageError(
            f"there are no weights in {short(folder)}", where="--weights",
            fix="Bring the run's export/ from its machine (hanse shell RUN shows where it lies) and name it here.",
        )  # fmt: skip
    return folder


def write(record: RunRecord, weights: Path, out: Path, wanted: Wanted, *, at: datetime) -> Release:
    """Write the release into `out`.

    Raises:
        UsageError: no licence, other weights than the run's, or `out` is taken.
        SpecError: the record contradicts itself, or a file of weights is damaged.
        PolicyError: the gate stopped the project.
    """
    if out.exists():
        raise UsageError(f"{short(out)} is there already", where="--out", fix="Name another folder, or remove it.")
    rules.require_publishable(record)
    licence, author = rules.licence_of(wanted.licence, wanted.facts), rules.author_of(record, wanted.facts)
    config = _config(weights / "config.json")
    rules.require_weights(record, tensors=sum(map(elements, sorted(weights.glob("*.safetensors")))), config=config)
    beside = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(beside, ignore_errors=True)
    shutil.copytree(weights, beside)
    facts = {**wanted.facts, "licence": licence}
    card = build.make("model-card", record, facts, at=at)
    cited = rules.Cited(author=author, licence=licence, version=wanted.version, day=at.date(), url=wanted.url)
    public = [build.make(kind, record, facts, at=at) for kind in rules.PUBLIC]
    texts = {
        "README.md": pages.model_card(card, record, {**facts, "licence": licence.lower()}),
        "LICENSE": _licence(wanted.licence_file, licence, author, at),
        "CITATION.cff": rules.citation(record, cited),
        ".zenodo.json": rules.zenodo(record, cited),
        **croissant.references(record),
        **{f"documents/{one.kind}.json": one.to_json() for one in public},
        **{f"documents/{one.kind}.html": pages.render(one) for one in public},
    }
    for name, text in texts.items():
        (beside / name).parent.mkdir(parents=True, exist_ok=True)
        (beside / name).write_text(text, encoding="utf-8")
    assert record.result is not None
    made = Release(
        run_id=record.run.id,
        name=record.run.name,
        version=wanted.version,
        licence=licence,
        datasets=tuple(one.name for one in record.result.datasets),
        parameters=record.result.parameters,
        files=tuple(_files(beside)),
        record_sha256=record.digest(),
        url=wanted.url,
        made_at=at,
    )
    (beside / RELEASE).write_text(made.to_json(), encoding="utf-8")
    listed = [*made.files, _file(beside, beside / RELEASE)]
    (beside / SUMS).write_text("".join(f"{one.sha256}  {one.path}\n" for one in listed), encoding="utf-8")
    sync_folder(beside)
    move_folder(beside, out)
    return made


def elements(path: Path) -> int:
    """Elements of all tensors in a safetensors file, by its header. Raises SpecError for a damaged one."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if not 0 < length <= min(size - 8, _LARGEST_HEADER):
                raise ValueError("its header is cut off")
            header = json.loads(file.read(length))
        total, ends = 0, 0
        for name, tensor in header.items():
            if name == "__metadata__":
                continue
            count, (begin, end) = math.prod(tensor["shape"]), tensor["data_offsets"]
            if end - begin != count * _ITEM_BYTES[tensor["dtype"]]:
                raise ValueError(f"{name} is not as long as its shape")
            total, ends = total + count, max(ends, end)
        if 8 + length + ends != size:
            raise ValueError("it is not as long as its header says")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise SpecError(
            f"these weights are damaged: {error}", where=path.name, fix="Bring the export from its machine again."
        ) from None
    return total


def _config(path: Path) -> dict[str, Any]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        read = None
    if not isinstance(read, dict):
        raise SpecError("config.json cannot be read", where=short(path), fix="Bring the export again.")
    return read


def _licence(given: Path | None, licence: str, author: str, at: datetime) -> str:
    if given is None:
        return rules.licence_note(licence, author, at.date())
    try:
        return given.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise UsageError(f"{short(given)} cannot be read", where="--licence-file", fix="Name a text file.") from None


def _files(folder: Path) -> Iterator[ReleaseFile]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield _file(folder, path)


def _file(folder: Path, path: Path) -> ReleaseFile:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return ReleaseFile(path=path.relative_to(folder).as_posix(), sha256=digest, size_bytes=path.stat().st_size)


def verify(folder: Path) -> tuple[str, ...]:
    """What of a release is not as it claims, one sentence each. Raises SpecError where this is no release."""
    try:
        told = Release.from_json((folder / RELEASE).read_bytes())
    except (OSError, ValueError):
        raise SpecError("this is no release", where=short(folder), fix="Make one: hanse publish RUN.") from None
    wrong = []
    for one in told.files:
        path = folder / one.path
        if not path.is_file():
            wrong.append(f"{one.path} is missing")
        elif _file(folder, path) != one:
            wrong.append(f"{one.path} was changed after it was published")
    known = {one.path for one in told.files} | {RELEASE, SUMS}
    wrong += [f"{one.path} was added" for one in _files(folder) if one.path not in known]
    if not any(name.endswith("is missing") for name in wrong):
        tensors = sum(map(elements, sorted(folder.glob("*.safetensors"))))
        if tensors < told.parameters:
            wrong.append(f"the weights hold {tensors:,} parameters, the release says {told.parameters:,}")
    for path in sorted((folder / "documents").glob("*.json")):
        if Document.from_json(path.read_bytes()).record_sha256 != told.record_sha256:
            wrong.append(f"{path.name} was made from another record")
    return tuple(wrong)
