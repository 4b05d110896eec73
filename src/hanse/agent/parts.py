"""The parts an agent is put together from: schedulers for other Unix users, the courier, the meter."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

from hanse.agent.courier import Courier
from hanse.agent.courier_ground import HostGround, LocalGround
from hanse.agent.identity import Schedulers, command_as
from hanse.agent.meter import Meter
from hanse.client.http import Connection
from hanse.client.parcels import ParcelClient
from hanse.contracts.errors import SiteError
from hanse.contracts.machine import Machine
from hanse.contracts.rundir import RunDir
from hanse.schedulers.base import Scheduler
from hanse.schedulers.host import Host
from hanse.schedulers.make import make

_ACTING = ("sbatch", "scancel")


def schedulers_of(
    machine: Machine, own: Scheduler, folder: Path, environment: Mapping[str, str] | None = None
) -> Schedulers:
    """The machine's scheduler, and for Slurm those that act as other users. `folder` is the agent's own."""
    if machine.scheduler.kind != "slurm":
        return Schedulers(own)
    given = dict(environment or {})

    def acting(user: str, further: Mapping[str, str]) -> Scheduler:
        path = {"PATH": _commands_as(user, folder / "as" / user)}
        return make(machine, folder, {**given, **path, **further})

    return Schedulers(own, acting)


def _commands_as(user: str, folder: Path) -> str:
    """A PATH on which what makes and ends jobs is run as `user`, and all else as the agent.

    The user's jobs must not be submitted with what that user put on a PATH: the commands' places are fixed here.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in _ACTING:
        place = shutil.which(name)
        if place is None:
            raise SiteError(f"{name} is not on PATH", where="identity", fix="Run the agent where Slurm's commands are.")
        line = shlex.join(command_as(user, [place], root=os.geteuid() == 0))
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec {line} "$@"\n')
        script.chmod(0o700)
    return f"{folder}:{os.environ.get('PATH', os.defpath)}"


def courier_of(machine: Machine, service: Connection, folder: Path, work: Path, host: Host | None = None) -> Courier:
    """What carries parcels to and from `work` on `host`. It speaks with the agent's token, on its own connection."""

    def run_dir(run_id: str) -> RunDir:
        return RunDir(work / "runs" / run_id)

    ground = HostGround(host) if host is not None and host.remote else LocalGround()
    return Courier(
        ParcelClient(service.url, "").speaking_as(service), run_dir, ground, folder / "courier.sqlite3",
        machine=machine.id, data_dir=work / "data",
    )  # fmt: skip


def meter_of(scheduler: Scheduler, folder: Path) -> Meter:
    """What reads all jobs of an account."""
    return Meter(scheduler, folder / "meter.sqlite3")
