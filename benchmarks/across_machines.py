"""`python -m benchmarks.across_machines --json`: what legs that meet seldom learn, and what they send for it.

A small language model on Python's asyncio: once at every step together, then by 2, 4 and 8 legs that know one another
by files alone; by 4 of which one is half as fast, and by 4 of which one leaves half-way. Losses are of held-out text.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody reads
from torch import nn

from benchmarks.figures import Table, load, machine
from benchmarks.trainings import TEXTS
from hanse.contracts.outer import OuterTerms
from hanse.contracts.spec import DatasetSpec
from hanse.contracts.workload import ModelShape
from hanse.training.data.prepare import prepare
from hanse.training.data.samples import Samples, open_samples
from hanse.training.model import Decoder
from tests.training.federation import Killed, Member, Task, agree, courier, finish, start
from tests.training.hands import make_job, make_run, make_spec

SHAPE = ModelShape(layers=2, hidden=64, heads=4, kv_heads=4, ffn=176, vocab=512, context=64)
BATCH, STEPS, INNER_STEPS, LR = 32, 300, 25, 3e-3
MEAN = {"inner_steps": INNER_STEPS, "lr": 1.0, "momentum": 0.0, "nesterov": False}
"""The mean of the legs: a dozen outer steps are too few for an outer momentum of 0.9 to settle, as one case shows."""


def synchronous(samples: Samples) -> float:
    """Held-out loss of one model that sees every batch whole."""
    model = made()
    optimiser = torch.optim.AdamW(model.parameters(), lr=LR)
    for step in range(1, STEPS + 1):
        paced(optimiser, step, STEPS)
        optimiser.zero_grad()
        torch.autograd.backward(loss(samples, model, (step - 1) * BATCH, BATCH))
        optimiser.step()
    return held_out(samples, model)


def apart(samples: Samples, terms: OuterTerms, *, leaves: str | None = None) -> dict[str, Any]:
    """The same samples by legs; `leaves`: this one is gone after half of its steps, and the others wait no longer."""
    task = Task(made, partial(loss, samples), BATCH // len(terms.legs))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        members = [
            Member(Path(folder), terms, each.name, task=task, samples=BATCH * STEPS, optimiser=adam)
            for each in terms.legs
        ]
        for member in members:
            member.before = partial(_before, member, leaves)
        rest = [each for each in members if each.name != leaves]
        began = time.perf_counter()
        with courier(Path(folder)):
            finish(start(*members), *rest, within_s=1800)
        took_s = time.perf_counter() - began
        assert all(np.array_equal(each.final, rest[0].final) for each in rest), "legs end with different weights"
        sent = sum(row.sent_bytes for each in members for row in each.rows("sent"))
        trained = sum(len(each.losses) * each.calendar.batch for each in members)
        return {
            "held_out_loss": round(held_out(samples, rest[0].model), 4),
            "legs": len(members),
            "tokens": trained * SHAPE.context,
            "outer_steps": rest[0].leg.state.applied,
            "sent_bytes_per_leg": round(sent / len(members)),
            "seconds": round(took_s, 1),
        }


def _before(member: Member, leaves: str | None, step: int) -> None:
    paced(member.optimiser, step, member.calendar.steps)
    if member.name == leaves and step > member.calendar.steps // 2:
        raise Killed


def adam(parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=LR)


def paced(optimiser: torch.optim.Optimizer, step: int, steps: int) -> None:
    """A short rise, then half a cosine, by the share of the steps."""
    share = step / steps
    rate = LR * min(1.0, share / 0.05) * (0.1 + 0.9 * (1 + float(np.cos(np.pi * share))) / 2)
    for group in optimiser.param_groups:
        group["lr"] = rate


MAKING = threading.Lock()


def made() -> nn.Module:
    with MAKING:
        torch.manual_seed(11)
        return Decoder(SHAPE)


def loss(samples: Samples, model: nn.Module, first: int, count: int) -> torch.Tensor:
    ids = torch.from_numpy(
        np.stack([samples.sample(int(n)) for n in samples.order.at(np.arange(first, first + count))])
    )
    return F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())


@torch.no_grad()
def held_out(samples: Samples, model: nn.Module) -> float:
    windows = torch.from_numpy(np.stack(list(samples.held_out())))
    return float(F.cross_entropy(model(windows[:, :-1]).flatten(0, 1), windows[:, 1:].flatten()))


@cache
def parameters() -> int:
    return sum(each.numel() for each in made().parameters())


def measured(scratch: Path) -> dict[str, Any]:
    data = DatasetSpec(name="asyncio", source=TEXTS, licence="PSF-2.0").model_dump()
    spec = make_spec(scratch, model={"shape": SHAPE.model_dump()}, tokenizer={"vocab": SHAPE.vocab}, data=[data])
    job = make_job(make_run(scratch / "run", spec), scratch / "data")
    prepare(job)
    samples, _ = open_samples(job)
    torch.set_num_threads(1)
    cases = ((2, "fp32"), (4, "fp32"), (8, "fp32"), (4, "int8"), (4, "int4"))
    together = {f"{n} legs, {codec}": agree(n, codec=codec, **MEAN) for n, codec in cases}
    together["4 legs, int4, 4 fragments overlapped by 3 steps"] = agree(
        4, codec="int4", fragments=4, overlap_steps=3, **MEAN
    )
    together["4 legs, one half as fast"] = agree(4, named=[{}, {}, {}, {"inner_steps": INNER_STEPS // 2}], **MEAN)
    together["4 legs, outer Nesterov of 0.7 and 0.9"] = agree(4, inner_steps=INNER_STEPS)
    found = {name: apart(samples, terms) for name, terms in together.items()}
    leaving = agree(4, wait_s=3.0, silent_s=600, **MEAN)
    found["4 legs, one leaves half-way"] = apart(samples, leaving, leaves=leaving.legs[-1].name)
    alone = synchronous(samples)
    for each in found.values():
        each["loss_over_synchronous"] = round(each["held_out_loss"] / alone, 4)
        # A reduction at every step over a ring of as many has each send 2 (N − 1)/N × 4 bytes a parameter.
        ring = 2 * (each["legs"] - 1) / each["legs"] * 4 * parameters() * STEPS
        each["sent_over_synchronous"] = round(each["sent_bytes_per_leg"] / ring, 4)
    return {
        "machine": machine(), "load": load(), "parameters": parameters(), "tokens": BATCH * STEPS * SHAPE.context,
        "inner_steps": INNER_STEPS, "synchronous_held_out_loss": round(alone, 4), "legs": found,
    }  # fmt: skip


def measure(scratch: Path) -> Table:
    """For `benchmarks.run`."""
    found = measured(scratch)
    rows = [
        (name, f"**{one['loss_over_synchronous']:.3f}**", f"{one['sent_over_synchronous']:.2%}", f"{one['tokens']:,}")
        for name, one in found["legs"].items()
    ]
    verdict = (
        f"Held-out loss together at every step: {found['synchronous_held_out_loss']}, over {found['tokens']:,} tokens; "
        f"{found['parameters']:,} parameters, {STEPS} steps, an outer step every {INNER_STEPS}."
    )
    header = ("case", "loss over that of training together", "bytes a leg sends over a reduction's", "tokens")
    return Table(header, rows, verdict)


@contextmanager
def said_elsewhere() -> Iterator[None]:
    """What the trainer says goes to stderr, so that stdout is the figures'."""
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, said_elsewhere():
        found = measured(Path(folder))
    if asked.json:
        print(json.dumps(found, indent=2))
        return
    print(f"together at every step: held-out loss {found['synchronous_held_out_loss']}")
    for name, each in found["legs"].items():
        print(f"{name}: {each['held_out_loss']} ({each['loss_over_synchronous']} of it), "
              f"{each['sent_bytes_per_leg']} bytes sent by a leg in {each['outer_steps']} outer steps")  # fmt: skip


if __name__ == "__main__":
    main()
