"""Tokens into shard files: raw little-endian ids that ranks map into memory, with a checksum taken while writing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import numpy.typing as npt

from hanse.contracts.spec import DatasetSpec
from hanse.training.data.manifest import PreparedDataset, Shard
from hanse.training.data.sources import Document, pieces

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SHARD_TOKENS: Final = 1 << 28
HELD_OUT: Final = 0.02
HELD_OUT_OF_LITTLE: Final = 0.05
ENOUGH_HELD_OUT: Final = 1024
"""Share of a dataset's tokens, at its end, that is never trained on; more of little data, up to enough."""

Dtype = Literal["uint16", "uint32"]
Ids = npt.NDArray[np.unsignedinteger]


def dtype_for(vocab: int) -> Dtype:
    return "uint16" if vocab <= 1 << 16 else "uint32"


def pack(
    dataset: DatasetSpec, files: Sequence[Document], tokenizer: Tokenizer, end: int | None, folder: Path, dtype: Dtype
) -> PreparedDataset:
    """Write the shards of one dataset into `folder`: its documents one after another, each ended by `end`."""
    writer = ShardWriter(folder, dataset.name, dtype)
    for document in files:
        for batch in _batches(pieces(document.path)):
            for encoding in tokenizer.encode_batch(batch, add_special_tokens=False):
                writer.add(np.asarray(encoding.ids, dtype=dtype))
        if end is not None:
            writer.add(np.asarray([end], dtype=dtype))
    shards = writer.close()
    tokens = sum(shard.tokens for shard in shards)
    return PreparedDataset(
        name=dataset.name, source=dataset.source, licence=dataset.licence, documents=len(files), tokens=tokens,
        train_tokens=tokens - held_out(tokens), shards=shards,
    )  # fmt: skip


def held_out(tokens: int) -> int:
    return max(int(tokens * HELD_OUT), min(int(tokens * HELD_OUT_OF_LITTLE), ENOUGH_HELD_OUT))


class ShardWriter:
    """Cuts a stream of ids into files of `SHARD_TOKENS`, each on disk for good when it is closed."""

    def __init__(self, folder: Path, name: str, dtype: Dtype, shard_tokens: int = SHARD_TOKENS) -> None:
        self._folder, self._name, self._dtype, self._shard_tokens = folder, name, np.dtype(dtype), shard_tokens
        self._shards: list[Shard] = []
        self._open()

    def add(self, ids: Ids) -> None:
        while len(ids):
            now, ids = np.split(ids, [self._shard_tokens - self._tokens])
            raw = now.astype(self._dtype.newbyteorder("<"), copy=False).tobytes()
            self._file.write(raw)
            self._digest.update(raw)
            self._tokens += len(now)
            if self._tokens == self._shard_tokens:
                self._finish()
                self._open()

    def close(self) -> tuple[Shard, ...]:
        self._finish()
        return tuple(self._shards)

    def _open(self) -> None:
        self._path = self._folder / f"{self._name}-{len(self._shards):05d}.bin"
        self._file = self._path.open("wb")
        self._digest, self._tokens = hashlib.sha256(), 0

    def _finish(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if not self._tokens:
            self._path.unlink()
            return
        size = self._tokens * self._dtype.itemsize
        self._shards.append(
            Shard(file=self._path.name, tokens=self._tokens, size_bytes=size, sha256=self._digest.hexdigest())
        )


def _batches(texts: Iterable[str], size: int = 16) -> Iterable[list[str]]:
    batch: list[str] = []
    for text in texts:
        batch.append(text)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
