"""Tokens into shard files: raw little-endian ids that ranks map into memory, with a checksum taken while writing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import numpy.typing as npt

from hanse.contracts.spec import DatasetSpec
from hanse.training.data.chat import Conversation
from hanse.training.data.manifest import PreparedDataset, Shard
from hanse.training.data.sources import Document

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SHARD_TOKENS: Final = 1 << 28
HELD_OUT: Final = 0.02
HELD_OUT_OF_LITTLE: Final = 0.05
ENOUGH_HELD_OUT: Final = 1024
"""Share of a dataset's tokens, at its end, that is never trained on; more of little data, up to enough."""

BATCH_CHARACTERS: Final = 16 << 20
"""Text that is tokenised at once: enough to keep a node's cores busy, little beside its memory."""

Dtype = Literal["uint16", "uint32"]
Ids = npt.NDArray[np.unsignedinteger]


def dtype_for(vocab: int) -> Dtype:
    return "uint16" if vocab <= 1 << 16 else "uint32"


def pack(
    dataset: DatasetSpec, files: Sequence[Document], tokenizer: Tokenizer, end: int | None, folder: Path, dtype: Dtype
) -> PreparedDataset:
    """Write the shards of one dataset into `folder`: its documents one after another, each ended by `end`."""
    writer = ShardWriter(folder, dataset.name, dtype)
    for ids in encoded(files, tokenizer, end):
        writer.add(np.asarray(ids, dtype=dtype))
    shards = writer.close()
    tokens = sum(shard.tokens for shard in shards)
    return PreparedDataset(
        name=dataset.name, source=dataset.source, licence=dataset.licence, documents=len(files), tokens=tokens,
        train_tokens=tokens - held_out(tokens), shards=shards,
    )  # fmt: skip


def pack_masked(
    dataset: DatasetSpec, files: Iterable[Conversation], tokenizer_end: int | None, folder: Path, dtype: Dtype, *,
    context: int,
) -> PreparedDataset:  # fmt: skip
    """As `pack`, with a byte beside each token that says whether it is learned.

    With `dataset.boundaries` a document is filled up to a multiple of `context` by tokens that are not learned, so that
    every sample holds tokens of one document only.
    """
    writer, mask = ShardWriter(folder, dataset.name, dtype), ShardWriter(folder, f"{dataset.name}.learned", "uint8")
    documents = 0
    for ids, learned in files:
        documents += 1
        missing = -len(ids) % context if dataset.boundaries else 0
        writer.add(np.asarray([*ids, *[tokenizer_end or 0] * missing], dtype=dtype))
        mask.add(np.pad(learned, (0, missing)).astype(np.uint8))
    shards, marks = writer.close(), mask.close()
    tokens = sum(shard.tokens for shard in shards)
    trained = tokens - held_out(tokens)
    if dataset.boundaries:
        trained -= trained % context
    return PreparedDataset(
        name=dataset.name, source=dataset.source, licence=dataset.licence, documents=documents, tokens=tokens,
        train_tokens=trained, shards=shards, learned=marks,
    )  # fmt: skip


def whole_documents(files: Iterable[Document], tokenizer: Tokenizer, end: int | None) -> Iterator[Conversation]:
    """Texts as what is learned in full, each ended by `end`."""
    for document in files:
        ids = [each for piece in encoded([document], tokenizer, end) for each in piece]
        yield Conversation(ids, np.ones(len(ids), dtype=np.bool_))


def encoded(files: Iterable[Document], tokenizer: Tokenizer, end: int | None) -> Iterator[list[int]]:
    """The documents' ids in order. The tokenizer works on all cores: pieces of many documents are given it at once."""
    for batch in _batches(files):
        texts = [text for text in batch if text is not None]
        ids = iter(tokenizer.encode_batch_fast(texts, add_special_tokens=False))
        for text in batch:
            if text is not None:
                yield next(ids).ids
            elif end is not None:
                yield [end]


def held_out(tokens: int) -> int:
    return max(int(tokens * HELD_OUT), min(int(tokens * HELD_OUT_OF_LITTLE), ENOUGH_HELD_OUT))


class ShardWriter:
    """Cuts a stream of ids into files of `SHARD_TOKENS`, each on disk for good when it is closed."""

    def __init__(
        self, folder: Path, name: str, dtype: Dtype | Literal["uint8"], shard_tokens: int = SHARD_TOKENS
    ) -> None:
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


def _batches(files: Iterable[Document]) -> Iterator[list[str | None]]:
    """Pieces of text in batches of about `BATCH_CHARACTERS`, None where a document ends."""
    batch: list[str | None] = []
    characters = 0
    for document in files:
        for piece in (*document.pieces(), None):
            batch.append(piece)
            characters += len(piece or "")
            if characters >= BATCH_CHARACTERS:
                yield batch
                batch, characters = [], 0
    if batch:
        yield batch
