"""What a folder of prepared data says of itself, and the note in a run's folder that names it."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from pydantic import Field, ValidationError

from hanse.contracts.base import Bytes, Contract, Count, Identifier, Positive, Sha256
from hanse.contracts.errors import TrainingError

MANIFEST: Final = "manifest.json"
TOKENIZER: Final = "tokenizer.json"
AGAIN: Final = "Prepare the data again: hanse train --prepare."


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
    """Nats, over the tokens trained on."""
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
        TrainingError: a file of it is missing or has another size than was written.
    """
    try:
        manifest = Manifest.from_json((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise TrainingError(
            "the manifest of the prepared data cannot be read", where=str(folder), fix=f"Delete the folder. {AGAIN}"
        ) from error
    for shard in (shard for dataset in manifest.datasets for shard in dataset.shards):
        path = folder / shard.file
        size = path.stat().st_size if path.is_file() else None
        if size != shard.size_bytes:
            state = "is missing" if size is None else f"has {size} bytes, not {shard.size_bytes}"
            raise TrainingError(f"{shard.file} {state}", where=str(folder), fix=f"Delete the folder. {AGAIN}")
    return manifest


def read_pointer(path: Path) -> PreparedData | None:
    try:
        return PreparedData.from_json(path.read_bytes())
    except FileNotFoundError:
        return None
