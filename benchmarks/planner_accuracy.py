"""The planner's step time against published training runs: errors, ordering of layouts, what its pick costs.

`--runs FILE.csv` takes any file with the columns of `data/published_runs.csv`; `--json` prints one object. Families of
few runs count as much as large ones in the headline: medians over families of the families' figures.
`--leave-one-out` adds the same figures with each family predicted by constants that were fitted without it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import planner_fit, published
from benchmarks.figures import Table
from hanse.machines import accelerators, rates
from hanse.planning import constants, error, kernel, stacks
from hanse.planning.inputs import Array

HERE = Path(__file__).parent
APART = 0.02
"""Measured times nearer than this are not ordered."""
MANY = 64


def figures(runs: published.Runs, predicted_s: Array, low: Array, high: Array) -> dict[str, Any]:
    """All that is printed; `low` and `high` are the interval's factors on the predicted time."""
    errors = predicted_s / runs.measured_s - 1
    within = (runs.measured_s >= low * predicted_s) & (runs.measured_s <= high * predicted_s)
    families = np.array([run.family for run in runs.runs])
    chips = np.array([run.row.get("accelerator", "") for run in runs.runs])
    ranks = np.array([run.ranks for run in runs.runs])
    by_family = _by(families, errors, within)
    own = [each for each in by_family.values() if each["n"]]
    return {
        "rows": runs.rows,
        "expressible": len(runs.runs),
        "inexpressible": dict(sorted(runs.inexpressible.items())),
        "all": _errors(errors, within),
        "at_least_64": _errors(errors[ranks >= MANY], within[ranks >= MANY]),
        "by_source_family": by_family,
        "by_accelerator": _by(chips, errors, within),
        "by_kind": _by(np.array([planner_fit.kind_of(run) for run in runs.runs]), errors, within),
        "headline_median": float(np.median([each["median_abs_error"] for each in own])),
        "headline_p90": float(np.median([each["p90_abs_error"] for each in own])),
        "interval80_coverage": float(np.mean(within)),
        **_ordering(runs, predicted_s),
        **_regret(runs, predicted_s),
    }


def _errors(errors: Array, within: np.ndarray) -> dict[str, float | int | None]:
    if not len(errors):
        return {"n": 0, "median_abs_error": None, "p90_abs_error": None, "bias": None, "interval80_coverage": None}
    return {
        "n": len(errors),
        "median_abs_error": float(np.median(np.abs(errors))),
        "p90_abs_error": float(np.quantile(np.abs(errors), 0.9)),
        "bias": float(np.median(errors)),
        "interval80_coverage": float(np.mean(within)),
    }


def _by(groups: np.ndarray, errors: Array, within: np.ndarray) -> dict[str, Any]:
    return {str(each): _errors(errors[groups == each], within[groups == each]) for each in sorted(set(groups))}


def _grouped(runs: published.Runs, key: Callable[[published.Run], tuple[Any, ...]]) -> list[np.ndarray]:
    groups: dict[tuple[Any, ...], list[int]] = {}
    for position, run in enumerate(runs.runs):
        groups.setdefault(key(run), []).append(position)
    return [np.array(each) for each in groups.values() if len(each) > 1]


def _model(run: published.Run) -> tuple[Any, ...]:
    return run.family, run.row.get("model_name", "")


def _workload(run: published.Run) -> tuple[Any, ...]:
    names = ("accelerator", "n_accelerators", "global_batch_sequences", "seq_len")
    return (*_model(run), *(run.row.get(name, "") for name in names))


def _ordering(runs: published.Runs, predicted_s: Array) -> dict[str, Any]:
    """Shares of pairs of runs whose order is predicted right; ties count half."""
    found: dict[str, Any] = {}
    for name, key in (("pairwise_ordering", _model), ("ordering_same_workload", _workload)):
        right: dict[str, float] = {}
        pairs: dict[str, int] = {}
        for group in _grouped(runs, key):
            family = runs.runs[group[0]].family
            inputs = np.array([hash(runs.runs[position].stated) for position in group])
            measured, said = np.log(runs.measured_s[group]), np.log(predicted_s[group])
            first, second = np.triu_indices(len(group), 1)
            apart = np.abs(measured[first] - measured[second]) > np.log1p(APART)
            counted = apart & (inputs[first] != inputs[second])
            first, second = first[counted], second[counted]
            agree = np.sign(measured[first] - measured[second]) * (said[first] - said[second])
            score = np.where(np.abs(agree) < 1e-12, 0.5, (agree > 0) * 1.0)
            right[family] = right.get(family, 0.0) + float(score.sum())
            pairs[family] = pairs.get(family, 0) + len(score)
        total = sum(pairs.values())
        found[name] = sum(right.values()) / total if total else None
        found[f"{name}_pairs"] = total
        found[f"{name}_by_family"] = {family: right[family] / pairs[family] for family in right if pairs[family]}
        shares = list(found[f"{name}_by_family"].values())
        found[f"{name}_mean_of_families"] = float(np.mean(shares)) if shares else None
    return found


def _regret(runs: published.Runs, predicted_s: Array) -> dict[str, Any]:
    """How much longer the layout predicted fastest took than the fastest measured one, of each workload."""
    costs: list[float] = []
    worst = ""
    for group in _grouped(runs, _workload):
        # Repeats of one configuration are one layout, with the median of its times.
        same: dict[tuple[Any, ...], list[int]] = {}
        for position in group:
            same.setdefault(runs.runs[position].stated, []).append(position)
        if len(same) < 2:
            continue
        measured = np.array([np.median(runs.measured_s[each]) for each in same.values()])
        said = np.array([predicted_s[each[0]] for each in same.values()])
        costs.append(float(measured[np.argmin(said)] / measured.min() - 1))
        if costs[-1] == max(costs):
            worst = " ".join(str(each) for each in _workload(runs.runs[group[0]]))
    return {
        "regret_median": float(np.median(costs)) if costs else None,
        "regret_worst": max(costs) if costs else None,
        "regret_worst_workload": worst,
        "regret_workloads": len(costs),
    }


def predict(runs: published.Runs) -> Array:
    """Seconds of each run, by the shipped constants."""
    total = kernel.step(runs.model, runs.hardware, runs.stack, runs.degrees, constants.load()).total
    return runs.fastest(np.asarray(total))


def stated(runs: published.Runs) -> tuple[Array, Array]:
    """(low, high) of the shipped 80 % interval for each run."""
    known = [stacks.find(run.row.get("stack", "")).known and rates.validated(accelerators.load(run.accelerator))
             for run in runs.runs]  # fmt: skip
    found = [
        error.intervals()[error.group(experts=run.moe, known=sure, small=run.small)]
        for run, sure in zip(runs.runs, known, strict=True)
    ]
    low, high = np.array(found).T
    return low, high


def unseen(path: Path) -> dict[str, dict[str, Any]]:
    """The figures with each family's runs predicted, and their intervals learnt, without that family.

    Once by the name of their software, and once as if nobody had heard of it.
    """
    runs, nameless = published.read(path, fitted=False), published.read(path, fitted=False, nameless=True)
    families = np.array([run.family for run in runs.runs])
    named, unnamed = planner_fit.leave_one_out(runs, nameless)
    found = {}
    for title, each in (("leave_one_family_out", named), ("software_unknown_too", unnamed)):
        errors = planner_fit.unseen_errors(runs, each)
        low, high = np.empty(len(errors)), np.empty(len(errors))
        for family in set(families):
            learnt = planner_fit.quantiles(runs, 1 / (1 + errors), families != family, planner_fit.UNKNOWN_LEVEL)
            for position in np.flatnonzero(families == family):
                low[position], high[position] = learnt[planner_fit.kind_of(runs.runs[position])]
        found[title] = figures(runs, (1 + errors) * runs.measured_s, low, high)
    return found


def measure(_scratch: Path) -> Table:
    """For `benchmarks.run`: each family seen by the fit and not."""
    path = HERE / "data" / "published_runs.csv"
    runs = published.read(path)
    seen, others = figures(runs, predict(runs), *stated(runs)), unseen(path)
    other, nobody = others["leave_one_family_out"], others["software_unknown_too"]

    def pair(each: dict[str, Any]) -> str:
        return f"{percent(each['median_abs_error'])} / {percent(each['p90_abs_error'])}"

    rows = []
    for group in ("by_source_family", "by_kind"):
        for name, each in seen[group].items():
            away = other[group][name]
            rows.append((name, str(each["n"]), pair(each), f"**{pair(away)}**", f"{away['bias']:+.1%}",
                         pair(nobody[group][name]),
                         f"{each['interval80_coverage']:.0%} / {away['interval80_coverage']:.0%}"))  # fmt: skip
    medians = [
        f"{percent(each['headline_median'])} / {percent(each['headline_p90'])}" for each in (seen, other, nobody)
    ]
    rows.append(("medians of the families", f"{seen['expressible']}", medians[0], f"**{medians[1]}**", "", medians[2],
                 f"{seen['interval80_coverage']:.0%} / {other['interval80_coverage']:.0%}"))  # fmt: skip
    said = [
        f"{title}: of {part['pairwise_ordering_pairs']:,} pairs of runs of one family and model "
        f"{percent(part['pairwise_ordering'])} are put in the right order, of pairs on the same workload "
        f"{percent(part['ordering_same_workload'])}; the layout picked costs {percent(part['regret_median'])} (median "
        f"of {part['regret_workloads']} workloads), at worst {percent(part['regret_worst'])} "
        f"({part['regret_worst_workload']})."
        for title, part in (("Seen", seen), ("Unseen", other), ("Its software unknown too", nobody))
    ]
    reasons = ", ".join(f"{count} {reason}" for reason, count in seen["inexpressible"].items())
    said.append(f"{seen['expressible']} of {seen['rows']} rows are expressible; not: {reasons}.")
    header = (
        "family",
        "runs",
        "seen: median / p90 error",
        "unseen: median / p90",
        "bias",
        "software unknown too",
        "80 % interval holds",
    )
    return Table(header, rows, "\n\n".join(said))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=HERE / "data" / "published_runs.csv")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--leave-one-out", action="store_true")
    chosen = parser.parse_args(arguments)
    runs = published.read(chosen.runs)
    predicted = predict(runs)
    low, high = stated(runs)
    found = figures(runs, predicted, low, high)
    if chosen.leave_one_out:
        found |= unseen(chosen.runs)
    print(json.dumps(found, indent=1) if chosen.json else table(found))
    return 0


HEADLINES = (
    ("median", "headline_median"), ("p90", "headline_p90"), ("ordering", "pairwise_ordering"),
    ("its mean over families", "pairwise_ordering_mean_of_families"), ("same workload", "ordering_same_workload"),
    ("its mean over families", "ordering_same_workload_mean_of_families"), ("pick costs", "regret_median"),
    ("at worst", "regret_worst"), ("80 % interval holds for", "interval80_coverage"),
)  # fmt: skip


def percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def table(found: dict[str, Any]) -> str:
    """The same for readers."""
    lines = [f"{found['expressible']} of {found['rows']} rows expressible; not: {found['inexpressible']}"]
    for title, part in (
        ("seen", found), ("unseen (leave one family out)", found.get("leave_one_family_out")),
        ("unseen, its software unknown too", found.get("software_unknown_too")),
    ):  # fmt: skip
        if part is None:
            continue
        lines += ["", f"{title}: " + ", ".join(f"{name} {percent(part[key])}" for name, key in HEADLINES)]
        lines.append(f"  the costliest pick: {part['regret_worst_workload']}")
        for name in ("by_source_family", "by_accelerator", "by_kind"):
            for group, each in part[name].items():
                order = part["ordering_same_workload_by_family"].get(group)
                lines.append(
                    f"  {group:24}{each['n']:6}{each['median_abs_error']:8.1%}{each['p90_abs_error']:8.1%}"
                    f"{each['bias']:+8.1%}{each['interval80_coverage']:8.0%}"
                    + (f"{order:8.1%}" if order is not None else "")
                )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
