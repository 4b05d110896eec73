"""What this process was asked to do: the variables of `contracts.jobenv` and the files of the run's folder.

Needs no torch: the launcher, `--prepare` and every rank read the same object.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from hanse.contracts import jobenv
from hanse.contracts.errors import TrainingError, UsageError
from hanse.contracts.layout import Layout
from hanse.contracts.outer import OuterLaunch
from hanse.contracts.plan import Plan
from hanse.contracts.rundir import AttemptDir, RunDir
from hanse.contracts.spec import ModelSpec, TrainSpec
from hanse.contracts.workload import ModelShape
from hanse.machines.local import LOCAL_ID
from hanse.training.outer.steps import Calendar

CHECKPOINTS_PER_RUN: Final = 10
CHECKPOINT_AT_LEAST_EVERY_S: Final = 60.0
CHECKPOINT_COST: Final = 0.05
"""Largest share of the time that writing checkpoints may take, at `WRITE_BYTES_PER_S` a rank."""
WRITE_BYTES_PER_S: Final = 0.5e9
STATE_BYTES_PER_PARAMETER: Final = 12
"""Weights and AdamW's two moments in fp32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One attempt at one run. `nodes`, `node_rank` and `ranks_per_node` are what the executor started."""

    run: RunDir
    attempt_number: int
    spec: TrainSpec
    plan: Plan | None
    data_dir: Path
    nodes: int
    node_rank: int
    ranks_per_node: int
    outer: OuterLaunch | None = None
    """Of a run with legs on several machines: its terms, and which of them this is."""

    @property
    def attempt(self) -> AttemptDir:
        return self.run.attempt(self.attempt_number)

    @property
    def world_size(self) -> int:
        return self.nodes * self.ranks_per_node

    @property
    def model(self) -> ModelSpec:
        if self.spec.model is None:
            raise UsageError(
                "this run is a command of the user's; Hanse's trainer has nothing to train",
                where=str(self.run.spec), fix="Run the command itself, or describe model and data in train.yaml.",
            )  # fmt: skip
        return self.spec.model

    @property
    def shape(self) -> ModelShape | None:
        """None for a module of the user's."""
        from hanse.workloads.shapes import model_shape

        return model_shape(self.spec)

    @property
    def context(self) -> int:
        return self.shape.context if self.shape else self.model.context or 0

    @property
    def vocab(self) -> int:
        return self.shape.vocab if self.shape else self.model.vocab or 0

    @property
    def batch(self) -> int:
        """Samples of a step; of a leg, its own."""
        return self.calendar.batch if self.calendar is not None else self.spec.batch or 0

    @property
    def tokens_per_step(self) -> int:
        return self.batch * self.context

    @property
    def steps(self) -> int:
        if self.calendar is not None:
            return self.calendar.steps
        return -(-(self.spec.tokens or 0) // self.tokens_per_step)

    @property
    def calendar(self) -> Calendar | None:
        """Of a leg whose model and data train.yaml describes; its tokens are those of all legs together."""
        if self.outer is None or self.spec.model is None:
            return None
        samples = -(-(self.spec.tokens or 0) // self.context)
        return Calendar.of(self.outer.terms, self.outer.leg, batch=self.spec.batch or 0, total_samples=samples)

    @property
    def layout(self) -> Layout:
        """The plan's layout; by hand, without a plan, that of train.yaml or plain data parallelism."""
        given = self.plan.layout if self.plan else self.spec.layout
        layout = given or Layout(
            nodes=self.nodes, dp=self.world_size, micro_batch=max(1, self.batch // self.world_size)
        )
        if layout.world_size != self.world_size:
            raise TrainingError(
                f"the layout ({layout.describe()}) is for {layout.world_size} ranks; the job started {self.world_size}",
                where=str(self.run.plan), fix="Plan again for these nodes, or ask for the nodes of the plan.",
            )  # fmt: skip
        if layout.global_batch != self.batch:
            raise TrainingError(
                f"the layout ({layout.describe()}) works through {layout.global_batch} sequences a step; "
                f"batch is {self.batch}",
                where=str(self.run.plan), fix="Make dp × fsdp × micro_batch × accumulate equal to batch.",
            )  # fmt: skip
        return layout

    @property
    def checkpoint_every(self) -> int:
        """Steps between checkpoints: the spec's, else a tenth of the run and at least one in a planned minute.

        On a cluster, whose nodes hold until they fail, the plan's interval takes the minute's place. Either grows until
        writing a large model costs at most `CHECKPOINT_COST` of the time.
        """
        if self.spec.checkpoint.every_steps is not None:
            return self.spec.checkpoint.every_steps
        every = math.ceil(self.steps / CHECKPOINTS_PER_RUN)
        if self.plan is not None and (step_s := self.plan.step_time.total_s.expected) > 0:
            state_bytes = STATE_BYTES_PER_PARAMETER * self.plan.workload.parameters
            write_s = state_bytes / self.world_size / WRITE_BYTES_PER_S
            planned_s = CHECKPOINT_AT_LEAST_EVERY_S
            if self.plan.goodput is not None and self.plan.machine != LOCAL_ID:
                planned_s = max(planned_s, self.plan.goodput.checkpoint_every_s)
            every = min(every, int(max(planned_s, write_s / CHECKPOINT_COST) / step_s))
        return max(1, every)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Job:
        """Read the variables and files. Raises UsageError for the first one that is missing or wrong."""
        run = RunDir(_folder(environment, jobenv.RUN_DIR, "the run's folder"))
        job = cls(
            run=run, attempt_number=_number(environment, jobenv.ATTEMPT, least=1), spec=_spec(run), plan=_plan(run),
            data_dir=Path(_text(environment, jobenv.DATA_DIR)).absolute(),
            nodes=_number(environment, jobenv.NODES, least=1),
            node_rank=_number(environment, jobenv.NODE_RANK, least=0),
            ranks_per_node=_number(environment, jobenv.ACCELERATORS_PER_NODE, least=1), outer=_outer(run),
        )  # fmt: skip
        if job.node_rank >= job.nodes:
            raise _wrong(jobenv.NODE_RANK, f"is {job.node_rank} of {job.nodes} nodes; it counts from 0")
        return job


def _spec(run: RunDir) -> TrainSpec:
    from hanse.workloads.load import load_spec

    return load_spec(run.spec, check_files=False)


def _plan(run: RunDir) -> Plan | None:
    if not run.plan.is_file():
        return None
    try:
        return Plan.from_json(run.plan.read_bytes())
    except ValidationError as error:
        raise UsageError(
            f"it is no plan: {error.errors()[0]['msg']}", where=str(run.plan), fix="Launch the run again."
        ) from error


def _outer(run: RunDir) -> OuterLaunch | None:
    if not run.outer.is_file():
        return None
    try:
        return OuterLaunch.from_json(run.outer.read_bytes())
    except ValidationError as error:
        raise UsageError(
            f"it is no launch of a leg: {error.errors()[0]['msg']}", where=str(run.outer), fix="Launch the run again."
        ) from error


def _text(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise _wrong(name, "is not set")
    return value


def _number(environment: Mapping[str, str], name: str, *, least: int) -> int:
    text = _text(environment, name)
    if not text.isdecimal() or int(text) < least:
        raise _wrong(name, f"is {text!r}; a number from {least} on is needed")
    return int(text)


def _folder(environment: Mapping[str, str], name: str, what: str) -> Path:
    path = Path(_text(environment, name)).absolute()
    if not path.is_dir():
        raise _wrong(name, f"names {what}, and {path} is no folder")
    return path


def _wrong(name: str, what: str) -> UsageError:
    return UsageError(
        f"{name} {what}",
        fix="The scheduler's executor sets it (hanse.contracts.jobenv); to train by hand, set it yourself.",
    )
