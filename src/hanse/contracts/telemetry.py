"""What a training says of itself. Raw rows stay with the run's files; summaries travel."""

from __future__ import annotations

from hanse.contracts.base import Bytes, Contract, Count, Identifier, Positive, Seconds, Sha256, Timestamp


class RankRow(Contract):
    """One rank, one step. Times are host-measured seconds."""

    step: Positive
    rank: Count
    step_s: Seconds
    data_s: Seconds
    compute_s: Seconds
    """Forward and backward, with whatever communication overlaps them."""
    optimiser_s: Seconds
    """Clipping and the optimiser's step."""
    checkpoint_s: Seconds = 0.0
    """Training stood still so long for a checkpoint."""
    memory_bytes: Bytes = 0
    wait_s: Seconds | None = None
    """In the exchange that closes the step: this rank was done so long before the slowest."""
    forward_s: Seconds | None = None
    """Of `compute_s`; None where the two cannot be told apart, as in a pipeline."""
    backward_s: Seconds | None = None
    """Of `compute_s`, with the communication that overlaps it or follows it."""
    communication_s: dict[str, Seconds] | None = None
    """By operation, in the steps that telemetry.communication_every samples; overlapped or not."""
    power_w: float | None = None
    """What this rank's node draws, on the lowest rank of a node where the machine lets it be read."""


class Spread(Contract):
    """Over the ranks."""

    min: float
    median: float
    max: float


class StepSummary(Contract):
    """One step over all ranks; `tokens` counts from the run's beginning."""

    attempt: Positive
    step: Positive
    at: Timestamp
    tokens: Count
    loss: float
    """Mean cross-entropy of the step's tokens, nats."""
    grad_norm: float
    lr: float
    step_s: Spread
    data_s: Spread
    compute_s: Spread
    optimiser_s: Spread
    memory_bytes: Spread
    tokens_per_s: float
    forward_s: Spread | None = None
    backward_s: Spread | None = None
    wait_s: Spread | None = None
    """Idle: how long each rank waited for the slowest at the end of the step before this one."""
    communication_s: dict[str, Seconds] | None = None
    """By operation, of rank 0 in a sampled step."""


class LedgerEntry(Contract):
    """What was really read between two checkpoints; entries of one run never overlap in samples."""

    attempt: Positive
    first_step: Positive
    last_step: Positive
    first_sample: Count
    samples: Count
    tokens: Count
    dataset: Identifier
    source: str
    licence: str
    shards_sha256: Sha256
    """Of the prepared shards' manifest."""


class DatasetRead(Contract):
    """What the whole run was really trained on from one dataset: the ledger, summed."""

    name: Identifier
    source: str
    licence: str
    samples: Count
    tokens: Count
    shards_sha256: Sha256


class TrainResult(Contract):
    """result.json: what came of the whole run."""

    steps: Count
    tokens: Count
    final_loss: float
    validation_loss: float | None = None
    unigram_entropy: float
    """Entropy of the data's token frequencies, nats: what a model that knows only frequencies reaches."""
    vocab: Positive
    parameters: Positive
    dataset_tokens: Count
    datasets: tuple[DatasetRead, ...] = ()
    """Empty in results written before this was told."""
    training_s: Seconds
    sample_prompt: str = ""
    sample_text: str = ""
    software: dict[str, str] = {}
    finished_at: Timestamp
