"""`hanse train --prepare`: tokenise and pack the run's data once, into a folder named by its content.

The folder is written beside and renamed when whole: killed half-way it leaves nothing that could be taken for data.
A run notes in data.json which data it reads, so that every later attempt reads the same or says that it cannot.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from hanse.contracts.errors import NotAsWritten, TrainingError
from hanse.contracts.spec import DatasetSpec
from hanse.contracts.units import format_bytes, format_count
from hanse.files.durable import move_folder, write_atomically
from hanse.training.data import tokenizer as bpe
from hanse.training.data.chat import Chat
from hanse.training.data.chat import encoded as conversed
from hanse.training.data.manifest import (
    FREQUENCIES,
    MANIFEST,
    TOKENIZER,
    Manifest,
    PreparedData,
    PreparedDataset,
    folder_of,
    read_manifest,
    read_pointer,
    verify,
)  # fmt: skip
from hanse.training.data.pack import (
    ENOUGH_HELD_OUT,
    HELD_OUT,
    HELD_OUT_OF_LITTLE,
    SHARD_TOKENS,
    Dtype,
    dtype_for,
    pack,
    pack_masked,
    whole_documents,
)
from hanse.training.data.samples import entropy
from hanse.training.data.sources import Document, documents
from hanse.training.job import Job
from hanse.training.say import say

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FORMAT: Final = 1
"""Raise it when the same files would give other tokens."""

Counts = npt.NDArray[np.int64]
Files = tuple[tuple[Document, ...], ...]


def prepare(job: Job) -> Manifest:
    """The run's prepared data, made now if it is nowhere yet."""
    pointer = read_pointer(job.run.data)
    if pointer is not None and (known := _whole(folder_of(job.data_dir, pointer.key))) is not None:
        say(f"data: {_describe(known)}, prepared before")
        return known
    files = tuple(documents(dataset, job.run.code) for dataset in job.spec.data)
    key = _key(job, files)
    if pointer is not None and pointer.key != key:
        raise NotAsWritten(
            "the data are no longer those of the run's first attempt, and their prepared copy is gone",
            where=str(job.run.data), fix="Bring the files back as they were, or launch a new run.",
        )  # fmt: skip
    folder = folder_of(job.data_dir, key)
    manifest = _whole(folder)
    verdict = "prepared before"
    if manifest is None:
        manifest, verdict = _build(job, files, key, folder), "prepared now"
    write_atomically(job.run.data, PreparedData(key=key, manifest_sha256=manifest.digest()).to_json())
    say(f"data: {_describe(manifest)}, {verdict}")
    return manifest


def _whole(folder: Path) -> Manifest | None:
    """The manifest of a folder that is as it was written, to the checksum; None where there is none."""
    manifest = read_manifest(folder)
    if manifest is not None:
        verify(folder, manifest)
    return manifest


def _key(job: Job, files: Files) -> str:
    """SHA-256 over the bytes of every file in order, and over the settings that shape the tokens."""
    digest = hashlib.sha256()
    settings = {
        "format": FORMAT, "shard_tokens": SHARD_TOKENS, "sample_bytes": bpe.SAMPLE_BYTES,
        "held_out": [HELD_OUT, HELD_OUT_OF_LITTLE, ENOUGH_HELD_OUT], "tokenizer": _tokenizer_identity(job),
        "datasets": [_settings(job, dataset) for dataset in job.spec.data],
    }  # fmt: skip
    digest.update(json.dumps(settings, sort_keys=True).encode())
    for document in (document for each in files for document in each):
        digest.update(f"\n{document.name} {document.digest()}".encode())
    return digest.hexdigest()


def _settings(job: Job, dataset: DatasetSpec) -> dict[str, object]:
    """What of a dataset shapes its tokens; what was added later counts only where it is used."""
    settings = dataset.model_dump(mode="json", exclude={"personal_data", "weight", "kind", "boundaries"})
    if dataset.boundaries:
        settings["boundaries"] = job.context
    if dataset.kind == "messages":
        settings["chat_template"] = hashlib.sha256(_chat(job).text.encode()).hexdigest()
    return settings


def _chat(job: Job) -> Chat:
    assert job.spec.tokenizer.path is not None, "messages come with a tokenizer of the model's"
    return Chat(tokenizer_path(job, job.spec.tokenizer.path).parent)


def _packed(
    job: Job, dataset: DatasetSpec, files: Sequence[Document], tokenizer: Tokenizer, folder: Path, dtype: Dtype
) -> PreparedDataset:
    end = bpe.end_id(tokenizer)
    if dataset.kind == "text" and not dataset.boundaries:
        return pack(dataset, files, tokenizer, end, folder, dtype)
    if dataset.kind == "text":
        conversations = whole_documents(files, tokenizer, end)
    else:
        chat = _chat(job)
        conversations = (each for file in files for each in conversed(file, chat, tokenizer))
    return pack_masked(dataset, conversations, end, folder, dtype, context=job.context)


def _tokenizer_identity(job: Job) -> str:
    wanted = job.spec.tokenizer
    if wanted.path is None:
        return f"bpe {wanted.vocab}"
    return hashlib.sha256(tokenizer_path(job, wanted.path).read_bytes()).hexdigest()


def tokenizer_path(job: Job, path: str) -> Path:
    for candidate in (Path(path), job.run.code / Path(path).name):
        if candidate.is_file():
            return candidate
    raise TrainingError(f"there is no tokenizer at {path}", fix="Put it beside train.yaml and launch again.")


def _build(job: Job, files: Files, key: str, folder: Path) -> Manifest:
    folder.parent.mkdir(parents=True, exist_ok=True)
    _sweep(folder.parent)
    beside = folder.parent / f"{folder.name}.tmp-{socket.gethostname()}-{os.getpid()}"
    beside.mkdir()
    try:
        manifest = _write(job, files, key, beside)
        try:
            move_folder(beside, folder)
        except OSError:
            # Another run prepared the same data meanwhile; its folder is as good as ours.
            other = read_manifest(folder)
            if other is None:
                raise
            return other
        return manifest
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _write(job: Job, files: Files, key: str, folder: Path) -> Manifest:
    tokenizer = _tokenizer(job, files)
    vocab, end = tokenizer.get_vocab_size(), bpe.end_id(tokenizer)
    if vocab > job.vocab:
        raise TrainingError(
            f"the tokenizer knows {vocab} tokens and the model {job.vocab}",
            where="train.yaml: tokenizer", fix="Set the model's vocab to the tokenizer's or above.",
        )  # fmt: skip
    dtype = dtype_for(vocab)
    tokenizer.save(str(folder / TOKENIZER))
    datasets = tuple(
        _packed(job, dataset, each, tokenizer, folder, dtype)
        for dataset, each in zip(job.spec.data, files, strict=True)
    )  # fmt: skip
    counts = _frequencies(folder, datasets, dtype, vocab)
    np.save(folder / FREQUENCIES, counts)
    manifest = Manifest(
        key=key, dtype=dtype, vocab=vocab, end_token=end,
        tokenizer_sha256=hashlib.sha256((folder / TOKENIZER).read_bytes()).hexdigest(),
        unigram_entropy=entropy(counts.sum(0) / counts.sum()), datasets=datasets,
        frequencies_sha256=hashlib.sha256((folder / FREQUENCIES).read_bytes()).hexdigest(),
    )  # fmt: skip
    write_atomically(folder / MANIFEST, manifest.to_json())
    return manifest


def _tokenizer(job: Job, files: Files) -> Tokenizer:
    wanted = job.spec.tokenizer
    if wanted.path is not None:
        return bpe.read(tokenizer_path(job, wanted.path))
    return bpe.train(_texts(files), wanted.vocab)


def _texts(files: Files) -> Iterator[str]:
    for document in (document for each in files for document in each):
        yield from document.pieces()


def _frequencies(folder: Path, datasets: tuple[PreparedDataset, ...], dtype: Dtype, vocab: int) -> Counts:
    """How often each token stands in what is trained on of each dataset: (datasets, vocab)."""
    counts = np.zeros((len(datasets), vocab), dtype=np.int64)
    for row, dataset in zip(counts, datasets, strict=True):
        left = dataset.train_tokens
        for number, shard in enumerate(dataset.shards):
            ids = np.memmap(folder / shard.file, dtype=np.dtype(dtype).newbyteorder("<"), mode="r")[:left]
            if dataset.learned:  # of the others nobody asks how well they are foretold
                mask = np.memmap(folder / dataset.learned[number].file, dtype=np.uint8, mode="r")[:left]
                row += np.bincount(ids[mask > 0], minlength=vocab)
            else:
                row += np.bincount(ids, minlength=vocab)
            left -= len(ids)
    return counts


def _sweep(parent: Path) -> None:
    """Remove what killed processes of this host left behind."""
    host = socket.gethostname()
    for leftover in parent.glob(f"*.tmp-{host}-*"):
        if not Path(f"/proc/{leftover.name.rpartition('-')[2]}").exists():
            shutil.rmtree(leftover, ignore_errors=True)


def _describe(manifest: Manifest) -> str:
    size = sum(shard.size_bytes for dataset in manifest.datasets for shard in dataset.shards)
    return (
        f"{format_count(manifest.tokens)} tokens of {sum(each.documents for each in manifest.datasets)} documents "
        f"({format_bytes(size)}), {manifest.vocab} known to the tokenizer, "
        f"unigram entropy {manifest.unigram_entropy:.3f} nats"
    )
