"""After the last step: validation, a sample of text, the export, result.json, and FINISHED as the very last thing.

Each part can be done again: an attempt killed anywhere in here leaves the last checkpoint, and the next one repeats
the ending alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from hanse.contracts.base import now
from hanse.contracts.telemetry import TrainResult
from hanse.files.durable import write_atomically
from hanse.training import compat, ledger
from hanse.training.data.manifest import TOKENIZER
from hanse.training.data.samples import Ids, Samples, tokens_of
from hanse.training.data.sources import STDLIB
from hanse.training.export import write_export
from hanse.training.job import Job
from hanse.training.legs import trained_steps
from hanse.training.parallelize import Parallel, plain_model
from hanse.training.position import Position
from hanse.training.say import say

SAMPLE_TOKENS: Final = 160
SAMPLE_TEMPERATURE: Final = 0.7
SAMPLE_TOP: Final = 40
SAMPLE_PARAMETERS: Final = 2e9
"""Above it no sample is written: rank 0 would take minutes for it on its CPU."""
PROMPT_TOKENS: Final = 8


def finish(job: Job, parallel: Parallel, samples: Samples, prepared: Path, position: Position) -> None:
    """Called by all ranks after the last step; returns on rank 0 when FINISHED is on disk."""
    validation_loss = validate(parallel, samples)
    state, parameters = parallel.full_state(), parallel.total_parameters
    if dist.get_rank() != 0:
        return
    weights = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    prompt, text = ("", "") if parameters > SAMPLE_PARAMETERS else _sample(job, weights, samples, prepared)
    write_export(job, weights, samples.manifest, prepared)
    result = TrainResult(
        steps=position.step, tokens=_trained_steps(job, position) * job.tokens_per_step, final_loss=position.loss,
        validation_loss=validation_loss, unigram_entropy=samples.unigram_entropy, vocab=job.vocab,
        parameters=parameters, dataset_tokens=samples.manifest.tokens,
        datasets=ledger.by_dataset(job.run.ledger), training_s=position.training_s,
        sample_prompt=prompt, sample_text=text, software=compat.software(), finished_at=now(),
    )  # fmt: skip
    write_atomically(job.run.result, result.to_json())
    write_atomically(job.run.finished, f"step {position.step} at {result.finished_at.isoformat()}\n")
    held_out = f", held-out loss {validation_loss:.3f}" if validation_loss is not None else ""
    say(
        f"finished: {position.step} steps, loss {position.loss:.3f}{held_out}; "
        f"knowing token frequencies alone gives {result.unigram_entropy:.3f}"
    )


def _trained_steps(job: Job, position: Position) -> int:
    return position.step if job.outer is None else trained_steps(position)


@torch.no_grad()
def validate(parallel: Parallel, samples: Samples) -> float | None:
    """Mean loss over the held-out windows, shared out over the ranks; None if there are none."""
    windows = list(samples.held_out())
    if not windows:
        return None
    parallel.model.eval()
    # Ranks that share their tokens share a window; each of them counts it.
    rank, world = parallel.ranks.data_rank, parallel.ranks.data_ranks
    sums = torch.zeros(2, dtype=torch.float64, device=parallel.device)
    for first in range(0, len(windows), world):
        # Sharded models meet in collectives: a rank without a window repeats one and does not count it.
        counts = first + rank < len(windows)
        window = torch.from_numpy(windows[first + rank if counts else first]).to(parallel.device)
        loss, weight = parallel.learned_loss(window[None]) if parallel.masked else (parallel.loss(window[None]), 1)
        part = [float(loss) * counts, weight * counts]
        sums += torch.tensor(part, dtype=torch.float64, device=parallel.device)
    dist.all_reduce(sums)
    return float(sums[0] / sums[1]) if float(sums[1]) else None


def _sample(job: Job, weights: dict[str, Tensor], samples: Samples, prepared: Path) -> tuple[str, str]:
    """(prompt, what the model wrote after it)."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(prepared / TOKENIZER))
    begin: list[int]
    if all(each.source == STDLIB for each in samples.manifest.datasets):
        begin = tokenizer.encode("def", add_special_tokens=False).ids
    else:
        window: Ids | None = next(samples.held_out(), None)
        window = window if window is not None else samples.sample(0)
        learned = np.flatnonzero(window >= 0)
        # Of a conversation, up to where the first answer begins.
        asked = int(learned[0]) if len(learned) and learned[0] else PROMPT_TOKENS
        begin = tokens_of(window)[: max(1, asked)].tolist()
    model = plain_model(job)
    model.load_state_dict(weights)
    written = generate(model, begin, context=job.context, seed=job.spec.seed, end=samples.manifest.end_token)
    return tokenizer.decode(begin), tokenizer.decode(written)


@torch.no_grad()
def generate(model: nn.Module, begin: list[int], *, context: int, seed: int, end: int | None) -> list[int]:
    """Draw tokens after `begin` until the document ends or `SAMPLE_TOKENS` are written."""
    model.eval()
    source = torch.Generator().manual_seed(seed)
    ids = list(begin)
    while len(ids) < len(begin) + SAMPLE_TOKENS:
        logits = model(torch.tensor([ids[-context:]]))[0, -1].float()
        best, which = logits.topk(min(SAMPLE_TOP, len(logits)))
        drawn = torch.multinomial((best / SAMPLE_TEMPERATURE).softmax(0), 1, generator=source)
        token = int(which[drawn])
        if token == end:
            break
        ids.append(token)
    return ids[len(begin) :]
