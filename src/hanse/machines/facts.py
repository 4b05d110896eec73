"""Which facts of a machine have a source, and in which words a person reads them.

A source's `part` names keys of the machine file, commas between them, and may end in a remark in brackets:
'in_node.latency_s, between_nodes.latency_s (typical)'. A dotted key is more particular and goes before its parent.
"""

from __future__ import annotations

import re
from typing import Final

from hanse.contracts.machine import Machine, SchedulerFacts, Source

WORDS: Final = {
    "nodes": "number of nodes",
    "accelerators_per_node": "accelerators in a node",
    "accelerator": "accelerator",
    "in_node": "links in the node",
    "domain_nodes": "nodes on one in-node network",
    "between_nodes": "links between nodes",
    "island": "islands of the network",
    "host_memory_bytes": "main memory of a node",
    "host_bytes_per_s": "link to main memory",
    "storage_bytes_per_s": "file system",
    "node_watts": "power of a node",
    "pue": "PUE",
    "grid_gco2_per_kwh": "CO2 of the country's electricity",
    "reliability": "failures",
    "partitions": "partitions and their limits",
    "scheduler": "how jobs are started",
    "billing": "billing",
    "internet_on_compute": "internet on compute nodes",
}
"""Groups of values that need a source, as a person calls them."""

SCHEDULER_WORDS: Final = {
    "gpu_request": "request for GPUs",
    "exclusive": "whole nodes on request",
    "cpus_per_node": "cores of a node",
    "cpus_per_gpu": "cores with each GPU",
    "memory_per_node": "memory of a node",
    "account_required": "account required",
    "qos_required": "QoS required",
    "required_flags": "further required options",
    "constraint": "constraint",
    "nodes_per_switch": "nodes on a leaf switch",
    "wait_all_nodes": "waiting for all nodes",
    "srun_flags": "options of every step",
    "rendezvous_host_rule": "rule for the rendezvous",
    "interconnect_name": "a node's name on the fast network",
    "socket_interface": "socket interfaces",
    "gloo_interface": "Gloo's interface",
    "ib_hcas": "InfiniBand adapters",
    "address_family": "address family",
    "cpu_bind": "CPU binding of a launcher",
    "rank_cpu_masks": "CPU masks of ranks",
    "environment": "further variables",
    "cache_dir": "caches on the node",
    "setup": "preparation",
    "python": "Python",
    "container_runtime": "runtime of images",
    "container_gpu_flag": "GPU option for images",
    "container_binds": "folders seen by images",
    "container_setup": "preparation for images",
    "container_setup_in_step": "preparation inside the step",
}
"""Facts of `SchedulerFacts` that have a source of their own ('scheduler.cpu_bind'), as a person calls them."""

_LEAVES: Final = {
    **{f"scheduler.{field}": words for field, words in SCHEDULER_WORDS.items()},
    "accelerator.peak_flops": "peak FLOP/s",
    "accelerator.memory_bytes_per_s": "memory bandwidth of an accelerator",
    "accelerator.memory_bytes": "memory of an accelerator",
    "accelerator.best_matmul": "best measured products",
    "accelerator.watts": "power of an accelerator",
    "in_node.bytes_per_s": "bandwidth in the node",
    "in_node.latency_s": "latency in the node",
    "between_nodes.bytes_per_s": "bandwidth between nodes",
    "between_nodes.latency_s": "latency between nodes",
    "island.nodes": "nodes of an island",
    "island.taper": "bandwidth between islands",
}


def keys(part: str) -> tuple[str, ...]:
    """The keys a source's `part` names; words that are no key name nothing."""
    said = part.partition("(")[0].split(",")
    return tuple(key for key in map(str.strip, said) if key.partition(".")[0] in WORDS)


def in_words(part: str) -> str:
    """'in_node.latency_s (typical)' → 'latency in the node (typical)'; parts in words of their own stay."""
    named = keys(part)
    if not named:
        return part
    remark = re.search(r"\(.*\)\s*$", part)
    words = [_LEAVES.get(key, WORDS[key.partition(".")[0]]) for key in named]
    return ", ".join(dict.fromkeys(words)) + (f" {remark[0].strip()}" if remark else "")


def source_of(machine: Machine, key: str) -> Source | None:
    """The source of one value: the first that names it, else the first that names its group."""
    group = key.partition(".")[0]
    found = [source for source in machine.sources if key in keys(source.part)]
    found += [source for source in machine.sources if any(one.partition(".")[0] == group for one in keys(source.part))]
    return found[0] if found else None


def present(machine: Machine) -> tuple[str, ...]:
    """The groups this machine says something about."""
    said = [key for key in WORDS if key != "scheduler" and getattr(machine, key) not in (None, ())]
    if machine.domain_nodes == 1:
        said.remove("domain_nodes")
    unsurprising = {"gpu_request", "cpus_per_node", "memory_per_node", "account_required", "qos_required", "python"}
    defaults = SchedulerFacts(kind=machine.scheduler.kind)
    if any(getattr(machine.scheduler, one) != getattr(defaults, one) for one in set(SCHEDULER_WORDS) - unsurprising):
        said.append("scheduler")
    return tuple(said)


def unsourced(machine: Machine) -> tuple[str, ...]:
    """Groups of values that no source names."""
    named = {key.partition(".")[0] for source in machine.sources for key in keys(source.part)}
    return tuple(key for key in present(machine) if key not in named)
