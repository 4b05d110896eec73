"""AI factories of any size, from a count and an accelerator: `factory-25000-gb200`, `factory-100000-b200`.

Nobody has published such machines in full, so everything but the accelerator is an assumption, and its sources say so:
the accelerator's usual node, islands of four thousand accelerators at full bandwidth and half of it between them,
storage of 0.1 GB/s an accelerator, a PUE of 1.2. Failures as Meta counted them on nodes of eight (arXiv:2410.21680:
2.34 and 6.5 a thousand node-days), in proportion to a node's accelerators.
"""

from __future__ import annotations

import math
import re
from typing import Final

from hanse.contracts.errors import UsageError
from hanse.contracts.machine import (
    Billing,
    Island,
    Link,
    Machine,
    Partition,
    Reliability,
    SchedulerFacts,
    Source,
)
from hanse.machines import accelerators

READY_MADE: Final = {"ai-factory-25k": "factory-25000-gb200", "gigafactory-100k": "factory-100000-gb300"}
"""Sizes that public plans for Europe name, with an accelerator that could stand there."""

MOST: Final = 1_000_000
_ISLAND_ACCELERATORS: Final = 4096
_TAPER: Final = 0.5
_PUE: Final = 1.2
_STORAGE_BYTES_PER_S: Final = 1e8
"""An accelerator's share of what the file system takes."""
_FAILURES: Final = (2.34e-3, 6.50e-3)
_FAILURES_OF: Final = 8
"""Accelerators of the nodes those were counted on."""
_READ_ON: Final = "2026-11-22"
_LIKE: Final = "Write factory-COUNT-ACCELERATOR, say factory-25000-gb200."


def is_one(machine_id: str) -> bool:
    """Whether an id means a factory, right or wrong."""
    return machine_id.startswith("factory-") or machine_id in READY_MADE


def machine(machine_id: str) -> Machine:
    """The factory of that id. Raises UsageError for a count or an accelerator that cannot be."""
    count, name = _meant(READY_MADE.get(machine_id, machine_id))
    device, node = accelerators.load(name), accelerators.usual_node(name)
    per_node = node.accelerators_per_node
    nodes = math.ceil(count / per_node)
    island = _island(nodes, per_node, node.domain_nodes)
    return Machine(
        id=machine_id,
        name=f"AI factory of {count:,} {device.name}",
        site="reference",
        status="reference",
        nodes=nodes,
        accelerators_per_node=per_node,
        accelerator=device,
        in_node=node.in_node,
        domain_nodes=node.domain_nodes,
        between_nodes=Link(**{**node.between_nodes.model_dump(), "name": f"{node.between_nodes.name}, fat tree"}),
        island=island,
        host_memory_bytes=node.host_memory_bytes,
        host_bytes_per_s=node.host_bytes_per_s,
        storage_bytes_per_s=count * _STORAGE_BYTES_PER_S,
        node_watts=node.node_watts,
        pue=_PUE,
        reliability=Reliability(failures_per_node_day=_failures(per_node)),
        partitions=(Partition(name="all", nodes=nodes, max_nodes=nodes),),
        scheduler=SchedulerFacts(kind="slurm", gpu_request=f"--gres=gpu:{per_node}"),
        billing=Billing(units_per_node_hour=per_node, rule="An accelerator for an hour counts as a GPU-hour."),
        sources=(*_assumptions(), *accelerators.sources(name), *accelerators.node_sources(name)),
        unknown=("Where it stands, so the CO2 of its electricity.",),
        notes=_notes(count, nodes, per_node, island),
    )


def _meant(machine_id: str) -> tuple[int, str]:
    match = re.fullmatch(r"factory-(\d+)-(.+)", machine_id)
    if match is None:
        raise UsageError(f'"{machine_id}" is no factory: it needs a count and an accelerator', fix=_LIKE)
    count, name = int(match[1]), match[2]
    if not 1 <= count <= MOST:
        raise UsageError(f"a factory has 1 to {MOST:,} accelerators, not {count:,}", fix=_LIKE)
    if not accelerators.known(name):
        error = accelerators.unknown(name)
        raise UsageError(f'"{machine_id}": {error.what}', fix=error.fix or _LIKE)
    return count, name


def _island(nodes: int, per_node: int, domain_nodes: int) -> Island | None:
    """Whole in-node domains, as many as make some four thousand accelerators; None if one island holds all."""
    domains = max(1, _ISLAND_ACCELERATORS // (per_node * domain_nodes))
    size = domains * domain_nodes
    return Island(nodes=size, taper=_TAPER) if nodes > size else None


def _failures(per_node: int) -> tuple[float, float]:
    low, high = (rate * per_node / _FAILURES_OF for rate in _FAILURES)
    return low, high


def _assumptions() -> tuple[Source, ...]:
    counted = "https://arxiv.org/abs/2410.21680"
    return (
        Source(part="nodes, accelerators_per_node (as asked for)", url="", confidence="derived", read_on=_READ_ON),
        Source(part="island, storage_bytes_per_s, pue", url="", confidence="estimate", read_on=_READ_ON),
        Source(part="reliability (by accelerators of a node)", url=counted, confidence="derived", read_on=_READ_ON),
        Source(part="partitions, billing", url="", confidence="estimate", read_on=_READ_ON),
    )


def _notes(count: int, nodes: int, per_node: int, island: Island | None) -> tuple[str, ...]:
    notes = ["No particular machine: its node, network, storage and power are assumptions, each marked as an estimate."]
    if nodes * per_node > count:
        notes.append(f"Whole nodes of {per_node}: {nodes * per_node:,} accelerators.")
    if island is not None:
        notes.append(f"Islands of {island.nodes:,} nodes at full bandwidth, {island.taper:.0%} of it between them.")
    return tuple(notes)
