"""How far a predicted step time may be off: 80 % intervals, and where a plan leaves what the planner was validated on.

The intervals are quantiles of measured over predicted times of published runs (`intervals.yaml`, written by
`benchmarks/planner_fit.py`): of runs the constants were fitted to where software and accelerator are known, of families
left out of the fit where they are not. On a calibrated machine the repeats of its measurements decide.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import yaml

from hanse.contracts.layout import Layout
from hanse.contracts.machine import Machine
from hanse.contracts.workload import Workload
from hanse.machines import rates
from hanse.planning import stacks

_CALIBRATED_SPREAD: Final = 0.12
"""Of the formulas themselves, beside the spread of the measurements."""
_PROCESSORS: Final = (0.5, 2.0)
"""Without a calibration nobody knows what a processor's cores do."""
_GUESSED_CEILING: Final = 0.08
"""Log of how far off the best product of an accelerator may be that nobody measured."""
_MOST_RANKS: Final = 6144
_LONGEST_CONTEXT: Final = 262_144
SMALL_PARAMETERS: Final = 2e9


def group(*, experts: bool, known: bool, small: bool) -> str:
    """The name in `intervals.yaml`. `small`: a model below SMALL_PARAMETERS in one node, where overheads decide."""
    kind = "experts" if experts else "small" if small else "dense"
    return f"{kind}-{'known' if known else 'unknown'}"


@cache
def intervals() -> dict[str, tuple[float, float]]:
    """Low and high factors on a predicted time, by group."""
    given = yaml.safe_load(Path(__file__).with_name("intervals.yaml").read_text())
    return {name: (float(low), float(high)) for name, (low, high) in given.items()}


def interval(workload: Workload, machine: Machine, layout: Layout, *, stack: str | None = None) -> tuple[float, float]:
    """(low, high) factors on the predicted step time, 80 %."""
    calibration = machine.calibration
    if calibration is not None:
        half = min(0.6, float(np.hypot(calibration.spread, _CALIBRATED_SPREAD)))
        return 1 - half, 1 + half
    if machine.accelerator.kind == "cpu":
        return _PROCESSORS
    experts = workload.shape is not None and workload.shape.experts is not None
    small = workload.parameters < SMALL_PARAMETERS and layout.nodes == 1
    known = stacks.find(stack or workload.software).known and rates.validated(machine.accelerator)
    low, high = intervals()[group(experts=experts, known=known, small=small)]
    if not rates.ceiling(machine.accelerator)[1]:
        low, high = (float(np.exp(sign * np.hypot(np.log(each), _GUESSED_CEILING)))
                     for sign, each in ((-1, low), (1, high)))  # fmt: skip
    return low, high


@cache
def _memory_intervals() -> dict[str, tuple[float, float]]:
    given = yaml.safe_load(Path(__file__).with_name("memory_intervals.yaml").read_text())
    return {name: (float(low), float(high)) for name, (low, high) in given.items()}


def memory_interval(workload: Workload, machine: Machine) -> tuple[float, float]:
    """(low, high) factors on the predicted memory of the fullest rank, 80 %."""
    own = workload.software == "hanse" and machine.accelerator.kind == "cpu"
    return _memory_intervals()["counted" if own else "published"]


def outside(workload: Workload, machine: Machine, layout: Layout, *, stack: str | None = None) -> tuple[str, ...]:
    """Where this leaves the runs the planner was validated on, as sentences."""
    if machine.accelerator.kind == "cpu":
        return (
            () if machine.calibration else ("No published run was on processors, and this machine is not calibrated.",)
        )
    found = []
    if not rates.validated(machine.accelerator) and machine.calibration is None:
        found.append(f"None of the published runs the planner was validated on used {machine.accelerator.name}.")
    name = stack or workload.software
    if not stacks.find(name).known:
        found.append(f'None of them used the software "{name}"; it is taken for a usual one of its kind.')
    if layout.world_size > _MOST_RANKS:
        found.append(f"The largest of them had {_MOST_RANKS:,} accelerators; this plan has {layout.world_size:,}.")
    if workload.context > _LONGEST_CONTEXT:
        found.append(f"The longest sequence among them had {_LONGEST_CONTEXT:,} tokens.")
    if workload.training == "lora":
        found.append("Among them are four runs with frozen weights (LoRA), which were met within about a third.")
    shape = workload.shape
    if shape is None or workload.blocks:
        found.append("A module of your own is planned from counts of what it computes; none of the runs was such.")
    elif not shape.causal:
        found.append("All of them were decoders; encoders follow the same formulas with nothing masked.")
    elif shape.window is not None:
        found.append("Sliding windows are counted by their FLOPs; none of the runs shows their kernels' efficiency.")
    if layout.offload:
        found.append("None of them kept the optimiser's state in main memory.")
    if layout.pipeline == "zero-bubble":
        found.append("Zero-bubble schedules follow their paper's bubble; no run with a known batch used one.")
    if layout.cp > 1 and layout.cp * layout.tp > machine.accelerators_per_node * machine.domain_nodes:
        found.append("Few of them spread a sequence over nodes, and those took longer than predicted.")
    return tuple(found)
