"""Hanse around a training loop of your own: your module, your loss, your data, your optimiser.

`run(main)` starts the ranks: those of the job that Hanse launched (`command:` in train.yaml), or this machine's. In
`main` a `Session` spreads the module, says which samples are whose, resumes, checkpoints, stops when asked to, and
writes telemetry. Nothing in the loop knows how many ranks there are.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import Tensor, nn

from hanse.contracts import jobenv
from hanse.contracts.base import now
from hanse.contracts.errors import TrainingError, UsageError
from hanse.contracts.layout import Layout
from hanse.contracts.rundir import RunDir
from hanse.contracts.workload import Precision
from hanse.files.durable import write_atomically
from hanse.training import compat, permit, session_start
from hanse.training.checkpoints import Checkpoints
from hanse.training.data.order import Order
from hanse.training.faults import Faults
from hanse.training.job import Job
from hanse.training.legs import legs_of
from hanse.training.main import listen, main_of
from hanse.training.meter import Meter
from hanse.training.optimizer import movement
from hanse.training.outer.steps import Calendar
from hanse.training.parallelize import Parallel, mean_over_ranks, parallelize
from hanse.training.position import Position
from hanse.training.say import say
from hanse.training.watch import BEYOND_HUNG_S

CLIP: Final = 1.0

Rows = npt.NDArray[np.int64]


def run(main: Callable[[], None], *, ranks: int | None = None) -> None:
    """Call `main` in every rank: once on each accelerator of the job's nodes, or of this machine.

    Without a job of Hanse's the run's folder is `run/` beside the script, and `ranks` may say how many there are. The
    process ends with 0 when the training is finished, and with 75 when it was asked to stop and has saved: started
    again, it goes on from there.
    """
    if "RANK" not in os.environ:
        code = session_start.start_ranks(ranks or max(1, torch.cuda.device_count()))
        if code is not None:
            sys.exit(code)
    main_of(main)


class Step:
    """One step of the loop; `learn` ends it."""

    def __init__(self, session: Session, number: int) -> None:
        self.number, self._session = number, session

    def rows(self, count: int) -> Rows:
        """This rank's part of the step's batch, as numbers below `count`: every sample once an epoch, shuffled,
        whatever the number of ranks."""
        return self._session.rows(self.number, count)

    def learn(self, loss: Tensor) -> float:
        """Backward, clip, optimise, tell, and checkpoint where one is due; the loss over all ranks."""
        return self._session.learn(self.number, loss)


class Session:
    """A run of `steps` steps of `batch` samples, over however many ranks came."""

    def __init__(
        self, *, steps: int, batch: int, seed: int = 0, precision: Precision = "fp32", clip_norm: float = CLIP,
        layout: Literal["dp", "fsdp"] | Layout = "dp", checkpoint_every: int | None = None, tokens_per_sample: int = 1,
    ) -> None:  # fmt: skip
        """`layout`: every rank holds the model (dp); the ranks of a node share it out and nodes hold copies (fsdp); or
        one in full. `tokens_per_sample` is what throughput is counted in.

        Raises:
            UsageError: the batch does not divide by the ranks.
        """
        self.job = Job.from_environment()
        self._calendar = _calendar(self.job, steps=steps, batch=batch)
        if self._calendar is not None:  # a leg of several, which together train these steps
            steps, batch = self._calendar.steps, self._calendar.batch
        self.steps_in_all, self.batch, self.seed, self.precision = steps, batch, seed, precision
        self.clip_norm, self.tokens = clip_norm, batch * tokens_per_sample
        compat.require_release()
        self._stop_asked = listen(self.job, signal.SIGINT)
        self.device = compat.device_of(int(os.environ["LOCAL_RANK"]))
        limit = timedelta(seconds=self.job.spec.faults.hung_s + BEYOND_HUNG_S)
        dist.init_process_group(compat.backend_of(self.device), timeout=limit)
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        self.layout = _layout(layout, self.job, batch)
        self.every = checkpoint_every or self.job.spec.checkpoint.every_steps or max(1, steps // 10)
        torch.manual_seed(seed)
        self._parallel: Parallel | None = None
        self._position, self._in_step = Position(), False

    def spread(self, module: nn.Module) -> nn.Module:
        """The module over the ranks, on this rank's device: call it as you would call yours."""
        self._parallel = parallelize(module, self.layout, device=self.device, precision=self.precision)
        # What comes before a step's first forward pass is the loop's reading of data.
        self._parallel.model.register_forward_pre_hook(lambda *_: self._forward_begins())
        return self._parallel.model

    def _forward_begins(self) -> None:
        if self._in_step and self._parallel is not None and self._parallel.clock is not None:
            self._in_step = False
            self._meter.mark("data_s")
            self._parallel.clock.begin()

    def autocast(self) -> AbstractContextManager[Any]:
        """Around forward and loss where `precision` is bf16; nothing otherwise."""
        return compat.autocast(self.device, enabled=self.precision == "bf16")

    def steps(self, optimizer: torch.optim.Optimizer) -> Iterator[Step]:
        """The steps that are left, from the last whole checkpoint on; ends the run, or the process if asked to stop.

        Raises:
            UsageError: the optimiser is not Adam's kind, or there is no module yet.
        """
        if self._parallel is None:
            raise UsageError("there is no model yet", fix="Call session.spread(module) before session.steps.")
        if not isinstance(optimizer, torch.optim.Adam):  # AdamW is one
            raise UsageError(
                f"a checkpoint knows the state of Adam and AdamW, not of {type(optimizer).__name__}",
                fix="Use torch.optim.AdamW or Adam, built from the parameters of what session.spread returned.",
            )
        self._optimizer = optimizer
        self._checkpoints = Checkpoints(self.job, self._parallel, optimizer, None)
        self._faults = Faults(self.job, self.rank)
        self._legs = self._checkpoints.legs = legs_of(
            self.job, self._parallel, self._faults, self._stop_asked, calendar=self._calendar,
            tokens_per_step=self.tokens,
        )  # fmt: skip
        start = self._checkpoints.resume()
        self._meter = Meter(
            self.job, self.device, self._stop_asked, steps=self.steps_in_all, tokens_per_step=self.tokens,
            clock=self._parallel.clock,
        )  # fmt: skip
        self._faults.begin(start)
        start = self._legs.begin(start)
        self._proven, self._stopped, self._position = False, self._legs.stopped, start
        self._start, self._began = start, time.perf_counter()
        self._parallel.model.train()
        while self._position.step < self.steps_in_all and not self._stopped:
            number = self._position.step + 1
            self._meter.begin(number)
            # Randomness depends on the step and the rank's place alone: nothing of it need be saved.
            torch.manual_seed(hash((self.seed, number, self._parallel.ranks.random_rank)))
            self._in_step = True
            yield Step(self, number)
            self._in_step = False
            if self._position.step < number:
                raise UsageError(f"step {number} ended without step.learn(loss)", fix="Call it once in every step.")
        self._meter.close()
        if self._stopped:
            at = self._position.step
            if self.rank == 0:
                say(f"stopped as asked at step {at} of {self.steps_in_all}; the next attempt goes on from it")
            # Behind torchrun, the launcher tells a stop from an end.
            raise SystemExit(0 if "TORCHELASTIC_RUN_ID" in os.environ else session_start.STOPPED)
        self._checkpoints.settle(required=True)

    def rows(self, step: int, count: int) -> Rows:
        assert self._parallel is not None
        share = self.batch // self._parallel.ranks.data_ranks
        number = self._faults.batch(step)
        of_step = self._calendar.first_sample(number) if self._calendar is not None else (number - 1) * self.batch
        first = of_step + self._parallel.ranks.data_rank * share
        return np.asarray(Order(count, self.seed).at(np.arange(first, first + share)), dtype=np.int64)

    def learn(self, number: int, loss: Tensor) -> float:
        parallel, meter = self._parallel, self._meter
        assert parallel is not None
        if self._in_step:
            raise UsageError("the step did not call the model", fix="Call what session.spread returned, not your own.")
        if parallel.clock is not None:
            parallel.clock.mark("forward")
        torch.autograd.backward(loss)
        parallel.reduce()
        if parallel.clock is not None:
            parallel.clock.mark("backward")
        meter.mark("compute_s")
        norm = parallel.clip(self.clip_norm)
        if trained := self._faults.allows(number, loss.detach(), norm):
            with movement(parallel, required=not self._proven):
                self._optimizer.step()
            self._proven = True
        self._optimizer.zero_grad(set_to_none=True)
        meter.mark("optimiser_s")
        rate = float(self._optimizer.param_groups[0]["lr"])
        mean, self._stopped = meter.report(number, loss=float(loss.detach()), grad_norm=norm, lr=rate)
        trained_s = self._start.training_s + time.perf_counter() - self._began
        kept = mean if trained else self._position.loss
        position = self._faults.after(Position(step=number, loss=kept, training_s=trained_s))
        self._position = position = self._legs.after(position)
        self._began += self._legs.waited_s
        self._stopped = self._stopped or self._legs.stopped
        last = self._stopped or position.step == self.steps_in_all
        due = last or position.step // self.every > (number - 1) // self.every
        saved_s = self._checkpoints.save(position, wait=last) if due else 0.0
        meter.end(number, checkpoint_s=saved_s, outer_s=self._legs.waited_s)
        return mean

    def mean(self, value: float | Tensor) -> float:
        """Over all ranks, each of which calls it."""
        return float(mean_over_ranks(torch.tensor([float(value)], dtype=torch.float64, device=self.device)))

    def say(self, text: str) -> None:
        """Into the job's log, once."""
        if self.rank == 0:
            say(text)

    def finish(self) -> Path:
        """Export the weights and mark the run as finished; called by every rank after the last step.

        Returns the safetensors file, with the names of your module's state_dict.
        """
        assert self._parallel is not None
        run: RunDir = self.job.run
        path = run.export / "model.safetensors"
        weights = {name: value.contiguous().clone() for name, value in self._parallel.full_state().items()}
        if self.rank == 0:
            run.export.mkdir(parents=True, exist_ok=True)
            beside = path.with_suffix(".tmp")
            save_file(weights, beside)
            beside.replace(path)
            write_atomically(run.finished, f"step {self.steps_in_all} at {now().isoformat()}\n")
            say(f"finished: {self.steps_in_all} steps, loss {self._position.loss:.4f}; weights in {path}")
        dist.barrier()
        return path


def _calendar(job: Job, *, steps: int, batch: int) -> Calendar | None:
    if job.outer is None:
        return None
    if jobenv.TICKET_KEY in os.environ:
        permit.require(job)
    return Calendar.of(job.outer.terms, job.outer.leg, batch=batch, total_samples=steps * batch)


def _layout(wanted: Literal["dp", "fsdp"] | Layout, job: Job, batch: int) -> Layout:
    world = dist.get_world_size()
    if world != job.world_size:
        raise TrainingError(f"{world} ranks came; the job is for {job.world_size}")
    if isinstance(wanted, Layout):
        layout = wanted
    elif wanted == "fsdp":
        layout = Layout(nodes=job.nodes, fsdp=job.ranks_per_node, dp=job.nodes, micro_batch=max(1, batch // world))
    else:
        layout = Layout(nodes=job.nodes, dp=world, micro_batch=max(1, batch // world))
    if layout.world_size != world or layout.pp > 1 or layout.accumulate > 1:
        raise UsageError(
            f"the layout {layout.describe()} does not fit {world} ranks and a loop of one's own",
            fix="Give dp, fsdp, or a Layout of dp × fsdp × tp with as many ranks, one pass a step.",
        )
    if batch % (data := layout.dp * layout.fsdp):
        raise UsageError(f"a batch of {batch} does not divide by {data} ranks", fix=f"Take a multiple of {data}.")
    return layout


def parameters_of(module: nn.Module) -> Sequence[nn.Parameter]:
    """Those to be trained, for an optimiser."""
    return [each for each in module.parameters() if each.requires_grad]
