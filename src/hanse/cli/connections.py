"""Connections that `hanse connect` has saved: one readable file a machine, for its owner alone.

They hold no secret: keys stay where ssh has them.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pydantic import Field, ValidationError

from hanse.cli.home import Home, short
from hanse.contracts.base import Contract
from hanse.contracts.errors import UsageError
from hanse.contracts.machine import Machine
from hanse.files.durable import write_atomically

if TYPE_CHECKING:
    from hanse.schedulers.host import Host


class Connection(Contract):
    """How one reaches a machine, who pays there, and where runs lie on it."""

    machine: Machine
    """As it was known on the day, with what the user said of it."""
    account: str
    partition: str | None = None
    login: str = ""
    """What one types after ssh; empty: Slurm's commands are on this machine."""
    port: int | None = None
    key: str | None = None
    jump: str | None = None
    known_hosts: str | None = None
    renew: str | None = None
    """The command that gets a new certificate."""
    work: str
    """The folder of runs/ and data/ over there."""
    look_every_s: float = Field(default=5.0, gt=0)
    """Between two looks at its scheduler."""

    def host(self) -> Host:
        """A host that opens its connection when it is first used."""
        if not self.login:
            from hanse.schedulers.host import LocalHost

            return LocalHost()
        from hanse.schedulers.ssh import SshHost

        return SshHost(
            self.login, port=self.port, key=Path(self.key) if self.key else None, jump=self.jump, renew=self.renew,
            known_hosts=Path(self.known_hosts) if self.known_hosts else None,
        )  # fmt: skip

    def ssh(self) -> tuple[str, ...]:
        """The ssh command line up to and with the host, for a terminal; a jump takes the same key and known hosts."""
        import shlex

        options = [*(("-i", self.key) if self.key else ())]
        options += ["-o", f"UserKnownHostsFile={self.known_hosts}"] if self.known_hosts else []
        way: list[str] = []
        for place in (self.jump or "").split(",") if self.jump else ():
            name, _, port = place.strip().partition(":")
            through = ["-o", f"ProxyCommand={shlex.join(way)}"] if way else []
            way = ["ssh", *options, *through, *(("-p", port) if port else ()), "-W", "%h:%p", name]
        through = ["-o", f"ProxyCommand={shlex.join(way)}"] if way else []
        return ("ssh", "-t", *options, *through, *(("-p", str(self.port)) if self.port else ()), self.login)

    @property
    def runs(self) -> PurePosixPath:
        return PurePosixPath(self.work) / "runs"


def path_of(here: Home, machine: str) -> Path:
    return here.connections / f"{machine}.json"


def save(here: Home, connection: Connection) -> Path:
    """Write it whole or not at all, readable by nobody else."""
    path = path_of(here, connection.machine.id)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(path, connection.model_dump_json(indent=2, exclude_defaults=True) + "\n", private=True)
    return path


def find(here: Home, machine: str) -> Connection | None:
    """None if it was never saved. Raises UsageError for a damaged file."""
    path = path_of(here, machine)
    if "/" in machine or not path.is_file():
        return None
    try:
        return Connection.from_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(
            f"The saved connection is damaged: {'.'.join(map(str, first['loc']))}: {first['msg']}.",
            where=short(path), fix=f"Mend the file, or: hanse connect --forget {machine}",
        ) from None  # fmt: skip


def forget(here: Home, machine: str) -> None:
    """Raises UsageError if there is none."""
    try:
        path_of(here, machine).unlink()
    except FileNotFoundError:
        known = ", ".join(here.connected()) or "none"
        raise UsageError(f"There is no connection to {machine!r}.", fix=f"Saved are: {known}.") from None
