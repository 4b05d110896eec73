"""Answers a plan and its datasets know already, each with where it comes from: pure functions of contracts.

Computation by the architecture: 6 · N · D for parameters N and tokens D (Commission guidelines C(2025) 7719, annex
A.2.1), with the parameters a token passes through where there are experts. With adapters (LoRA) the frozen weights
need no gradients of their own: (4 · N + 2 · N_trainable) · D, which AWS's meter for fine-tuning uses and the guidelines
do not name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hanse.contracts.spec import DatasetSpec, TrainSpec
from hanse.contracts.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefilled:
    """`facts` stand above what an applicant states; `answers` are suggestions; `because` says of each why."""

    facts: dict[str, float] = field(default_factory=dict)
    answers: dict[str, bool] = field(default_factory=dict)
    because: dict[str, str] = field(default_factory=dict)


def by_architecture(passed: int, tokens: int, *, trained: int | None = None) -> float:
    """FLOP of `tokens` through a model of which each passes through `passed` parameters; `trained`: of adapters."""
    return 6.0 * passed * tokens if trained is None else float(4 * passed + 2 * trained) * tokens


def training_flops(workload: Workload) -> tuple[float, str]:
    """FLOP of the whole training and the formula they come from, in words."""
    tokens = workload.steps * workload.tokens_per_step
    passed = workload.active_parameters or workload.parameters
    if workload.training == "lora":
        said = f"(4 · {passed:.3g} + 2 · {workload.trainable:.3g} trained parameters) · {tokens:.3g} tokens"
        return by_architecture(passed, tokens, trained=workload.trainable), said
    kind = "active parameters" if workload.active_parameters else "parameters"
    return by_architecture(passed, tokens), f"6 · {passed:.3g} {kind} · {tokens:.3g} tokens"


def from_workload(workload: Workload) -> Prefilled:
    """What the training's shape and length tell."""
    flops, formula = training_flops(workload)
    facts, because = {"training_flops": flops}, {"training_flops": formula}
    answers = {}
    if workload.training in ("finetuning", "lora"):
        answers["builds-on-model"] = True
        because["builds-on-model"] = f"training: {workload.training} starts from a model there is"
    return Prefilled(facts=facts, answers=answers, because=because)


def from_datasets(datasets: Iterable[DatasetSpec]) -> Prefilled:
    """What the datasets declare: only a yes is taken over, for a no may just be nothing said."""
    named = [one.name for one in datasets if one.personal_data]
    if not named:
        return Prefilled()
    return Prefilled(
        answers={"personal-data": True}, because={"personal-data": f"declared of {', '.join(named)}"}
    )  # fmt: skip


def from_training(spec: TrainSpec, workload: Workload | None) -> Prefilled:
    """A train.yaml and, where its shape is known, the workload it makes."""
    data = from_datasets(spec.data)
    if workload is None:
        return data
    shape = from_workload(workload)
    return Prefilled(
        facts=shape.facts, answers={**shape.answers, **data.answers}, because={**shape.because, **data.because}
    )


def fill(answers: Mapping[str, Any], known: Prefilled) -> dict[str, Any]:
    """The answers with what a plan knows added: never over an answer somebody gave.

    That the training builds on a model of others matters only of a model of general purpose, so it is added there only.
    """
    folded = {str(key).lower().replace("_", "-"): value for key, value in answers.items()}
    added = {id: value for id, value in known.answers.items() if id not in folded}
    if str(folded.get("general-purpose", "no")).lower() not in ("true", "yes", "y"):
        added.pop("builds-on-model", None)
    return {**answers, **added}
