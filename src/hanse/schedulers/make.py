"""The scheduler of a machine, by its catalogue entry."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hanse.contracts.errors import SiteError
from hanse.contracts.machine import Machine
from hanse.schedulers.base import Scheduler
from hanse.schedulers.firecrest import FirecrestScheduler
from hanse.schedulers.firecrest_call import Access, Line
from hanse.schedulers.host import Host
from hanse.schedulers.local import LocalScheduler
from hanse.schedulers.slurm import SlurmScheduler


def make(
    machine: Machine,
    spool: Path,
    environment: Mapping[str, str] | None = None,
    host: Host | None = None,
    *,
    firecrest: Access | None = None,
) -> Scheduler:
    """`spool` is where the local scheduler keeps its jobs; `environment` goes to Slurm's commands, run on `host`.

    With `firecrest` a cluster is spoken to through its FirecREST, whichever kind its description names.
    """
    kind = machine.scheduler.kind
    devices = machine.accelerator.kind
    if devices == "tpu" or devices == "hpu":
        raise SiteError(f"Hanse plans for {devices} accelerators but starts no jobs on them", where=machine.id)
    if kind == "local":
        return LocalScheduler(spool, machine.nodes or 1, machine.accelerators_per_node, devices=devices)
    if firecrest is not None:
        return FirecrestScheduler(machine, Line(firecrest))
    if kind == "slurm":
        return SlurmScheduler(machine, environment, host)
    raise SiteError(
        "this machine is spoken to through FirecREST, and nothing says where that is",
        where=machine.id,
        fix="Add --firecrest URL, or run the agent on a login node and describe the machine as kind: slurm.",
    )
