"""`python -m benchmarks.kills --kills N --seed S --json`: kill -9 at random points of trainings on two ranks.

One rank or both are struck at a moment drawn at random: while they come together, load, train, write a checkpoint or
end. Then the next attempt begins. Every run must come to the very weights, loss and ledger of one left in peace.
"""

from __future__ import annotations

import argparse
import faulthandler
import hashlib
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from hanse.contracts.layout import Layout
from hanse.contracts.telemetry import TrainResult
from hanse.training import ledger
from hanse.training.job import Job
from hanse.training.main import work
from tests.training.gang import with_layout
from tests.training.hands import make_job, make_run, make_spec, write_texts

RANKS = 2
STEPS, EVERY = 120, 6
LAYOUTS = {"dp": Layout(dp=RANKS, micro_batch=4), "fsdp": Layout(fsdp=RANKS, micro_batch=2, accumulate=2)}
LONGEST_S = 6.0
"""The latest moment of a strike after the ranks were started; most come sooner."""
ALONE_S = 30.0
"""So long ranks may take to notice that one of them is gone, on a busy machine. Three times that, and what is left is
ended, as torchrun does at once when a rank dies; a rank that waits so long with none of them dead is hung."""

_CONTEXT = multiprocessing.get_context("forkserver")


class Attempt:
    """The ranks of one attempt, each a process of its own."""

    def __init__(self, job: Job, place: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=place))
        self.ranks = [_CONTEXT.Process(target=_rank, args=(rank, self.folder, job)) for rank in range(RANKS)]
        for each in self.ranks:
            each.start()

    def ends_within(self, seconds: float) -> bool:
        ends_at = time.monotonic() + seconds
        for each in self.ranks:
            each.join(max(0.0, ends_at - time.monotonic()))
        return all(each.exitcode is not None for each in self.ranks)

    @property
    def codes(self) -> list[int | None]:
        return [each.exitcode for each in self.ranks]

    def kill(self, victims: list[int]) -> None:
        for victim in victims:
            self.ranks[victim].kill()

    def dump(self) -> str:
        """Where the main thread of the first rank that still lives is: its innermost five places."""
        for rank, each in enumerate(self.ranks):
            if each.exitcode is None and each.pid is not None:
                os.kill(each.pid, signal.SIGUSR2)
                time.sleep(2.0)
                stack = (self.folder / f"said-{rank}").read_text().rpartition("most recent call first")[2]
                lines = [line.strip() for line in stack.splitlines() if line.strip().startswith("File")]
                return " < ".join(f"{line.rpartition(' in ')[2]}" for line in lines[:5])
        return "nowhere"

    @property
    def said(self) -> str:
        return "".join(path.read_text() for path in sorted(self.folder.glob("said-*")))


def _rank(rank: int, folder: Path, job: Job) -> None:
    log = os.open(folder / f"said-{rank}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    torch.set_num_threads(1)
    faulthandler.register(signal.SIGUSR2, file=2, all_threads=False)
    try:
        dist.init_process_group(
            "gloo",
            init_method=f"file://{folder}/store",
            rank=rank,
            world_size=RANKS,
            timeout=timedelta(seconds=ALONE_S),
        )
        work(job, torch.device("cpu"), lambda: False)
    except Exception:  # as `hanse.training.main` does: said, and ended without waiting for any thread
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def storm(place: Path, *, kills: int, seed: int, tell: bool = False) -> dict[str, object]:
    """Kill until it was done `kills` times and every run begun is finished; compare each with its peaceful twin."""
    chance, began = random.Random(seed), time.monotonic()
    texts = write_texts(place / "texts")
    spec = make_spec(texts, tokens=STEPS * 8 * 16, checkpoint={"every_steps": EVERY})
    peaceful: dict[str, str] = {}
    whole_s: dict[str, float] = {}
    for name, layout in LAYOUTS.items():
        job = with_layout(make_job(make_run(place / name, spec), place / "data"), layout)
        started = time.monotonic()
        attempt = Attempt(job, place)
        if not attempt.ends_within(300) or any(attempt.codes):
            raise RuntimeError(f"the undisturbed run ended with {attempt.codes}:\n{attempt.said}")
        peaceful[name], whole_s[name] = outcome(job), time.monotonic() - started

    dealt = hung = left_waiting = unequal = attempts = runs = 0
    moments: Counter[str] = Counter()
    said: Counter[str] = Counter()
    waits: Counter[str] = Counter()
    while dealt < kills:
        name = sorted(LAYOUTS)[runs % len(LAYOUTS)]
        runs += 1
        job = with_layout(make_job(make_run(place / f"run-{runs}", spec), place / "data"), LAYOUTS[name])
        for number in range(1, 10_000):
            attempts += 1
            attempt = Attempt(replace(job, attempt_number=number), place)
            strikes, struck = dealt < kills, False
            # Starting and loading are struck too, and rarely a run that has ended.
            if attempt.ends_within(chance.uniform(0.0, min(LONGEST_S, whole_s[name])) if strikes else 300):
                pass
            elif strikes:
                moments[moment(job)] += 1
                attempt.kill(chance.choice([[0], [1], [0, 1]]))
                dealt, struck = dealt + 1, True
            if not attempt.ends_within(3 * ALONE_S):
                hung, left_waiting = hung + (not struck), left_waiting + struck
                waits[attempt.dump()] += 1
                attempt.kill([0, 1])
                attempt.ends_within(30)
            said["damaged checkpoints met"] += attempt.said.count("DAMAGED CHECKPOINT")
            if tell:
                print(f"{time.monotonic() - began:6.1f} s  kill {dealt}/{kills}  {name}  attempt {number}  "
                      f"{attempt.codes}", file=sys.stderr, flush=True)  # fmt: skip
            if job.run.finished.exists():
                break
        unequal += outcome(job) != peaceful[name]
    return {
        "kills": dealt, "runs": runs, "attempts": attempts, "equal_bit_for_bit": runs - unequal, "unequal": unequal,
        "hung": hung, "left_waiting_for_the_dead": left_waiting, "waited_in": dict(waits),
        "damaged_checkpoints_met": said["damaged checkpoints met"], "struck_while": dict(moments),
        "steps_of_a_run": STEPS, "checkpoint_every": EVERY, "ranks": RANKS, "seed": seed,
        "took_s": round(time.monotonic() - began),
    }  # fmt: skip


def moment(job: Job) -> str:
    """What the run is at, as far as its files tell."""
    if list(job.run.checkpoints.glob("*.tmp")):
        return "writing a checkpoint"
    if not list(job.run.checkpoints.glob("step-*")):
        return "before the first checkpoint"
    if list(job.run.checkpoints.glob(f"step-{STEPS:08d}")):
        return "ending"
    return "training or loading"


def outcome(job: Job) -> str:
    """A digest of the exported weights, the losses and the ledger: what must not depend on any kill."""
    weights = hashlib.sha256((job.run.export / "model.safetensors").read_bytes()).hexdigest()
    result = TrainResult.from_json(job.run.result.read_text())
    entries = ledger.read(job.run.ledger)
    ends = [each.first_sample + each.samples for each in entries]
    gapless = [each.first_sample for each in entries] == [0, *ends[:-1]]
    told = [weights, result.final_loss, result.validation_loss, result.sample_text, ends[-1], gapless]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="figures as JSON; else as lines")
    arguments = parser.parse_args()
    _CONTEXT.set_forkserver_preload(
        ["torch", "torch.distributed.fsdp", "torch.distributed.checkpoint", "torch._dynamo", "tests.training.gang"]
    )
    # The trainer says what it does on descriptor 1: the figures alone go there.
    figures_out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        figures = storm(Path(folder), kills=arguments.kills, seed=arguments.seed, tell=not arguments.json)
    if arguments.json:
        figures_out.write(json.dumps(figures, indent=2) + "\n")
    else:
        for name, value in figures.items():
            figures_out.write(f"{name.replace('_', ' ')}: {value}\n")
    figures_out.close()
    sys.exit(1 if figures["unequal"] or figures["hung"] else 0)


if __name__ == "__main__":
    main()
