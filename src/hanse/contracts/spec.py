"""train.yaml: the user's one file. `hanse.workloads.load` reads it and names key and line of what is wrong."""

from __future__ import annotations

import json
from datetime import date
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from hanse.contracts.across import AcrossSpec
from hanse.contracts.base import Contract, Count, Fraction, Identifier, Positive
from hanse.contracts.layout import Layout
from hanse.contracts.workload import Lora, ModelShape, Precision, Training

EntryPoint = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]


class ModelSpec(Contract):
    """A preset, a transformer's dimensions, a Hugging Face config.json, or the user's own module: exactly one of them.

    Hanse's trainer builds shapes of `family: llama` and modules of the user's; everything else can be planned.
    `entry` names `package.module:function`, found beside train.yaml; it is called with `vocab` and `context` as
    keywords and returns a torch.nn.Module that maps token ids (batch, context) to logits (batch, context, vocab).
    """

    preset: Identifier | None = None
    shape: ModelShape | None = None
    config: str | None = Field(default=None, min_length=1)
    """A Hugging Face config.json, relative to train.yaml. Reading the file turns it into `shape`."""
    weights: str | None = Field(default=None, min_length=1)
    """A folder with config.json and .safetensors of the Llama family to begin from, relative to train.yaml: with
    `training: finetuning` or `lora`."""
    entry: EntryPoint | None = None
    vocab: Positive | None = None
    """With `entry`: number of tokens the module knows."""
    context: Positive | None = None
    """Sequence length in tokens. With `entry` always; with `preset` and `config` to train on other ones than stated."""
    parameters: Positive | None = None
    """With `entry`: parameter count, for the plan; measured when left out."""

    @model_validator(mode="after")
    def _one_of(self) -> ModelSpec:
        given = [name for name in ("preset", "shape", "config", "entry") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                "give exactly one of preset, shape, config, entry" + (f", not {' and '.join(given)}" if given else "")
            )
        if self.shape is not None and self.context is not None:
            raise ValueError("context stands in shape; drop the one beside it")
        if self.entry is None and (only := [name for name in ("vocab", "parameters") if getattr(self, name)]):
            raise ValueError(f"{' and '.join(only)} belongs to entry only; {given[0]} says it already")
        if self.entry and self.weights:
            raise ValueError("weights are loaded into a known shape; a module of yours (entry) loads its own")
        if self.entry and not (self.vocab and self.context):
            raise ValueError("entry needs vocab and context beside it")
        return self


class DatasetSpec(Contract):
    """Text to train on.

    `source` is 'python-stdlib', a path or glob of text files (relative to train.yaml), or one behind a URL that fsspec
    opens ('s3://bucket/texts/*.txt'), read as a stream where the data are prepared.
    """

    name: Identifier
    source: str = Field(min_length=1)
    licence: str = Field(min_length=1)
    """SPDX identifier or a sentence; it goes into the ledger and the documents."""
    personal_data: bool = False
    weight: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Of all samples so many parts come from it, whatever its size: 3 beside 1 is three in four. None: its own size."""
    kind: Literal["text", "messages"] = "text"
    """messages: JSON lines, each a conversation {"messages": [{"role", "content"}, …]}, put into the chat template that
    lies beside tokenizer.json; only what an assistant says is learned. With training: finetuning or lora."""
    boundaries: bool = False
    """Every document begins a sample of its own and is filled up to whole samples, so that none holds a piece of two.
    With training: finetuning or lora."""


class TokenizerSpec(Contract):
    """A byte-level BPE trained on the data, or a tokenizer.json of the user's."""

    kind: Literal["bpe", "file"] = "bpe"
    vocab: Positive = 4096
    """Tokens it makes at most; left out of train.yaml, as many as the model knows."""
    path: str | None = None

    @model_validator(mode="after")
    def _path(self) -> TokenizerSpec:
        if (self.kind == "file") != (self.path is not None):
            raise ValueError("kind: file needs path, kind: bpe has none")
        return self


class OptimizerSpec(Contract):
    name: Literal["adamw"] = "adamw"
    lr: float = Field(default=3e-4, gt=0)
    betas: tuple[Fraction, Fraction] = (0.9, 0.95)
    weight_decay: float = Field(default=0.1, ge=0)
    clip_norm: float = Field(default=1.0, gt=0)


class ScheduleSpec(Contract):
    kind: Literal["cosine", "constant"] = "cosine"
    warmup: Fraction = 0.05
    """Share of all steps."""
    final: Fraction = 0.1
    """Last learning rate over the highest."""


class CheckpointSpec(Contract):
    every_steps: Positive | None = None
    """None: the plan's interval."""
    keep: Positive = 2
    asynchronous: bool = True
    """Training goes on while a copy in main memory is written; false: it waits."""


class FaultsSpec(Contract):
    """What the trainer does when a step goes wrong."""

    not_finite: Literal["stop", "skip", "roll-back"] = "stop"
    """A loss or gradient that is not finite. skip: its batch is left out; roll-back: training goes on from the last
    checkpoint and leaves out all data from there to that batch."""
    spike: Literal["ignore", "skip", "roll-back", "stop"] = "ignore"
    """A loss that leaps."""
    spike_deviations: float = Field(default=6.0, gt=0)
    """It leaps if it lies so many standard deviations above the mean of the losses before it."""
    spike_window: Positive = 32
    """How many losses before it."""
    most: Positive = 10
    """Times an attempt leaves data out before it stops."""
    hung_s: Positive = 300
    """A part of a step that takes longer is a hang: the rank waited for is named, and the attempt ends."""


class TelemetrySpec(Contract):
    """What is written of a training beside its own rows: files of the run's folder, nothing over a network."""

    tensorboard: bool = True
    """Event files for TensorBoard, written by rank 0."""
    communication_every: Count = 0
    """Every so many steps, each communication is timed by torch's profiler, which slows that step; 0: never."""
    wandb: bool = False
    """An offline folder of Weights & Biases; the library must be installed."""
    mlflow: bool = False
    """MLflow's file store; the library must be installed."""


class WhereSpec(Contract):
    """Where it may run and what it may cost."""

    machines: tuple[Identifier, ...] = ("local",)
    partition: str | None = None
    account: str | None = None
    nodes: Positive | None = None
    """None: the planner chooses."""
    min_nodes: Positive | None = None
    """Where the partition has too few sound nodes left, an attempt may go on with so many at least; None: it waits."""
    wall_time_s: Positive = 3600
    """Of one attempt, that is of one job. A longer run goes on in the next from its checkpoint."""
    max_gpu_hours: float = Field(gt=0)
    """Of the whole run, over all attempts; it is refused if the plan needs more, and stopped if it comes to more."""
    max_attempts: Positive = 5
    """Jobs a run may take, planned ones and those after a failure."""
    ahead: Count = 1
    """Jobs queued ahead of time while one runs, where the training takes more than one; 0: none."""
    finish_by: date | None = None
    """The day by whose end it should be finished: machines that would be too late come last."""
    patience_s: Positive = 6 * 3600
    """So long it may wait at a machine that takes no jobs before it moves to another of `machines`."""
    restart_elsewhere: bool = False
    """Begin again from step 0 on another machine where its checkpoint cannot be brought there."""


class CommandSpec(Contract):
    """Any program of the user's, through the same run, metering and logs, without Hanse's trainer.

    It runs once on every node, in the folder of train.yaml, with HANSE_NODE_RANK, HANSE_NODES, HANSE_RDZV_HOST
    and HANSE_RDZV_PORT set; it counts as finished when it ends with 0 on all of them.
    """

    run: str = Field(min_length=1)
    """A shell line."""
    image: str | None = None
    accelerators_per_node: Positive = 1
    resumes: bool = False
    """It goes on from what it saved in HANSE_RUN_DIR: an attempt that failed or was killed is followed by another.

    Asked to stop or to move it gets USR1, as before the end of its wall time, and time to save; to end with 0 still
    means that it is finished.
    """


class TrainSpec(Contract):
    """What train.yaml holds. Either `command`, or model, data, batch and tokens."""

    schema_version: Literal[1] = 1
    name: Identifier
    purpose: str = ""
    """One sentence on what the model is for; the gate reads it."""
    model: ModelSpec | None = None
    training: Training = "pretraining"
    lora: Lora | None = None
    """With `training: lora`; None: adapters of rank 16 on every product."""
    data: tuple[DatasetSpec, ...] = ()
    tokenizer: TokenizerSpec = TokenizerSpec()
    batch: Positive | None = None
    """Sequences in one optimiser step, over all ranks."""
    tokens: Positive | None = None
    """Tokens to train on in all."""
    optimizer: OptimizerSpec = OptimizerSpec()
    schedule: ScheduleSpec = ScheduleSpec()
    precision: Precision = "bf16"
    compile: bool = False
    """Each of the model's repeated blocks by torch.compile, in layouts of dp and fsdp: it needs a C++ compiler where it
    runs, and the first step takes longer."""
    seed: int = 0
    checkpoint: CheckpointSpec = CheckpointSpec()
    faults: FaultsSpec = FaultsSpec()
    telemetry: TelemetrySpec = TelemetrySpec()
    layout: Layout | None = None
    """Only to overrule the planner."""
    command: CommandSpec | None = None
    across: AcrossSpec | None = None
    """A leg on each of `where.machines` at once, which exchange what they learn every few hundred steps."""
    where: WhereSpec

    def canonical(self) -> bytes:
        """Without what came later where there is none of it: specs from before it keep their hashes."""
        fields = self.model_dump(mode="json")
        if not self.compile:
            del fields["compile"]
        if self.across is None:
            del fields["across"]
        if self.where.min_nodes is None:
            del fields["where"]["min_nodes"]
        return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()

    @model_validator(mode="after")
    def _fewest(self) -> TrainSpec:
        least, planned = self.where.min_nodes, self.where.nodes
        if least is not None and self.command is not None:
            raise ValueError("where.min_nodes is for trainings; a command gets the nodes it asks for")
        if least is not None and self.layout is not None:
            raise ValueError("where.min_nodes needs another layout on fewer nodes; drop layout")
        if least is not None and planned is not None and least > planned:
            raise ValueError(f"where.min_nodes is {least}, more than where.nodes, {planned}")
        return self

    @model_validator(mode="after")
    def _several(self) -> TrainSpec:
        if self.across is None:
            return self
        machines = self.where.machines
        if self.command is not None:
            raise ValueError("across is for trainings; a command runs on one machine")
        if self.layout is not None:
            raise ValueError("across plans a layout for each machine; drop layout")
        if len(machines) < 2 or len(set(machines)) < len(machines):
            raise ValueError("across wants two machines or more in where.machines, each named once")
        if self.across.min_legs is not None and self.across.min_legs > len(machines):
            raise ValueError(f"across.min_legs is {self.across.min_legs} of {len(machines)} machines")
        return self

    @model_validator(mode="after")
    def _mixture(self) -> TrainSpec:
        without = [each.name for each in self.data if each.weight is None]
        if without and len(without) < len(self.data):
            raise ValueError(f"data: give every dataset a weight or none; {', '.join(without)} has none")
        names = [each.name for each in self.data]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"data: two datasets are named {', '.join(twice)}; shards and ledger go by the name")
        return self

    @model_validator(mode="after")
    def _adapters(self) -> TrainSpec:
        if self.lora is not None and self.training != "lora":
            raise ValueError(f"lora goes with training: lora, not with training: {self.training}")
        if self.training == "lora" and self.model is not None and self.model.entry is not None:
            raise ValueError("training: lora needs a known shape; give model.preset, model.shape or model.config")
        asks = [each.name for each in self.data if each.kind == "messages" or each.boundaries]
        if asks and self.training == "pretraining":
            raise ValueError(f"data: kind: messages and boundaries ({', '.join(asks)}) go with finetuning or lora")
        if any(each.kind == "messages" for each in self.data) and self.tokenizer.path is None:
            raise ValueError("data: kind: messages needs the model's own tokenizer, with its chat template beside it")
        if self.training == "pretraining" and self.model is not None and self.model.weights is not None:
            raise ValueError("model.weights goes with training: finetuning or lora")
        return self

    @model_validator(mode="after")
    def _one_kind(self) -> TrainSpec:
        if self.command is not None:
            extra = [key for key in ("model", "batch", "tokens", "layout") if getattr(self, key) is not None]
            extra += ["compile"] if self.compile else []
            if extra or self.data:
                raise ValueError(
                    f"command runs a program of yours; drop {', '.join(extra or ['data'])} or drop command"
                )
            return self
        missing = [key for key in ("model", "batch", "tokens") if getattr(self, key) is None]
        if not self.data:
            missing.append("data")
        if missing:
            raise ValueError(f"missing {', '.join(missing)} (or give command to run a program of yours)")
        return self
