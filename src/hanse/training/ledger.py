"""ledger.jsonl: which samples the model was really trained on, written with each checkpoint.

It is written before its checkpoint gets its name and cut back to the checkpoint a run resumes from, so that whatever
happens between the two, every sample behind the weights stands in it exactly once.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hanse.contracts.telemetry import DatasetRead, LedgerEntry
from hanse.files.durable import write_atomically
from hanse.training.data.samples import Samples
from hanse.training.job import Job
from hanse.training.position import Position


def read(path: Path) -> tuple[LedgerEntry, ...]:
    if not path.is_file():
        return ()
    return tuple(LedgerEntry.from_json(line) for line in path.read_text().splitlines())


def by_dataset(path: Path) -> tuple[DatasetRead, ...]:
    """What was read of each dataset in all, in the order they were first read."""
    found: dict[str, DatasetRead] = {}
    for each in read(path):
        before = found.get(each.dataset)
        found[each.dataset] = DatasetRead(
            name=each.dataset, source=each.source, licence=each.licence, shards_sha256=each.shards_sha256,
            samples=each.samples + (before.samples if before else 0),
            tokens=each.tokens + (before.tokens if before else 0),
        )  # fmt: skip
    return tuple(found.values())


def cut_back(path: Path, step: int) -> None:
    """Drop what was read after `step`: a checkpoint of that step is resumed from, the rest is trained again."""
    entries = read(path)
    kept = [each for each in entries if each.last_step <= step]
    if len(kept) < len(entries):
        _write(path, kept)


def extend(job: Job, samples: Samples, position: Position) -> None:
    """Add the steps since the last entry, one entry a dataset; batches that were left out are in none."""
    last_step = position.step
    entries = list(read(job.run.ledger))
    first_step = max((each.last_step for each in entries), default=0) + 1
    if first_step > last_step:
        return
    # Since the last checkpoint the data have not been passed over any further: a way back begins at a checkpoint.
    batches = np.arange(first_step, last_step + 1) + position.passed_over
    for first, last in position.left_out:
        batches = batches[(batches < first) | (batches > last)]
    firsts = np.array([samples.first(int(each), batch=job.batch) for each in batches], dtype=np.int64)
    positions = (firsts[:, None] + np.arange(job.batch)).ravel()
    counts = np.bincount(samples.datasets_of(positions), minlength=len(samples.manifest.datasets))
    for dataset, count in zip(samples.manifest.datasets, counts.tolist(), strict=True):
        if not count:
            continue
        # Counted within the dataset: its entries follow on one another without gap or overlap.
        before = sum(each.samples for each in entries if each.dataset == dataset.name)
        entries.append(
            LedgerEntry(
                attempt=job.attempt_number, first_step=first_step, last_step=last_step, first_sample=before,
                samples=count, tokens=count * job.context, dataset=dataset.name, source=dataset.source,
                licence=dataset.licence, shards_sha256=samples.manifest.digest(),
            )
        )  # fmt: skip
    _write(job.run.ledger, entries)


def _write(path: Path, entries: list[LedgerEntry]) -> None:
    write_atomically(path, "".join(f"{each.model_dump_json()}\n" for each in entries))
