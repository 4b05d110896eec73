"""`hanse connect`: whether jobs of one's own account could run on a machine; if so, all that a launch there needs."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hanse.cli.connections import Connection
    from hanse.contracts.machine import Machine


def run(
    machine: Annotated[
        str, typer.Argument(metavar="[MACHINE]", help="Machine id, or a description ending in .yaml.")
    ] = "",
    account: Annotated[str, typer.Option("--account", help="The scheduler's account that pays.")] = "",
    login: Annotated[
        str, typer.Option("--host", help="What you type after ssh; left out on the login node itself.")
    ] = "",
    port: Annotated[int | None, typer.Option("--port", help="sshd's port, if it is another.")] = None,
    key: Annotated[Path | None, typer.Option("--key", help="Your private key; its certificate lies beside it.")] = None,
    jump: Annotated[str | None, typer.Option("--jump", help="Go through this host first: user@host:port.")] = None,
    known_hosts: Annotated[Path | None, typer.Option("--known-hosts", help="Another than ~/.ssh/known_hosts.")] = None,
    renew: Annotated[
        str | None, typer.Option("--renew", help="The command that gets you a new certificate, for messages.")
    ] = None,
    partition: Annotated[str | None, typer.Option("--partition", help="Another than the machine's first.")] = None,
    work: Annotated[
        str | None, typer.Option("--work", help="The folder for runs there; else hanse in your home.")
    ] = None,
    python: Annotated[str | None, typer.Option("--python", help="The Python there that has Hanse.")] = None,
    setup: Annotated[
        list[str] | None, typer.Option("--setup", help="A line each job begins with ('module load …'); repeat it.")
    ] = None,
    gpu_hours: Annotated[
        int, typer.Option("--gpu-hours", min=1, help="So many of its hours Hanse may use, at most.")
    ] = 1000,
    look_only: Annotated[bool, typer.Option("--look-only", help="Look, and save nothing.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="The saved connections.")] = False,
    forget: Annotated[str, typer.Option("--forget", metavar="MACHINE", help="Forget a saved connection.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="The findings as JSON.")] = False,
) -> None:
    from hanse.cli import connections
    from hanse.cli.checks import Check
    from hanse.cli.connecting import Target, look, work_folder
    from hanse.cli.home import home
    from hanse.cli.machine import resolve
    from hanse.cli.output import print_json
    from hanse.contracts.errors import UsageError
    from hanse.schedulers.host import HostUnreachable

    if listed or forget:
        _list(as_json=as_json) if listed else _forget(forget)
        return
    if not machine or not account:
        raise UsageError(
            f"hanse connect needs {'--account' if machine else 'a machine'}.",
            fix="hanse connect MACHINE --account ACCOUNT --host LOGIN; 'hanse connect --list' shows those saved.",
        )
    described = _with(resolve(machine), python, setup)
    if described.scheduler.kind != "slurm":
        raise UsageError(f"{described.id} has no Slurm to connect to.", fix="hanse machines list says what each has.")
    target = Target(machine=described, account=account, partition=partition, work=PurePosixPath(work) if work else None)
    connection = connections.Connection(
        machine=described, account=account, partition=partition, login=login, port=port, jump=jump, renew=renew,
        key=str(key.expanduser().absolute()) if key else None,
        known_hosts=str(known_hosts.expanduser().absolute()) if known_hosts else None, work=work or "",
    )  # fmt: skip
    findings: tuple[Check, ...]
    host = connection.host()
    try:
        door = (Check("connection", "good", _welcome(key)),) if login else ()
        if login:
            host.run(["sh", "-c", ":"])
        findings = (*door, *look(host, target))
        connection = connection.model_copy(update={"work": str(work_folder(host, target))})
    except HostUnreachable as error:
        findings = (Check("connection", "missing", error.what, error.fix),)
    missing = [one for one in findings if one.state == "missing"]
    if not as_json:
        for one in findings:
            typer.echo(f"{one.state:8}{one.name:13}{one.found}" + (f"\n{'':21}{one.fix}" if one.fix else ""))
        ready = f"Ready: jobs of {account} can run on {described.id}."
        typer.echo(f"Not ready: {', '.join(one.name for one in missing)}." if missing else ready)
    saved = None if missing or look_only else connections.save(home(), connection)
    if as_json:
        print_json({
            "machine": described.id, "ready": not missing, "findings": [one._asdict() for one in findings],
            "saved": str(saved) if saved else None,
        })  # fmt: skip
    if saved:
        _settle(connection, saved, gpu_hours, quiet=as_json)
    if missing:
        raise typer.Exit(1)


def _with(described: Machine, python: str | None, setup: list[str] | None) -> Machine:
    """The machine with what its user says of the software there."""
    facts = described.scheduler
    more = {"python": python or facts.python, "setup": (*facts.setup, *(setup or ()))}
    return described.model_copy(update={"scheduler": facts.model_copy(update=more)})


def _settle(connection: Connection, saved: Path, gpu_hours: int, *, quiet: bool) -> None:
    """With a service of others its operators make the agent's code and its officers the allocation."""
    from hanse.cli import connect, settling
    from hanse.cli.home import home, short
    from hanse.contracts.units import format_gpu_hours

    said = [f"Saved in {short(saved)}."]
    machine = connection.machine.id
    if (chosen := connect.configured()) is None:
        allocation = settling.settle(home(), connection, gpu_hours)
        amount = format_gpu_hours(allocation.granted_accelerator_seconds)
        said.append(
            f"An agent here looks after it, and {allocation.id} counts up to {amount} of {connection.account}.\n"
            "The site granted them: for their use you answer to it.\n"
            f"Name it in train.yaml (where: {{machines: [{machine}]}}), then: hanse launch train.yaml"
        )
    else:
        said.append(
            f"The service at {chosen.url} needs an agent for it: ask its operator for a code, then\n"
            f"  hanse agent -m {machine} --enrol CODE --url {chosen.url}\n  hanse agent -m {machine}"
        )
    if not quiet:
        typer.echo("\n".join(said))


def _list(*, as_json: bool) -> None:
    from hanse.cli import connections
    from hanse.cli.home import home
    from hanse.cli.output import print_json

    here = home()
    found = [one for name in here.connected() if (one := connections.find(here, name))]
    if as_json:
        listed = [one.model_dump(mode="json", exclude={"machine"}) | {"machine": one.machine.id} for one in found]
        print_json({"connections": listed})
        return
    for one in found:
        via = f" via {one.jump}" if one.jump else ""
        typer.echo(f"{one.machine.id:20}{one.account:16}{one.login or 'here'}{via}, runs in {one.runs}")
    if not found:
        typer.echo("No connections are saved. hanse connect MACHINE --account ACCOUNT --host LOGIN makes one.")


def _forget(machine: str) -> None:
    """The agent ends first; jobs over there go on, and nobody looks after them any more."""
    from hanse.cli import connections, embedded
    from hanse.cli.home import home

    connections.forget(home(), machine)
    embedded.stop_agent(machine)
    typer.echo(f"The connection to {machine} is forgotten. Jobs there go on; Hanse does not look after them any more.")


def _welcome(key: Path | None) -> str:
    from hanse.schedulers import ssh_certificate

    try:
        ends = ssh_certificate.read(ssh_certificate.beside(key)).ends if key else None
    except (OSError, ValueError):
        ends = None
    return f"open; the certificate ends at {ends:%Y-%m-%d %H:%M} UTC" if ends else "open"
