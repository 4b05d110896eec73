"""Fits the step-time kernel's constants to published runs, and judges the fit on families it has not seen.

Maximum a posteriori: every constant has a published or measured value as its prior and may leave it as far as the prior
is wide; errors of log step time count by soft-L1; families are weighed so that large ones do not drown small ones.
Levenberg-Marquardt with differences, in numpy. `--write` puts the result into src/hanse/planning/constants.yaml and
stacks.yaml; `--leave-one-out` prints each family's error when the constants have not seen it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks import published
from hanse.planning import kernel
from hanse.planning import stacks as stack_table
from hanse.planning.constants import Constants
from hanse.planning.inputs import Array

HERE = Path(__file__).parent
PLANNING = HERE.parent / "src" / "hanse" / "planning"

# name: (prior, sd of its log, what it is)
PRIORS: dict[str, tuple[float, float, str]] = {
    "training_over_benchmark": (0.89, 0.04, "products in a training, over the best isolated ones"),
    "fp8": (0.92, 0.08, "share of the fp8 peak's ceiling that products with scaling and casts reach"),
    "mxfp8": (0.86, 0.08, "same, block scaled"),
    "nvfp4": (0.64, 0.10, "same, of the 4-bit peak"),
    "fp8_rowwise": (0.5, 0.15, "same, scaled by rows"),
    "weight_traffic": (0.93, 0.25, "of a product's weights, not hidden behind its arithmetic"),
    "input_traffic": (0.43, 0.35, "of its input"),
    "output_traffic": (0.43, 0.50, "of its output"),
    "grouped": (1.15, 0.15, "experts' grouped products over single ones of their size"),
    "quantised": (0.5, 0.5, "power of the share of units that a product's last wave of tiles leaves idle"),
    "attention_of_ceiling": (0.72, 0.15, "tiled attention forward, of the best product's rate"),
    "attention_on_newer": (0.65, 0.15, "FlashAttention-2 on asynchronous generations over kernels written for them"),
    "attention_backward": (2.9, 0.12, "tiled attention backward over forward"),
    "short_heads": (0.3, 0.5, "power of head size / 128 in attention's rate"),
    "attention_half": (700.0, 0.6, "sequence at which tiled attention reaches half its rate"),
    "scores_of_ceiling": (0.33, 0.25, "products of stored scores, of the best product's rate"),
    "score_bytes": (16.0, 0.25, "moved for each stored score forward"),
    "odd_heads": (4.0, 0.3, "attention's time where the head size is no multiple of 8"),
    "residual_elements": (15.0, 0.25, "elements of hidden size moved by norms, residuals, dropout"),
    "head_elements": (3.0, 0.35, "same, of queries, keys and values"),
    "ffn_elements": (2.0, 0.35, "same, of the feed-forward's inner width"),
    "norm_elements": (20.0, 0.3, "same, more where RMS norms are single operations in fp32"),
    "rotary_elements": (
        8.0,
        0.35,
        "same, of queries, keys and values, more where rotary positions are single operations",
    ),
    "sorted_elements": (6.0, 0.35, "same, of hidden size for each copy of a token at the experts"),
    "cast_elements": (1.5, 0.5, "same, for casting to 8 bits or fewer"),
    "backward_traffic": (2.0, 0.12, "elementwise traffic backward over forward"),
    "memory_of_peak": (0.85, 0.05, "of the published memory bandwidth"),
    "logit_bytes": (28.0, 0.25, "moved for each logit, forward and backward"),
    "embedding_bytes": (24.0, 0.35, "moved for each element of the embedded tokens"),
    "launch_s": (0.7e-3, 0.3, "host time of a block's forward launches"),
    "launch_backward": (1.5, 0.2, "backward launches over forward"),
    "launch_experts": (2.8, 0.3, "launches of a block of experts over those of a dense one"),
    "launch_per_doubling": (0.09, 0.4, "more launches for each doubling of tensor parallelism"),
    "expert_wait_s": (0.6e-3, 0.6, "host waiting for the tokens' counts in a block of experts, each pass"),
    "micro_batch_s": (1.0e-3, 0.7, "host time of a pipeline stage for each micro-batch"),
    "tensor_half_bytes": (5e6, 0.4, "message at which in-node collectives reach half their bandwidth"),
    "bus_of_link": (0.78, 0.08, "collectives' bandwidth over the links', in a node"),
    "nic_of_link": (0.80, 0.15, "same, between nodes"),
    "context_exposed": (0.35, 0.5, "share of the ring's messages that is not hidden in any case"),
    "expert_exposed": (0.6, 0.3, "share of all-to-all that shows"),
    "expert_copies": (4.0, 0.2, "most nodes a token is sent to"),
    "expert_latency_s": (2e-5, 0.7, "of an all-to-all, for each doubling of its ranks"),
    "pipeline_exposed": (0.1, 0.7, "share of sending between stages that shows beside fill and drain"),
    "sharding_exposed": (0.08, 0.6, "share of gathering weights that shows in any case"),
    "optimiser_bytes": (40.0, 0.3, "moved for each parameter by optimiser, norm and clipping"),
    "offload_bytes": (
        44.0,
        0.001,
        "for each parameter with the optimiser there: 16 over the host link, 28 through main memory by Adam itself",
    ),
    "accumulate_bytes": (6.0, 0.5, "moved for each parameter to add a micro-batch's gradient"),
    "step_s": (0.008, 0.7, "once a step: data, loss scale, logging"),
    "step_layer_s": (0.3e-3, 0.7, "once a step and block: launches of the optimiser"),
    "straggling": (0.004, 0.6, "waiting for the slowest, for each doubling of ranks beyond 8"),
}
STACK_SD = {"compute": 0.08, "traffic": 0.25, "launch": 0.35, "exposed": 0.40}
KIND_SHARE, OWN_SHARE = 0.75, 0.66
"""Of those, what stacks of a kind have in common and what is each one's own (root of the sum of squares: 1)."""
ACCELERATOR_SD, HOST_SD = 0.06, 0.20
FAMILY_POWER = 0.6
"""A family's rows weigh n^-0.6 each."""
NOISE = 0.07
"""Of log step time, what no model of this kind can know."""


@dataclass(frozen=True)
class Problem:
    """Runs with what the parameters act on."""

    runs: published.Runs
    kinds: tuple[str, ...]
    stacks: tuple[str, ...]
    accelerators: tuple[str, ...]
    kind_of: np.ndarray
    stack_of: np.ndarray
    accelerator_of: np.ndarray
    used: np.ndarray
    """Runs whose errors count."""
    weights: Array

    @property
    def names(self) -> list[tuple[str, str]]:
        own = [("constant", name) for name in PRIORS]
        own += [(f"kind:{factor}", name) for name in self.kinds for factor in STACK_SD]
        own += [(f"stack:{factor}", name) for name in self.stacks for factor in STACK_SD]
        own += [("accelerator", name) for name in self.accelerators]
        return own + [("host", name) for name in self.accelerators]


def places(names: Sequence[str], said: Sequence[str]) -> np.ndarray:
    """Where each stands in `names`; -1 for what does not."""
    return np.array([names.index(each) if each in names else -1 for each in said])


def problem(runs: published.Runs, used: np.ndarray) -> Problem:
    """Offsets exist for stacks and accelerators among the used runs only."""
    software = [runs.runs[index].row.get("stack", "") for index in runs.of_run]
    stacks = sorted({run.row.get("stack", "") for run, use in zip(runs.runs, used, strict=True) if use})
    kind_of = {name: stack_table.find(name).kind for name in {run.row.get("stack", "") for run in runs.runs}}
    kinds = sorted({kind_of[name] for name in stacks})
    chips = sorted({run.accelerator for run, use in zip(runs.runs, used, strict=True) if use})
    families = np.array([run.family for run in runs.runs])
    counts = {family: np.count_nonzero((families == family) & used) for family in set(families)}
    weights = np.array([max(1, counts[family]) ** -FAMILY_POWER for family in families]) * used
    return Problem(
        runs=runs, kinds=tuple(kinds), stacks=tuple(stacks), accelerators=tuple(chips),
        kind_of=places(kinds, [kind_of[name] for name in software]), stack_of=places(stacks, software),
        accelerator_of=places(chips, [runs.runs[index].accelerator for index in runs.of_run]),
        used=used, weights=weights * 4.0,
    )  # fmt: skip


def constants_of(theta: Array) -> Constants:
    values = {
        name: prior * float(np.exp(sd * value))
        for (name, (prior, sd, _)), value in zip(PRIORS.items(), theta[: len(PRIORS)], strict=True)
    }
    for name in SHARES & values.keys():
        values[name] = min(1.0, values[name])
    return Constants(**values)


SHARES = {
    "training_over_benchmark", "context_exposed", "expert_exposed", "pipeline_exposed", "sharding_exposed",
    "memory_of_peak", "bus_of_link", "nic_of_link",
}  # fmt: skip


def predict(task: Problem, theta: Array) -> Array:
    """Log seconds of each run."""
    constants = constants_of(theta)
    runs, at, factors = task.runs, len(PRIORS), len(STACK_SD)
    offsets = np.zeros((len(task.stack_of), factors))
    for names, of_run, share in ((task.kinds, task.kind_of, KIND_SHARE), (task.stacks, task.stack_of, OWN_SHARE)):
        own = theta[at : at + len(names) * factors].reshape(len(names), factors) * share
        offsets += np.vstack([own, np.zeros(factors)])[of_run]
        at += len(names) * factors
    offsets = np.exp(offsets * np.array(list(STACK_SD.values())))
    count = len(task.accelerators)
    chips = np.append(theta[at : at + count], 0.0)[task.accelerator_of]
    hosts = np.append(theta[at + count :], 0.0)[task.accelerator_of]
    stack = replace(runs.stack, **{name: getattr(runs.stack, name) * offsets[:, i] for i, name in enumerate(STACK_SD)})
    stack = replace(stack, exposed=np.minimum(1.0, stack.exposed))
    hardware = replace(runs.hardware, ceiling=runs.hardware.ceiling * np.exp(ACCELERATOR_SD * chips),
                       launch=runs.hardware.launch * np.exp(HOST_SD * hosts))  # fmt: skip
    total = kernel.step(runs.model, hardware, stack, runs.degrees, constants).total
    return np.log(runs.fastest(np.asarray(total)))


def fit(task: Problem, rounds: int = 12, start: Array | None = None) -> Array:
    """Levenberg-Marquardt on soft-L1 residuals and unit-normal priors."""
    size = len(task.names)
    theta = np.zeros(size) if start is None else start
    target = np.log(task.runs.measured_s)
    damping = 1e-2

    def cost(predicted: Array, at: Array) -> float:
        scaled = ((predicted - target) / NOISE) ** 2
        return float(np.sum(task.weights * 2 * (np.sqrt(1 + scaled) - 1)) + np.sum(at**2))

    predicted = predict(task, theta)
    best = cost(predicted, theta)
    for _ in range(rounds):
        residual = predicted - target
        weight = task.weights / np.sqrt(1 + (residual / NOISE) ** 2) / NOISE**2
        slopes = np.empty((len(residual), size))
        for column in range(size):
            moved = theta.copy()
            moved[column] += 0.05
            slopes[:, column] = (predict(task, moved) - predicted) / 0.05
        rows = np.flatnonzero(task.used)
        weighted = slopes[rows] * weight[rows, None]
        normal = weighted.T @ slopes[rows] + np.eye(size)
        gradient = weighted.T @ residual[rows] + theta
        for _ in range(6):
            moved = theta - np.linalg.solve(normal + damping * np.diag(np.diag(normal)), gradient)
            tried = predict(task, moved)
            if (value := cost(tried, moved)) < best:
                break
            damping *= 5
        else:
            break
        gain, theta, predicted, best = best - value, moved, tried, value
        damping = max(1e-4, damping / 5)
        if gain < 1e-3 * best:
            break
    return theta


def summary(errors: Array) -> tuple[float, float, float]:
    """(median, 90th percentile of absolute errors, bias)."""
    return float(np.median(np.abs(errors))), float(np.quantile(np.abs(errors), 0.9)), float(np.median(errors))


def leave_one_out(
    runs: published.Runs, nameless: published.Runs | None = None, rounds: int = 8
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Relative errors of each family's runs, predicted by constants fitted without it.

    Twice: by the name of its software, and as if that were unknown (`nameless`: the same runs read so).
    """
    usable = np.array([run.fitted for run in runs.runs])
    families = np.array([run.family for run in runs.runs])
    named: dict[str, Array] = {}
    unnamed: dict[str, Array] = {}
    everything = problem(runs, usable)
    start = dict(zip(everything.names, fit(everything, rounds), strict=True))
    for family in sorted(set(families)):
        task = problem(runs, usable & (families != family))
        theta = fit(task, rounds, np.array([start[name] for name in task.names]))
        named[family] = (np.exp(predict(task, theta)) / runs.measured_s - 1)[families == family]
        if nameless is not None:
            nowhere = np.full(len(nameless.of_run), -1)
            chips = places(task.accelerators, [nameless.runs[index].accelerator for index in nameless.of_run])
            other = replace(task, runs=nameless, kind_of=nowhere, stack_of=nowhere, accelerator_of=chips)
            unnamed[family] = (np.exp(predict(other, theta)) / runs.measured_s - 1)[families == family]
    return named, unnamed


def unseen_errors(runs: published.Runs, found: dict[str, Array]) -> Array:
    """Of `leave_one_out`, in the runs' order."""
    families = np.array([run.family for run in runs.runs])
    errors = np.empty(len(runs.runs))
    for family, own in found.items():
        errors[families == family] = own
    return errors


def quantiles(runs: published.Runs, ratios: Array, counted: np.ndarray, level: float) -> dict[str, tuple[float, float]]:
    """(low, high) of measured over predicted by kind of run, families weighed as in the fit."""
    kinds = np.array([kind_of(run) for run in runs.runs])
    families = np.array([run.family for run in runs.runs])
    found = {}
    for kind in KINDS:
        chosen = counted & (kinds == kind)
        if not chosen.any():
            chosen = counted & (kinds == "dense")
        own = families[chosen]
        weights = np.array([np.count_nonzero(own == family) ** -FAMILY_POWER for family in own])
        order = np.argsort(ratios[chosen])
        places = (np.cumsum(weights[order]) - weights[order] / 2) / weights.sum()
        ends = ((1 - level) / 2, (1 + level) / 2)
        low, high = np.interp(ends, places, ratios[chosen][order])
        found[kind] = (float(low), float(high))
    return found


KINDS = ("dense", "experts", "small")
KNOWN_LEVEL, UNKNOWN_LEVEL = 0.83, 0.86
"""Wider than 80 %: quantiles of few families are narrow on the next."""


def kind_of(run: published.Run) -> str:
    return "experts" if run.moe else "small" if run.small else "dense"


def write_intervals(runs: published.Runs, seen: Array, unseen: Array) -> None:
    """Into the package: `seen` and `unseen` are measured over predicted times."""
    everything = np.ones(len(runs.runs), dtype=bool)
    lines = ["# 80 % intervals of step time, as factors on the prediction. Written by benchmarks/planner_fit.py: known",
             "# software and accelerator from the runs of the fit, unknown from families left out of it."]  # fmt: skip
    for name, ratios, level in (("known", seen, KNOWN_LEVEL), ("unknown", unseen, UNKNOWN_LEVEL)):
        for kind, (low, high) in quantiles(runs, ratios, everything, level).items():
            lines.append(f"{kind}-{name}: [{low:.3f}, {high:.3f}]")
    (PLANNING / "intervals.yaml").write_text("\n".join(lines) + "\n")


def write(task: Problem, theta: Array) -> None:
    """The fitted values, into the package."""
    constants = constants_of(theta)
    lines = ["# Written by benchmarks/planner_fit.py from published runs; see docs/explanation/planner-accuracy.md."]
    for name, (prior, _, meaning) in PRIORS.items():
        lines.append(f"{name}: {getattr(constants, name):.5g}  # {meaning}; prior {prior:g}")
    (PLANNING / "constants.yaml").write_text("\n".join(lines) + "\n")
    lookup = dict(zip(task.names, theta, strict=True))
    path = PLANNING / "stacks.yaml"
    kept = path.read_text().partition("\nfitted:")[0]
    rows = ["fitted:"]
    for title, names, level, share in (
        ("kinds", task.kinds, "kind", KIND_SHARE), ("stacks", task.stacks, "stack", OWN_SHARE)
    ):  # fmt: skip
        rows.append(f"  {title}:")
        for name in names:
            factors = {key: float(np.exp(sd * share * lookup[f"{level}:{key}", name])) for key, sd in STACK_SD.items()}
            rows.append(f"    {name}: {{" + ", ".join(f"{key}: {value:.4f}" for key, value in factors.items()) + "}")
    path.write_text(kept + "\n" + "\n".join(rows) + "\n")
    rows = [
        f"{chip}: {{products: {np.exp(ACCELERATOR_SD * lookup['accelerator', chip]):.4f}, "
        f"host: {np.exp(HOST_SD * lookup['host', chip]):.4f}}}"
        for chip in task.accelerators
    ]
    (PLANNING.parent / "machines" / "training_factors.yaml").write_text(
        "# Published trainings over what is usual, by accelerator: rate of products, host time for launches in its\n"
        "# usual node. Written by benchmarks/planner_fit.py.\n" + "\n".join(rows) + "\n"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=HERE / "data" / "published_runs.csv")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--leave-one-out", action="store_true")
    chosen = parser.parse_args(arguments)
    runs = published.read(chosen.runs, fitted=False)
    usable = np.array([run.fitted for run in runs.runs])
    task = problem(runs, usable)
    began = time.perf_counter()
    theta = fit(task)
    predicted = np.exp(predict(task, theta)) / runs.measured_s - 1
    print(f"{len(runs.runs)} of {runs.rows} rows; fitted in {time.perf_counter() - began:.0f} s", runs.inexpressible)
    families = np.array([run.family for run in runs.runs])
    found, unnamed = ({}, {})
    if chosen.leave_one_out:
        found, unnamed = leave_one_out(runs, published.read(chosen.runs, fitted=False, nameless=True))
    seen, unseen, nobody = [], [], []
    for family in sorted(set(families)):
        own = summary(predicted[families == family])
        seen.append(own)
        line = f"{family:22} {np.count_nonzero(families == family):5}  seen {own[0]:6.1%} {own[1]:6.1%} {own[2]:+6.1%}"
        if found:
            other = summary(found[family])
            unseen.append(other)
            line += f"   unseen {other[0]:6.1%} {other[1]:6.1%} {other[2]:+6.1%}"
            nobody.append(summary(unnamed[family]))
            line += f"   software unknown too {nobody[-1][0]:6.1%} {nobody[-1][1]:6.1%} {nobody[-1][2]:+6.1%}"
        print(line)
    for title, own in (("seen", seen), ("unseen", unseen), ("software unknown too", nobody)):
        if own:
            print(f"medians {title}: {np.median([s[0] for s in own]):.1%} / {np.median([s[1] for s in own]):.1%}")
    if chosen.write:
        write(task, theta)
        if found:
            write_intervals(runs, 1 / (1 + predicted), 1 / (1 + unseen_errors(runs, unnamed)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
