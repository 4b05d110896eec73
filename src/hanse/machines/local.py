"""The machine this process runs on, as a supercomputer of a few one-rank nodes.

Each "node" is a node launcher with its share of the cores and of the memory. Rates come from a calibration; without one
they are cautious estimates, and the machine's sources say so.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Final

from hanse.contracts.base import now
from hanse.contracts.machine import Accelerator, Billing, Calibration, Link, Machine, Partition, SchedulerFacts, Source

LOCAL_ID: Final = "local"

_FLOPS_PER_CYCLE: Final = 16.0
"""fp32 per core: a fused multiply-add on eight lanes. Newer cores do twice or four times that."""
_CYCLES_PER_S: Final = 2.5e9
_MEMORY_BYTES_PER_S: Final = 8e9
"""Per rank: what one core draws from memory."""
_LOOPBACK: Final = Link(name="loopback", bytes_per_s=1e9, latency_s=1e-4)


def cores() -> int:
    """Cores this process may use (a container or a job may hold fewer than the host has)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def local_machine(calibration: Calibration | None = None, nodes: int = 2) -> Machine:
    """This host as `nodes` nodes of one rank each. A calibration counts only if it was made with as many ranks."""
    import psutil  # only this room needs it, and only here

    if calibration is not None and calibration.ranks != nodes:
        calibration = None
    threads = max(1, cores() // nodes)
    today = (calibration.measured_at if calibration else now()).date().isoformat()
    link = _link(calibration)
    sources = [Source(part="cores and memory", url="", confidence="observed", read_on=today)]
    if calibration is None:
        parts = ["peak FLOP/s and memory bandwidth of a rank", "bandwidth between ranks"]
    else:
        sources.append(Source(part="rates", url="", confidence="measured", read_on=today))
        parts = [] if calibration.all_reduce or nodes == 1 else ["bandwidth between ranks"]
    sources += [Source(part=part, url="", confidence="estimate", read_on=today) for part in parts]
    return Machine(
        id=LOCAL_ID,
        name=f"this machine ({platform.node() or 'local'})",
        site="local",
        nodes=nodes,
        accelerators_per_node=1,
        accelerator=Accelerator(
            name=f"{threads} core{'s' if threads > 1 else ''} of {_processor()}",
            kind="cpu",
            memory_bytes=psutil.virtual_memory().total // nodes,
            memory_bytes_per_s=calibration.memory_bytes_per_s if calibration else _MEMORY_BYTES_PER_S,
            peak_flops={"fp32": max(calibration.matmul.y) if calibration else _estimated_flops(threads)},
        ),
        in_node=link,
        between_nodes=link,
        partitions=(Partition(name="local", nodes=nodes, max_nodes=nodes, exclusive=False),),
        scheduler=SchedulerFacts(
            kind="local", cpus_per_node=threads, rendezvous_host_rule="loopback",
            environment={"OMP_NUM_THREADS": str(threads)},
        ),
        billing=Billing(units_per_node_hour=1, rule="One rank of this machine for an hour counts as a GPU-hour."),
        calibration=calibration,
        sources=tuple(sources),
        notes=("Its nodes are processes that share this host's cores, memory and loopback network.",),
    )  # fmt: skip


def _link(calibration: Calibration | None) -> Link:
    """Loopback as the all-reduce measured it: a ring over n ranks moves 2(n-1)/n of the message over each link."""
    if calibration is None or calibration.all_reduce is None or calibration.ranks < 2:
        return _LOOPBACK
    curve, ranks = calibration.all_reduce, calibration.ranks
    return Link(
        name="loopback",
        bytes_per_s=max(curve.y) * 2 * (ranks - 1) / ranks,
        latency_s=curve.x[0] / curve.y[0] / (2 * (ranks - 1)),
    )


def _estimated_flops(threads: int) -> float:
    return threads * _CYCLES_PER_S * _FLOPS_PER_CYCLE


def _processor() -> str:
    """The processor's own name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()
