"""Prepared tokens as samples of context + 1 ids, mapped into memory; a rank reads only what is its own.

A global batch is a run of `batch` consecutive positions of the order; data-parallel rank r of R reads the r-th of R
equal slices. So every sample is read exactly once an epoch for any sequence of world sizes. Datasets with weights are
mixed by them, each with epochs of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from hanse.contracts.errors import NotAsWritten, TrainingError
from hanse.training.data.manifest import (
    AGAIN,
    FREQUENCIES,
    Manifest,
    PreparedDataset,
    folder_of,
    read_manifest,
    read_pointer,
)
from hanse.training.data.order import Indices, Mixture, Order, Ordering
from hanse.training.job import Job
from hanse.training.outer.steps import Calendar

Ids = npt.NDArray[np.int64]

VALIDATION_SAMPLES: Final = 64


class Samples:
    """The training samples and the held-out ones of a run's data."""

    def __init__(
        self, manifest: Manifest, folder: Path, *, context: int, seed: int, weights: Sequence[float] = (),
        calendar: Calendar | None = None,
    ) -> None:  # fmt: skip
        """`calendar` of a leg of several, which says what samples are its own."""
        self._calendar = calendar
        self.manifest, self.context, self._folder = manifest, context, folder
        self._streams = [_Stream(folder, each, manifest.dtype) for each in manifest.datasets]
        counts = [max(0, (each.train_tokens - 1) // context) for each in manifest.datasets]
        self._ends = np.cumsum(counts)
        if not self._ends[-1]:
            raise TrainingError(
                f"the data have {manifest.tokens} tokens; one sample needs {context + 1}",
                fix="Add text, or shorten the model's context.",
            )
        self.weights = tuple(weights)
        self.order: Ordering = Order(int(self._ends[-1]), seed)
        if self.weights:
            self._refuse_empty(counts)
            self.order = Mixture(counts, self.weights, seed)

    def batch(self, step: int, *, batch: int, part: int, parts: int) -> Ids:
        """Samples of the `part`-th of `parts` equal slices of step 1, 2, …: (batch / parts, context + 1)."""
        share = batch // parts
        first = self.first(step, batch=batch) + part * share
        return np.stack([self.sample(int(n)) for n in self.order.at(np.arange(first, first + share))])

    def first(self, step: int, *, batch: int) -> int:
        """Position in the order of the first sample that step 1, 2, … reads."""
        return self._calendar.first_sample(step) if self._calendar is not None else (step - 1) * batch

    def sample(self, number: int) -> Ids:
        """Training sample `number` in the order of the files; a token t that is not learned stands as -1 - t."""
        dataset = int(np.searchsorted(self._ends, number, side="right"))
        within = number - (int(self._ends[dataset - 1]) if dataset else 0)
        return self._streams[dataset].read(within * self.context, self.context + 1)

    def datasets_of(self, positions: Indices) -> npt.NDArray[np.intp]:
        """Which dataset (by its place in the manifest) each position of the run reads from."""
        return np.searchsorted(self._ends, self.order.at(positions), side="right")

    @property
    def unigram_entropy(self) -> float:
        """Nats, over the token frequencies of what is read: of the mixture where there is one."""
        path = self._folder / FREQUENCIES
        if not self.weights or self.manifest.frequencies_sha256 is None or not path.is_file():
            return self.manifest.unigram_entropy
        counts = np.load(path)
        shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
        return entropy(np.asarray(self.weights) / math.fsum(self.weights) @ shares)

    def _refuse_empty(self, counts: Sequence[int]) -> None:
        empty = [each.name for each, count in zip(self.manifest.datasets, counts, strict=True) if not count]
        if empty:
            raise TrainingError(
                f"{' and '.join(empty)} has a weight and not one sample of {self.context + 1} tokens",
                where="train.yaml: data", fix="Add text, or shorten the model's context.",
            )  # fmt: skip

    def held_out(self) -> Iterator[Ids]:
        """At most `VALIDATION_SAMPLES` windows, spread evenly over what is never trained on."""
        windows = [
            (stream, start)
            for stream, dataset in zip(self._streams, self.manifest.datasets, strict=True)
            for start in range(dataset.train_tokens, dataset.tokens - self.context, self.context)
        ]
        chosen = np.linspace(0, len(windows) - 1, min(len(windows), VALIDATION_SAMPLES)).round().astype(int)
        for index in chosen:
            stream, start = windows[index]
            yield stream.read(start, self.context + 1)


def entropy(shares: npt.NDArray[np.float64]) -> float:
    """−Σ p ln p, in nats."""
    there = shares[shares > 0]
    return math.fsum(-there * np.log(there))


def open_samples(job: Job) -> tuple[Samples, Path]:
    """The run's samples and the folder they lie in. `permit.require` comes before.

    Raises:
        NotAsWritten: the data are not prepared, or are others than the run's first attempt read.
    """
    pointer = read_pointer(job.run.data)
    folder = folder_of(job.data_dir, pointer.key) if pointer else None
    manifest = read_manifest(folder) if folder else None
    if pointer is None or folder is None or manifest is None:
        raise NotAsWritten("the run's data are not prepared on this machine", where=str(job.data_dir), fix=AGAIN)
    prepared = [(each.name, each.source) for each in manifest.datasets]
    if manifest.digest() != pointer.manifest_sha256 or prepared != [(d.name, d.source) for d in job.spec.data]:
        raise NotAsWritten(
            "the prepared data are not those the run began with", where=str(folder),
            fix=f"Delete the folder. {AGAIN}",
        )  # fmt: skip
    weights = [each.weight for each in job.spec.data if each.weight is not None]
    samples = Samples(manifest, folder, context=job.context, seed=job.spec.seed, weights=weights, calendar=job.calendar)
    return samples, folder


class _Stream:
    """The tokens of one dataset as one sequence over its shards."""

    def __init__(self, folder: Path, dataset: PreparedDataset, dtype: str) -> None:
        kind = np.dtype(dtype).newbyteorder("<")
        self._shards = [np.memmap(folder / shard.file, dtype=kind, mode="r") for shard in dataset.shards]
        self._masks = [np.memmap(folder / shard.file, dtype=np.uint8, mode="r") for shard in dataset.learned]
        self._starts = np.cumsum([0, *(shard.tokens for shard in dataset.shards)])

    def read(self, start: int, count: int) -> Ids:
        """A token t that is not learned stands as -1 - t."""
        parts = []
        while count:
            index = int(np.searchsorted(self._starts, start, side="right")) - 1
            within = start - int(self._starts[index])
            part = self._shards[index][within : within + count].astype(np.int64)
            if self._masks:
                part = np.where(self._masks[index][within : within + count], part, -1 - part)
            parts.append(part)
            start, count = start + len(part), count - len(part)
        return np.concatenate(parts)


def tokens_of(ids: Ids) -> Ids:
    """The plain tokens of a sample, learned or not."""
    return np.where(ids < 0, -1 - ids, ids)
