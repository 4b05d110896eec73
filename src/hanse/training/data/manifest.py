"""What a folder of prepared data says of itself, and the note in a run's folder that names it."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from hanse.contracts.base import Bytes, Contract, Count, Identifier, Positive, Sha256
from hanse.contracts.errors import NotAsWritten
from hanse.files.durable import write_atomically

MANIFEST: Final = "manifest.json"
TOKENIZER: Final = "tokenizer.json"
CHECKED: Final = "checked.json"
"""Size and time of change of each file when its checksum was last found right."""
FREQUENCIES: Final = "frequencies.npy"
"""(datasets, vocab) int64: how often each token stands in what is trained on."""
AGAIN: Final = "Prepare the data again: hanse train --prepare."
HASHING_THREADS: Final = 8


class Shard(Contract):
    """A file of token ids, little-endian, without any header."""

    file: str
    tokens: Positive
    size_bytes: Bytes
    sha256: Sha256


class PreparedDataset(Contract):
    name: Identifier
    source: str
    licence: str
    documents: Positive
    tokens: Positive
    train_tokens: Count
    """The first so many are trained on; the rest is held out."""
    shards: tuple[Shard, ...]
    learned: tuple[Shard, ...] = ()
    """A byte for each token: 1 is learned, 0 is only read. Empty: all are learned."""

    @model_serializer(mode="wrap")
    def _as_before(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what is empty: the digest of data prepared before there were masks stays what it was."""
        told: dict[str, Any] = write(self)
        return told if self.learned else {name: value for name, value in told.items() if name != "learned"}


class Manifest(Contract):
    schema_version: Literal[1] = 1
    key: Sha256
    """Of everything the content depends on: the files' bytes, the tokenizer's settings, this format."""
    dtype: Literal["uint16", "uint32"]
    vocab: Positive
    """Tokens the tokenizer knows; the model may know more."""
    end_token: Count | None
    tokenizer_sha256: Sha256
    unigram_entropy: float = Field(ge=0)
    """Nats, over the tokens trained on, all datasets by their size."""
    frequencies_sha256: Sha256 | None = None
    """Of `FREQUENCIES`; None: prepared before there was such a file."""
    datasets: tuple[PreparedDataset, ...] = Field(min_length=1)

    @property
    def tokens(self) -> int:
        return sum(each.tokens for each in self.datasets)


class PreparedData(Contract):
    """data.json: the prepared data of a run, fixed by its first attempt."""

    key: Sha256
    manifest_sha256: Sha256


def folder_of(data_dir: Path, key: str) -> Path:
    return data_dir / "prepared" / key[:16]


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a whole folder; None where there is none.

    Raises:
        NotAsWritten: a file of it is missing or has another size than was written.
    """
    try:
        manifest = Manifest.from_json((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise NotAsWritten(
            "the manifest of the prepared data cannot be read", where=str(folder), fix=f"Delete the folder. {AGAIN}"
        ) from error
    for shard in shards_of(manifest):
        path = folder / shard.file
        size = path.stat().st_size if path.is_file() else None
        if size != shard.size_bytes:
            raise _not_it(folder, shard, "is missing" if size is None else f"has {size} bytes, not {shard.size_bytes}")
    return manifest


def shards_of(manifest: Manifest) -> list[Shard]:
    return [shard for dataset in manifest.datasets for shard in (*dataset.shards, *dataset.learned)]


def verify(folder: Path, manifest: Manifest) -> None:
    """Read every shard that changed since its checksum was last found right, and check it.

    Raises:
        NotAsWritten: one is not what was written; nothing is changed.
    """
    stamps = {shard.file: _stamp(folder / shard.file) for shard in shards_of(manifest)}
    known = _checked(folder)
    changed = [shard for shard in shards_of(manifest) if known.get(shard.file) != stamps[shard.file]]
    if not changed:
        return
    with ThreadPoolExecutor(HASHING_THREADS) as pool:
        digests = list(pool.map(lambda shard: _sha256(folder / shard.file), changed))
    for shard, digest in zip(changed, digests, strict=True):
        if digest != shard.sha256:
            raise _not_it(folder, shard, f"is damaged: its SHA-256 is {digest[:16]}…, not {shard.sha256[:16]}…")
    # A folder that another owns cannot be noted in: then it is read again each time.
    with suppress(OSError):
        write_atomically(folder / CHECKED, json.dumps(stamps, indent=1))


def _not_it(folder: Path, shard: Shard, state: str) -> NotAsWritten:
    return NotAsWritten(
        f"{shard.file} {state}", where=str(folder), fix=f"Bring the file back, or delete the folder. {AGAIN}"
    )


def _stamp(path: Path) -> list[int]:
    state = path.stat()
    return [state.st_size, state.st_mtime_ns, state.st_ino]


def _checked(folder: Path) -> dict[str, list[int]]:
    try:
        found = json.loads((folder / CHECKED).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_pointer(path: Path) -> PreparedData | None:
    try:
        return PreparedData.from_json(path.read_bytes())
    except FileNotFoundError:
        return None
