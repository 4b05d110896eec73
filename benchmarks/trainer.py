"""`python -m benchmarks.trainer --json`: the trainer beside a loop written by hand and Accelerate's, and its parts.

Throughput: turns of a few steps, one after another in one process group, so that all three meet the same neighbours;
ratios within a round. Loader: the time of a batch against a step's. Checkpoints: how long training stands still, saved
behind the next steps and waited for. Resume: from a launcher's start to the first step. Planner: steps and memory.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812 - the name everybody reads

from benchmarks import planner_memory, trainings
from benchmarks.figures import Table, load, machine, ratios
from benchmarks.ranks import WARM_UP_STEPS, Clocks
from hanse.contracts.layout import Layout
from hanse.contracts.machine import Calibration
from hanse.contracts.rundir import RunDir
from hanse.contracts.telemetry import RankRow
from hanse.contracts.workload import ModelShape
from hanse.machines.local import local_machine
from hanse.planning.plan import make
from hanse.training.data.samples import open_samples
from hanse.training.job import Job
from hanse.training.model import Decoder
from hanse.workloads.shapes import workload_of
from tests.training.gang import together

STEPS = 12
ROUNDS, TURNS = 12, 3
SIZES: dict[str, ModelShape | None] = {"stdlib-lm": None, "wide": trainings.WIDE}
LAYOUTS = (
    Layout(nodes=2, dp=2, micro_batch=8), Layout(nodes=2, fsdp=2, micro_batch=8),
    Layout(nodes=2, dp=2, micro_batch=4, accumulate=2), Layout(nodes=2, fsdp=2, micro_batch=4, accumulate=2),
)  # fmt: skip


def throughput(scratch: Path, ranks: int, *, rounds: int) -> dict[str, Any]:
    """Tokens/s of the slowest rank by turns, and the ratios of Hanse's to the other two's."""
    layout = Layout(nodes=ranks, dp=ranks, micro_batch=16 // ranks)
    run = trainings.make_run(scratch / f"beside-{ranks}", trainings.spec("beside"), layout=layout)
    answers = scratch / f"answers-{ranks}.json"
    together(ranks, Beside(run, rounds, answers), within_s=900)
    told = json.loads(answers.read_text())
    tokens = layout.global_batch * 128
    # By everyone's median step of a round; its inverse is the throughput.
    return {
        "tokens_per_s": {name: round(tokens / statistics.median(each)) for name, each in told["step_s"].items()},
        "hanse_over_plain": _told(zip(told["step_s"]["plain"], told["step_s"]["hanse"], strict=True)),
        "hanse_over_accelerate": _told(zip(told["step_s"]["accelerate"], told["step_s"]["hanse"], strict=True)),
        "loader_over_step": round(statistics.median(told["step_s"]["hanse"]) / told["batch_s"], 1),
    }


class Beside:
    """A task of every rank: rounds of turns, Hanse's whole trainer, the loop by hand, and Accelerate's."""

    def __init__(self, run: RunDir, rounds: int, answers: Path) -> None:
        self.run, self.rounds, self.answers = run, rounds, answers

    def __call__(self) -> None:
        from benchmarks.plain import train as plain
        from hanse.training.main import work

        rank, world = dist.get_rank(), dist.get_world_size()
        os.environ.update(
            RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world), LOCAL_WORLD_SIZE=str(world),
            MASTER_ADDR="127.0.0.1", MASTER_PORT="0", ACCELERATE_USE_CPU="true",
        )  # fmt: skip
        told: dict[str, list[float]] = {"hanse": [], "plain": [], "accelerate": []}
        for number in range(self.rounds + 1):
            job = self._job(number + 1, rank, world)
            turns: dict[str, Callable[[Clocks], None]] = {
                "hanse": lambda clocks, job=job: work(job, torch.device("cpu"), clocks.at_step),  # type: ignore[misc]
                "plain": lambda clocks, job=job: plain(job, STEPS, clocks.at_step),  # type: ignore[misc]
                "accelerate": lambda clocks, job=job: accelerated(job, STEPS, clocks.at_step),  # type: ignore[misc]
            }
            order = list(turns)[number % 3 :] + list(turns)[: number % 3]
            for name in order:
                dist.barrier()
                clocks = Clocks(STEPS)
                turns[name](clocks)
                slowest = torch.tensor([statistics.median(clocks.between(0)[WARM_UP_STEPS:])], dtype=torch.float64)
                dist.all_reduce(slowest, op=dist.ReduceOp.MAX)
                if number:  # the first round warms up
                    told[name].append(float(slowest))
        if rank == 0:
            samples, _ = open_samples(job)
            began = time.perf_counter()
            for step in range(1, 201):
                samples.batch(step, batch=job.batch, part=0, parts=world)
            batch_s = (time.perf_counter() - began) / 200
            self.answers.write_text(json.dumps({"step_s": told, "batch_s": batch_s}))
        dist.barrier()

    def _job(self, attempt: int, rank: int, world: int) -> Job:
        variables = trainings.variables(self.run, node=rank, nodes=world, port=0, attempt=attempt)
        return Job.from_environment(variables)


def accelerated(job: Job, steps: int, at_step: Callable[[], object]) -> None:
    """As Accelerate's quick tour has it: prepare, backward, clip, step."""
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=job.layout.accumulate)
    assert job.shape is not None
    given, samples = job.spec.optimizer, open_samples(job)[0]
    torch.manual_seed(job.spec.seed)
    model: Any = Decoder(job.shape)
    optimizer: Any = torch.optim.AdamW(
        model.parameters(), lr=given.lr, betas=given.betas, weight_decay=given.weight_decay, fused=True
    )
    model, optimizer = accelerator.prepare(model, optimizer)
    for step in range(1, steps + 1):
        ids = torch.from_numpy(samples.batch(step, batch=job.batch, part=dist.get_rank(), parts=dist.get_world_size()))
        for part in ids.split(job.layout.micro_batch):
            with accelerator.accumulate(model):
                logits = model(part[:, :-1])
                accelerator.backward(F.cross_entropy(logits.flatten(0, 1), part[:, 1:].flatten()))
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), given.clip_norm)
                optimizer.step()
                optimizer.zero_grad()
        at_step()


def stalls(scratch: Path) -> dict[str, float]:
    """Seconds that training stands still for one checkpoint, in the middle of a run on two ranks."""
    found = {}
    for name, behind in (("asynchronous_s", True), ("synchronous_s", False)):
        training = trainings.spec("stall", trainings.WIDE, steps=36)
        training = training.model_copy(
            update={"checkpoint": training.checkpoint.model_copy(update={"every_steps": 12, "asynchronous": behind})}
        )
        run = trainings.make_run(scratch / name, training, layout=LAYOUTS[0])
        trainings.train(run, within_s=300)
        rows = (RankRow.from_json(line) for line in run.attempt(1).rank_rows(0).read_text().splitlines())
        found[name] = statistics.median(row.checkpoint_s for row in rows if row.step in (12, 24))
    return {**found, "asynchronous_over_synchronous": round(found["asynchronous_s"] / found["synchronous_s"], 3)}


def resume(scratch: Path) -> dict[str, float]:
    """Seconds from the launchers' start to the end of the first step, from nothing and from a checkpoint."""
    run = trainings.make_run(scratch / "resume", trainings.spec("resume"), layout=LAYOUTS[0])
    return {name: round(_first_step_s(run, attempt), 2) for attempt, name in ((1, "anew_s"), (2, "resumed_s"))}


def _first_step_s(run: RunDir, attempt: int) -> float:
    start = "import sys; from hanse.training.launch import main; sys.exit(main(sys.argv[1:]))"
    port, began, steps = trainings.free_port(), time.monotonic(), run.attempt(attempt).steps
    launchers = []
    with (run.root / "log").open("ab") as log:
        for node in range(2):
            given = trainings.variables(run, node=node, nodes=2, port=port, attempt=attempt)
            launchers.append(
                subprocess.Popen(
                    [sys.executable, "-c", start, "--no-ticket"], env={**os.environ, **given}, stdout=log, stderr=log
                )
            )
    while not (steps.is_file() and steps.stat().st_size):
        if any(each.poll() for each in launchers) or time.monotonic() - began > 300:
            raise RuntimeError((run.root / "log").read_text())
        time.sleep(0.02)
    took_s = time.monotonic() - began
    run.attempt(attempt).stop.touch()
    for each in launchers:
        each.wait(120)
    return took_s


def predictions(scratch: Path, cases: int) -> dict[str, Any]:
    """Predicted over measured, steps and peaks.

    Steps: layout × size on two ranks, by turns: in each the machine is calibrated before each size, and every layout
    trained once. A neighbour slows one training of these by a third, so the median of the turns counts, with its range.
    """
    wanted = [(name, shape, layout) for name, shape in SIZES.items() for layout in LAYOUTS][:cases]
    found: dict[str, list[float]] = {}
    for turn in range(TURNS):
        calibrated: dict[str, Any] = {}
        for number, (name, shape, layout) in enumerate(wanted):
            if name not in calibrated:
                calibrated[name] = local_machine(_calibration(scratch / f"{name}-{turn}.json"), nodes=2)
            training = trainings.spec(name, shape, steps=30)
            plan = make(workload_of(training), calibrated[name], nodes=2, layout=layout)
            run = trainings.make_run(scratch / f"predicted-{turn}-{number}", training, plan=plan)
            trainings.train(run, within_s=300)
            ratio = plan.step_time.total_s.expected / trainings.median_step_s(run)
            found.setdefault(f"{name}, {layout.describe()}", []).append(ratio)
    steps = {case: _spread(each) for case, each in found.items()}
    peaks = {}
    for number, layout in enumerate(planner_memory.LAYOUTS[:4]):
        counted = planner_memory.counted_peak(planner_memory.SMALL, layout, "fp32", scratch / f"peak-{number}")
        said = planner_memory.predicted(planner_memory.SMALL, layout, "fp32")
        peaks[layout.describe()] = round(said / counted, 3)
    return {
        "step_predicted_over_measured": steps,
        "steps_within_15_percent": sum(abs(each["median"] - 1) <= 0.15 for each in steps.values()),
        "peak_predicted_over_counted": peaks,
        "peaks_within_10_percent": sum(abs(r - 1) <= 0.1 for r in peaks.values()),
    }  # fmt: skip


def _calibration(out: Path) -> Calibration:
    command = [sys.executable, "-m", "hanse.training.calibrate", "--ranks", "2", "--out", str(out)]
    subprocess.run(command, check=True, timeout=300)
    return Calibration.from_json(out.read_bytes())


PARTS: dict[str, Callable[[Path, int, int], Any]] = {
    "throughput_1_rank": lambda place, rounds, _: throughput(place, 1, rounds=rounds),
    "throughput_2_ranks": lambda place, rounds, _: throughput(place, 2, rounds=rounds),
    "checkpoint_stall": lambda place, _, __: stalls(place),
    "first_step": lambda place, _, __: resume(place),
    "planner": lambda place, _, cases: predictions(place, cases),
}
CASES = len(SIZES) * len(LAYOUTS)


def measure(scratch: Path) -> Table:
    """For `benchmarks.run`: every figure beside what it was to be."""
    before = load()
    found = {name: part(scratch, ROUNDS, CASES) for name, part in PARTS.items()}
    rows, met = [], []

    def say(what: str, reached: str, target: str, *, ok: bool) -> None:
        rows.append((what, f"**{reached}**", target))
        met.append(ok)

    for ranks in ("1_rank", "2_ranks"):
        told, where = found[f"throughput_{ranks}"], ranks.replace("_", " ")
        for other, least in (("plain", 0.98), ("accelerate", 1.0)):
            each = told[f"hanse_over_{other}"]
            reached = f"{each['median']:.3f} ({each['low']:.3f}–{each['high']:.3f}, {ROUNDS} rounds)"
            say(f"tokens/s over {other}, {where}", reached, f"at least {least:g}", ok=each["median"] >= least)
        many = told["loader_over_step"]
        say(f"a step's time over a batch's, {where}", f"{many:.0f}", "at least 5", ok=many >= 5)
    stall = found["checkpoint_stall"]["asynchronous_over_synchronous"]
    say("a checkpoint's stall, behind the steps over waited for", f"{stall:.3f}", "at most 0.1", ok=stall <= 0.1)
    for name, seconds in found["first_step"].items():
        rows.append((f"from launchers to the first step, {name.removesuffix('_s')}", f"{seconds:.1f} s", ""))
    for layout, each in found["planner"]["step_predicted_over_measured"].items():
        reached = f"{each['median']:.3f} ({each['low']:.3f}–{each['high']:.3f}, {TURNS} turns)"
        say(f"step predicted over measured, {layout}", reached, "within 15%", ok=abs(each["median"] - 1) <= 0.15)
    for layout, ratio in found["planner"]["peak_predicted_over_counted"].items():
        what = f"peak predicted over counted, {layout}"
        say(what, f"{ratio:.3f}", "within 10%", ok=abs(ratio - 1) <= 0.1)
    verdict = f"{sum(met)} of {len(met)} as they were to be; load {before} before, {load()} after."
    return Table(("what", "reached", "target"), rows, verdict)


def _told(pairs: Any) -> dict[str, float]:
    each = ratios(pairs)
    return {"low": round(each.low, 3), "median": round(each.median, 3), "high": round(each.high, 3)}


def _spread(found: list[float]) -> dict[str, float]:
    named = {"low": min(found), "median": statistics.median(found), "high": max(found)}
    return {name: round(value, 3) for name, value in named.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="figures as JSON; else as lines")
    parser.add_argument("--only", choices=PARTS, action="append", help="these parts alone")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--cases", type=int, default=CASES)
    given = parser.parse_args()
    # The trainer says what it does on descriptor 1: the figures alone go there.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    found: dict[str, Any] = {"machine": machine(), "load_before": load()}
    with tempfile.TemporaryDirectory(prefix="trainer-") as folder:
        for name in given.only or PARTS:
            found[name] = PARTS[name](Path(folder), given.rounds, given.cases)
            print(f"{name}: {found[name]}", file=sys.stderr, flush=True)  # kept, whatever becomes of the next one
    found["load_after"] = load()
    if given.json:
        out.write(json.dumps(found, indent=2) + "\n")
    else:
        for name, value in found.items():
            out.write(f"{name.replace('_', ' ')}: {value}\n")
    out.close()


if __name__ == "__main__":
    main()
