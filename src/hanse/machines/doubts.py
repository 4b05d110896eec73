"""What is odd about a machine's description though it can be read: likely slips of unit, values nobody sourced.

`doubts(machine)` gives sentences, the gravest first; none of them refuses the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from typing import Final

from hanse.contracts.machine import Accelerator, Machine
from hanse.contracts.units import format_bytes, significant
from hanse.machines import accelerators, facts

_FAR: Final = 1.15
"""Published figures of one part differ by less (boost clocks, rounding)."""
_LEAST_PEAK: Final = 1e12
_FASTEST_CARD: Final = 2e11
"""Bytes a second and accelerator that no network between nodes reaches yet: 1.6 Tb/s."""


def doubts(machine: Machine) -> tuple[str, ...]:
    """Everything a careful reader would ask about."""
    found: list[str] = []
    rules: tuple[Callable[[Machine], Iterator[str]], ...] = (_peaks, _links, _sizes, _power, _sources, _gaps)
    for rule in rules:
        found.extend(rule(machine))
    return tuple(found)


def _peaks(machine: Machine) -> Iterator[str]:
    device = machine.accelerator
    if not device.peak_flops:
        yield "accelerator.peak_flops is empty: nothing can be planned without a peak."
    small = {name: peak for name, peak in device.peak_flops.items() if peak < _LEAST_PEAK and device.kind != "cpu"}
    for precision, peak in small.items():
        yield f"accelerator.peak_flops.{precision} is {peak:g} FLOP/s; was TFLOP/s meant ({peak:g}e12)?"
    if small:
        return
    if device.peak_flops.get("fp8", float("inf")) < device.peak_flops.get("bf16", 0):
        yield "accelerator.peak_flops: fp8 is slower than bf16."
    if accelerators.known(device.name):
        yield from _unlike(device, accelerators.load(device.name))
    elif not device.best_matmul and device.kind != "cpu" and machine.calibration is None:
        yield (
            f"{device.name} is not in the table of accelerators: which share of its peak it reaches will be an "
            "estimate; give accelerator.best_matmul, or calibrate."
        )


def _unlike(device: Accelerator, usual: Accelerator) -> Iterator[str]:
    for precision, peak in device.peak_flops.items():
        known = usual.peak_flops.get(precision)
        if known is None:
            yield f"accelerator.peak_flops.{precision}: the table knows no {precision} of {usual.name}."
        elif not _near(peak, known):
            hint = "; a peak with sparsity does not count" if _near(peak, 2 * known) else ""
            yield (
                f"accelerator.peak_flops.{precision} is {significant(peak / 1e12)} TFLOP/s; the table has "
                f"{significant(known / 1e12)} for {usual.name}{hint}."
            )
    for key in ("memory_bytes", "memory_bytes_per_s"):
        mine, known = getattr(device, key), getattr(usual, key)
        if not _near(mine, known):
            per = "/s" if key.endswith("_s") else ""
            yield (
                f"accelerator.{key} is {format_bytes(mine)}{per}; the table has {format_bytes(known)}{per} "
                f"for {usual.name}."
            )


def _near(one: float, other: float) -> bool:
    return max(one, other) <= _FAR * min(one, other)


def _links(machine: Machine) -> Iterator[str]:
    inner, outer = machine.in_node, machine.between_nodes
    if inner and outer and outer.bytes_per_s > inner.bytes_per_s and machine.accelerators_per_node > 1:
        yield "between_nodes is faster than in_node; both are per accelerator and direction."
    if outer and outer.bytes_per_s > _FASTEST_CARD:
        yield (
            f"between_nodes.bytes_per_s is {format_bytes(outer.bytes_per_s)}/s an accelerator; were bits meant, or all "
            "cards of a node?"
        )
    for name, link in (("in_node", inner), ("between_nodes", outer)):
        if link and link.latency_s > 1e-2:
            yield f"{name}.latency_s is {link.latency_s:g} s; microseconds are written 5e-6."
    if machine.island and machine.nodes and machine.island.nodes > machine.nodes:
        yield "island.nodes is more than the machine has."


def _sizes(machine: Machine) -> Iterator[str]:
    if machine.accelerator.memory_bytes < 2**30 and machine.accelerator.kind != "cpu":
        yield "accelerator.memory_bytes is less than 1 GiB; write 80 GiB."
    for partition in machine.partitions:
        for key in ("nodes", "max_nodes"):
            count = getattr(partition, key)
            if machine.nodes and count and count > machine.nodes:
                yield f"partition {partition.name}: {key} is {count:,}, the machine has {machine.nodes:,} nodes."


def _power(machine: Machine) -> Iterator[str]:
    one, node = machine.accelerator.watts, machine.node_watts
    if one and not 20 <= one <= 5000:
        yield f"accelerator.watts is {one:g}."
    if one and node and node < machine.accelerators_per_node * one / 2:
        yield f"node_watts is {node:g}, less than half of what its accelerators may draw."


def _sources(machine: Machine) -> Iterator[str]:
    missing = facts.unsourced(machine)
    if missing and machine.scheduler.kind != "local":
        yield f"no source names {', '.join(missing)}; a source's part names the keys it covers."
    for source in machine.sources:
        try:
            date.fromisoformat(source.read_on)
        except ValueError:
            yield f'source "{source.part}": read_on must be a date like 2026-11-22.'
        if not source.url and source.confidence in ("official", "mirror"):
            yield f'source "{source.part}": {source.confidence}, but without an address.'


def _gaps(machine: Machine) -> Iterator[str]:
    for key, why in (
        ("nodes", "how many nodes a job may take at most is not known"),
        ("in_node", "communication in a node cannot be told"),
        ("between_nodes", "communication between nodes cannot be told"),
        ("partitions", "limits of a job cannot be checked"),
        ("billing", "costs are told in GPU-hours only"),
    ):
        if getattr(machine, key) in (None, ()) and machine.status != "reference":
            yield f"{key} is missing: {why}."
