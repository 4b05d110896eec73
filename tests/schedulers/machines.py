"""Machines whose scheduler facts differ in everything a job script depends on, as public job scripts show them."""

from __future__ import annotations

from typing import Any, Literal

from hanse.contracts.machine import Accelerator, Machine, Partition, SchedulerFacts


def _machine(
    name: str, ranks: int, kind: Literal["cuda", "rocm", "cpu"], facts: SchedulerFacts, **changes: Any
) -> Machine:
    accelerator = Accelerator(
        name="device", kind=kind, memory_bytes=64 * 10**9, memory_bytes_per_s=1.6e12, peak_flops={"bf16": 1e14}
    )
    return Machine(
        id=name, name=name, site=name, accelerators_per_node=ranks, accelerator=accelerator, scheduler=facts, **changes
    )


GENERIC = _machine("generic", 1, "cpu", SchedulerFacts(kind="slurm", python="/opt/hanse/bin/python3"))

LUMI_LIKE = _machine(
    "lumi-like",
    8,
    "rocm",
    SchedulerFacts(
        kind="slurm",
        gpu_request="--gpus-per-node=8",
        cpus_per_node=56,
        memory_per_node="480G",
        account_required=True,
        rendezvous_host_rule="plain",
        environment={
            "NCCL_SOCKET_IFNAME": "hsn0,hsn1,hsn2,hsn3",
            "NCCL_NET_GDR_LEVEL": "PHB",
            "MIOPEN_USER_DB_PATH": "/tmp/miopen",
        },
        setup=("module purge", "module load CrayEnv"),
        python="python3",
    ),
    partitions=(Partition(name="standard-g", max_wall_time_s=172800),),
    internet_on_compute=True,
)

LEONARDO_LIKE = _machine(
    "leonardo-like",
    4,
    "cuda",
    SchedulerFacts(
        kind="slurm",
        gpu_request="--gres=gpu:4",
        cpus_per_node=32,
        memory_per_node="0",
        account_required=True,
        qos_required=True,
        rendezvous_host_rule="resolve_ipv4",
        environment={"NCCL_IB_TIMEOUT": "120"},
        python="/leonardo_work/venv/bin/python",
    ),
    partitions=(Partition(name="boost_usr_prod", max_wall_time_s=86400, qos="normal"),),
    internet_on_compute=False,
)
