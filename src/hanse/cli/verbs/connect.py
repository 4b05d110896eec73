"""`hanse connect`: whether jobs of one's own account could run on a machine, or exactly what is missing."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Annotated

import typer


def run(
    machine: Annotated[str, typer.Argument(metavar="MACHINE", help="Machine id, or a description ending in .yaml.")],
    account: Annotated[str, typer.Option("--account", help="The scheduler's account that would pay.")],
    login: Annotated[
        str, typer.Option("--host", help="What you type after ssh; left out on the login node itself.")
    ] = "",
    port: Annotated[int | None, typer.Option("--port", help="sshd's port, if it is another.")] = None,
    key: Annotated[Path | None, typer.Option("--key", help="Your private key; its certificate lies beside it.")] = None,
    jump: Annotated[str | None, typer.Option("--jump", help="Go through this host first.")] = None,
    known_hosts: Annotated[Path | None, typer.Option("--known-hosts", help="Another than ~/.ssh/known_hosts.")] = None,
    partition: Annotated[str | None, typer.Option("--partition", help="Another than the machine's first.")] = None,
    work: Annotated[str | None, typer.Option("--work", help="The folder for runs there; else your home.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The findings as JSON.")] = False,
) -> None:
    from hanse.cli.checks import Check
    from hanse.cli.connecting import Target, look
    from hanse.cli.machine import resolve
    from hanse.cli.output import print_json
    from hanse.contracts.errors import UsageError
    from hanse.schedulers.host import Host, HostUnreachable, LocalHost

    described = resolve(machine)
    if described.scheduler.kind != "slurm":
        raise UsageError(f"{described.id} has no Slurm to connect to.", fix="hanse machines list says what each has.")
    target = Target(machine=described, account=account, partition=partition, work=PurePosixPath(work) if work else None)
    findings: tuple[Check, ...]
    try:
        host: Host = LocalHost()
        door: tuple[Check, ...] = ()
        if login:
            from hanse.schedulers.ssh import SshHost

            behind = SshHost(login, port=port, key=key, jump=jump, known_hosts=known_hosts)
            behind.connect()
            host, door = behind, (Check("connection", "good", _welcome(behind.certificate)),)
        findings = (*door, *look(host, target))
    except HostUnreachable as error:
        findings = (Check("connection", "missing", error.what, error.fix),)
    missing = [one for one in findings if one.state == "missing"]
    if as_json:
        print_json({"machine": described.id, "ready": not missing, "findings": [one._asdict() for one in findings]})
    else:
        for one in findings:
            typer.echo(f"{one.state:8}{one.name:13}{one.found}" + (f"\n{'':21}{one.fix}" if one.fix else ""))
        ready = f"Ready: jobs of {account} can run on {described.id}."
        typer.echo(f"Not ready: {', '.join(one.name for one in missing)}." if missing else ready)
    if missing:
        raise typer.Exit(1)


def _welcome(certificate: object) -> str:
    from hanse.schedulers.ssh_certificate import Certificate

    if isinstance(certificate, Certificate) and certificate.ends is not None:
        return f"open; the certificate ends at {certificate.ends:%Y-%m-%d %H:%M} UTC"
    return "open"
