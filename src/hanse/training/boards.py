"""Telemetry in the files of other tools, written by rank 0: TensorBoard, and W&B or MLflow where the user asks.

Nothing of it reaches for a network: W&B writes its offline folder, to be brought up with `wandb sync`; MLflow its file
store, to be looked at with `mlflow ui`. Both are the user's to install.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any, Protocol

from hanse.contracts.telemetry import StepSummary
from hanse.training.job import Job
from hanse.training.say import say


class Board(Protocol):
    def write(self, row: StepSummary) -> None: ...

    def close(self) -> None: ...


def boards_of(job: Job) -> list[Board]:
    """Those that train.yaml asks for; a TensorBoard that is not installed is said and left out."""
    asked, found = job.spec.telemetry, list[Board]()
    if asked.tensorboard:
        try:
            found.append(TensorBoard(job))
        except ImportError:
            say("no TensorBoard files are written: tensorboardX is not installed here")
    if asked.wandb:
        found.append(Wandb(job))
    if asked.mlflow:
        found.append(MLflow(job))
    return found


def numbers(row: StepSummary) -> dict[str, float]:
    """What is drawn of a step, by name."""
    told = {
        "loss": row.loss, "gradient norm": row.grad_norm, "learning rate": row.lr, "tokens a second": row.tokens_per_s,
        "step s": row.step_s.median, "step s slowest": row.step_s.max, "data s": row.data_s.median,
        "optimiser s": row.optimiser_s.median, "memory GB": row.memory_bytes.max / 1e9,
    }  # fmt: skip
    for name, spread in (("forward s", row.forward_s), ("backward s", row.backward_s), ("idle s", row.wait_s)):
        if spread is not None:
            told[name] = spread.median
    for name, seconds in (row.communication_s or {}).items():
        told[f"communication {name} s"] = seconds
    return told


class TensorBoard:
    """tensorboard/0001 in the run's folder, one an attempt: `tensorboard --logdir RUN/tensorboard`."""

    def __init__(self, job: Job) -> None:
        from tensorboardX import SummaryWriter

        folder = job.run.root / "tensorboard" / job.attempt.root.name
        self._writer = SummaryWriter(logdir=str(folder), write_to_disk=True)

    def write(self, row: StepSummary) -> None:
        for name, value in numbers(row).items():
            self._writer.add_scalar(name.replace(" ", "_"), value, row.step, walltime=row.at.timestamp())

    def close(self) -> None:
        self._writer.close()


class Wandb:
    """wandb/offline-run-… in the run's folder; attempts of one run share its id."""

    def __init__(self, job: Job) -> None:
        import wandb

        self._run: Any = wandb.init(
            mode="offline", dir=str(job.run.root), project="hanse", name=job.spec.name, id=_identity(job),
            resume="allow", config=job.spec.model_dump(mode="json"), settings=wandb.Settings(console="off"),
        )  # fmt: skip

    def write(self, row: StepSummary) -> None:
        self._run.log(numbers(row), step=row.step)

    def close(self) -> None:
        self._run.finish()


class MLflow:
    """mlruns/ in the run's folder, MLflow's file store."""

    def __init__(self, job: Job) -> None:
        # From 3.x on it asks to be told that files, rather than a database, are wanted.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        from mlflow.tracking import MlflowClient

        self._client: Any = MlflowClient(tracking_uri=(job.run.root / "mlruns").as_uri())
        known = self._client.get_experiment_by_name(job.spec.name)
        experiment = known.experiment_id if known else self._client.create_experiment(job.spec.name)
        made = self._client.create_run(experiment, run_name=f"{job.spec.name} {job.attempt_number}")
        self._id = made.info.run_id
        self._client.log_param(self._id, "layout", job.layout.describe() if job.spec.model else "own loop")

    def write(self, row: StepSummary) -> None:
        at_ms = int(row.at.timestamp() * 1000)
        for name, value in numbers(row).items():
            self._client.log_metric(self._id, name, value, timestamp=at_ms, step=row.step)

    def close(self) -> None:
        with suppress(OSError):
            self._client.set_terminated(self._id)


def _identity(job: Job) -> str:
    return "".join(c if c.isalnum() else "-" for c in f"{job.spec.name}-{job.run.root.name}")
