"""The scheduler of a machine, by its catalogue entry."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hanse.contracts.errors import SiteError
from hanse.contracts.machine import Machine
from hanse.schedulers.base import Scheduler
from hanse.schedulers.host import Host
from hanse.schedulers.local import LocalScheduler
from hanse.schedulers.slurm import SlurmScheduler


def make(
    machine: Machine, spool: Path, environment: Mapping[str, str] | None = None, host: Host | None = None
) -> Scheduler:
    """`spool` is where the local scheduler keeps its jobs; `environment` goes to Slurm's commands, run on `host`."""
    kind = machine.scheduler.kind
    devices = machine.accelerator.kind
    if devices == "tpu" or devices == "hpu":
        raise SiteError(f"Hanse plans for {devices} accelerators but starts no jobs on them", where=machine.id)
    if kind == "local":
        return LocalScheduler(spool, machine.nodes or 1, machine.accelerators_per_node, devices=devices)
    if kind == "slurm":
        return SlurmScheduler(machine, environment, host)
    raise SiteError(
        f"this version of Hanse has no scheduler of the kind {kind!r}",
        where=machine.id,
        fix="Run the agent on a login node of the machine, where Slurm's commands are.",
    )
