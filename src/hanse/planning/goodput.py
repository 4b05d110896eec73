"""The share of the time a job holds its nodes that is useful: failures, checkpoints, restarts, stragglers.

Failures come at a constant rate a node (Poisson). Daly 2006, "A higher order estimate of the optimum checkpoint
interval for restart dumps": T = M·e^(R/M)·(e^((τ+δ)/M) − 1)·Ts/τ, valid too where a checkpoint takes as long as the
machine runs between failures; its optimum is found exactly. Waiting for the slowest of n nodes: Cramér 1946.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.contracts.machine import Machine
from hanse.contracts.plan import Goodput, Interval
from hanse.contracts.workload import Workload
from hanse.planning.accounting import accounting

Array = NDArray[np.float64]

FAILURES_PER_NODE_DAY: Final = (2.34e-3, 24 / (128 * 7.9))
"""Of nodes of eight accelerators, lowest and highest published: Meta's RSC-2, and the MTTF of 7.9 h that jobs on 1024
accelerators of RSC-1 saw (Kokolis et al. 2024, arXiv:2410.21680). Llama 3's 419 in 54 days lie between (3.8e-3)."""
_ACCELERATORS_OF_THAT_NODE: Final = 8
_RESTART_S: Final = 600.0
"""To notice, to start processes and the rendezvous again, to the first step; an estimate."""
_WRITE_BYTES_PER_S_NODE: Final = 2e9
_WRITE_BYTES_PER_S: Final = 100e9
"""Of one node and of a whole job into a parallel file system of unknown speed; estimates."""
_SPREAD: Final = 0.005
"""Relative standard deviation of nodes' step times; an estimate."""
_DAY: Final = 86400.0
_LEAST_CHECKPOINT_S: Final = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Goodputs:
    """Every array has shape (node counts,). `low` and `high` bound what 80 % of runs are expected to see."""

    failures_per_day: Array
    failures_per_day_low: Array
    failures_per_day_high: Array
    checkpoint_every_s: Array
    checkpoint_s: Array
    restart_s: Array
    stragglers: Array
    share: Array
    share_low: Array
    share_high: Array

    def at(self, position: int) -> Goodput:
        def value(array: Array) -> float:
            return float(array[position])

        return Goodput(
            failures_per_day=Interval(
                low=value(self.failures_per_day_low), expected=value(self.failures_per_day),
                high=value(self.failures_per_day_high),
            ),
            checkpoint_every_s=value(self.checkpoint_every_s), checkpoint_s=value(self.checkpoint_s),
            restart_s=value(self.restart_s), stragglers=value(self.stragglers),
            share=Interval(low=value(self.share_low), expected=value(self.share), high=value(self.share_high)),
        )  # fmt: skip


def goodput(
    machine: Machine,
    nodes: NDArray[np.int64] | Array | int,
    checkpoint_bytes: Array | float,
    *,
    failures_per_node_day: tuple[float, float] | None = None,
    storage_bytes_per_s: float | None = None,
    restart_s: float | None = None,
    stall: float = 1.0,
    spread: float = _SPREAD,
    step_time_s: Array | float = 0.0,
) -> Goodputs:
    """For each number of nodes; what is not given is the machine's, or an estimate (`estimates` names those).

    `stall` is the share of a checkpoint's writing for which training stands still (near 0 if written meanwhile).
    Checkpoints come after whole steps: never more often than once in `step_time_s`.
    """
    count = np.atleast_1d(np.asarray(nodes, dtype=np.float64))
    low, high = failures_per_node_day or failure_rates(machine)
    per_day = [count * rate for rate in (low, np.sqrt(low * high), high)]
    write_s = checkpoint_bytes / _written_per_s(machine, count, storage_bytes_per_s)
    checkpoint_s = np.maximum(stall * write_s, _LEAST_CHECKPOINT_S)
    if restart_s is not None:
        restart = np.full_like(count, restart_s)
    elif machine.reliability is not None:
        restart = np.full_like(count, machine.reliability.restart_s)
    else:
        restart = _RESTART_S + write_s  # reading takes about as long as writing
    mttf_s = [_DAY / np.maximum(each, 1e-12) for each in per_day]
    every_s = np.maximum(best_interval_s(mttf_s[1], checkpoint_s), step_time_s)
    lost = stragglers(count, spread)
    shares = [(1 - lost) * useful_share(each, checkpoint_s, restart, every_s) for each in mttf_s]
    return Goodputs(
        failures_per_day=per_day[1], failures_per_day_low=per_day[0], failures_per_day_high=per_day[2],
        checkpoint_every_s=every_s, checkpoint_s=checkpoint_s, restart_s=restart, stragglers=lost,
        share=shares[1], share_low=shares[2], share_high=shares[0],
    )  # fmt: skip


def failure_rates(machine: Machine) -> tuple[float, float]:
    """Lowest and highest failures a node and day: the machine's, or by its accelerators what others published."""
    if machine.reliability is not None:
        return machine.reliability.failures_per_node_day
    share = machine.accelerators_per_node / _ACCELERATORS_OF_THAT_NODE
    low, high = FAILURES_PER_NODE_DAY
    return low * share, high * share


def checkpoint_bytes(workload: Workload, *, stack: str | None = None) -> float:
    """What a checkpoint holds: parameters and the optimiser's state; of LoRA what is trained."""
    books = accounting(stack or workload.software, workload.precision, "cuda")
    # A master copy beside 16-bit parameters makes those superfluous in a checkpoint; frameworks write both.
    return workload.trainable * (books.parameter + books.optimiser)


def useful_share(mttf_s: Array, checkpoint_s: Array | float, restart_s: Array | float, every_s: Array) -> Array:
    """Useful over held time with a checkpoint after every `every_s` of training (Daly's complete model)."""
    with np.errstate(over="ignore"):
        return np.asarray(
            every_s / mttf_s * np.exp(-np.asarray(restart_s) / mttf_s) / np.expm1((every_s + checkpoint_s) / mttf_s)
        )


def best_interval_s(mttf_s: Array, checkpoint_s: Array) -> Array:
    """The training time between checkpoints that loses least.

    With u = τ/M and d = δ/M the optimum solves e^(u+d)·(1−u) = 1. In v = −ln(1−u): v + e^(−v) − 1 = d, which is convex,
    so that Newton's steps from above come down to it. For d ≪ 1 it is Young's √(2·δ·M).
    """
    d = checkpoint_s / mttf_s
    v = d + np.sqrt(2 * d)
    for _ in range(60):
        down = (v + np.expm1(-v) - d) / -np.expm1(-v)
        v = v - down
        if np.all(np.abs(down) <= 1e-14 * v):
            break
    return np.asarray(mttf_s * -np.expm1(-v))


def stragglers(nodes: Array, spread: float = _SPREAD) -> Array:
    """Share of a step lost to waiting for the slowest of so many nodes, whose times are normal with that deviation."""
    root = np.sqrt(2 * np.log(np.maximum(nodes, 2.0)))
    slowest = root - (np.log(np.log(np.maximum(nodes, 2.0))) + np.log(4 * np.pi)) / (2 * root)
    behind = np.where(nodes > 1, np.maximum(slowest, 0.0) * spread, 0.0)
    return np.asarray(behind / (1 + behind))


def estimates(machine: Machine, *, spread: bool = True) -> tuple[str, ...]:
    """Sentences on what the goodput of this machine rests on that nobody measured or published for it.

    Without `spread`, nodes' step times differ as much as the time of a step says already.
    """
    found = []
    if machine.reliability is None:
        low, high = (each * 1000 for each in failure_rates(machine))
        found.append(
            f"Failures: {low:.1f} to {high:.1f} in 1000 node-days, as others published for theirs; "
            "time to restart: 10 minutes and reading the checkpoint: estimates."
        )
    if machine.storage_bytes_per_s is None:
        found.append("Checkpoints are written at 2 GB/s a node and at most 100 GB/s: an estimate.")
    if spread:
        found.append("Nodes' step times differ by 0.5 % (standard deviation): an estimate.")
    return tuple(found)


def _written_per_s(machine: Machine, nodes: Array, given: float | None) -> Array:
    known = given or machine.storage_bytes_per_s
    if known is None:
        return np.asarray(np.minimum(nodes * _WRITE_BYTES_PER_S_NODE, _WRITE_BYTES_PER_S))
    link = machine.between_nodes
    out = nodes * (link.bytes_per_s * machine.accelerators_per_node if link else np.inf)
    return np.asarray(np.minimum(out, known))
