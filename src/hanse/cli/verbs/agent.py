"""`hanse agent`: the agent of one machine, in the foreground; the embedded one runs the same code in the background.

Beside running it: enrol it with a code, read its policy, print its sudo rule, pull its kill switch.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hanse.agent.credentials import Credentials
    from hanse.agent.policy_file import PolicyFile
    from hanse.cli.connections import Connection
    from hanse.cli.home import Home
    from hanse.contracts.machine import Machine
    from hanse.schedulers.firecrest_call import Access


def run(
    machine: Annotated[
        str, typer.Option("--machine", "-m", help="Machine id, or a machine description ending in .yaml.")
    ] = "local",
    url: Annotated[str, typer.Option("--url", envvar="HANSE_URL", help="The service's address.")] = "",
    token: Annotated[
        str | None,
        typer.Option(
            "--token", envvar="HANSE_TOKEN", show_envvar=True, help="The agent's token; better in the environment."
        ),
    ] = None,
    enrol: Annotated[str, typer.Option("--enrol", help="Exchange a one-time code for a token and keep it.")] = "",
    once: Annotated[bool, typer.Option("--once", help="One round, then end.")] = False,
    observe: Annotated[bool, typer.Option("--observe", help="Report only: submit nothing, end nothing.")] = False,
    policy: Annotated[
        Path | None, typer.Option("--policy", help="The site's policy; else policy.yaml in the agent's folder.")
    ] = None,
    check_policy: Annotated[bool, typer.Option("--check-policy", help="Say what the policy binds, and end.")] = False,
    sudoers: Annotated[bool, typer.Option("--sudoers", help="Print the sudo rule the policy needs, and end.")] = False,
    stop: Annotated[
        str, typer.Option("--stop", metavar="MACHINE", help="Kill switch: end every job of Hanse's, submit none.")
    ] = "",
    because: Annotated[str, typer.Option("--because", help="The reason those jobs are given.")] = "",
    resume: Annotated[str, typer.Option("--resume", metavar="MACHINE", help="Lift the kill switch.")] = "",
    firecrest: Annotated[
        str, typer.Option("--firecrest", metavar="URL", help="Speak to the cluster through its FirecREST v2.")
    ] = "",
    insecure: Annotated[bool, typer.Option("--insecure", help="Allow an http:// address that is not here.")] = False,
    embedded: Annotated[bool, typer.Option("--embedded", hidden=True)] = False,
) -> None:
    from hanse.cli import connections
    from hanse.cli.home import home
    from hanse.cli.machine import resolve

    here = home()
    if stop or resume:
        _switch(here, stop=stop, resume=resume, because=because)
        return
    connection = connections.find(here, machine)
    described = connection.machine if connection else resolve(machine)
    if enrol:
        _enrol(here, described, url, enrol, insecure=insecure)
        return
    rules = _policy(here, described, policy)
    if check_policy or sudoers:
        _show(rules, sudo_rule=sudoers)
        return
    kept = None
    if embedded:
        from hanse.cli import background

        facts = background.read_json(here.endpoint)
        url, token = str(facts.get("url", "")), str(facts.get("agent_token", ""))
        if connection:
            kept = _kept(here, described, url)
            token = kept.token
    elif not token:
        kept = _kept(here, described, url)
        url, token = kept.url, kept.token
    _be_agent(
        here, described, url, token, rules, kept=kept, once=once, observe=observe, insecure=insecure,
        firecrest=firecrest, connection=connection,
    )  # fmt: skip


def _switch(here: Home, *, stop: str, resume: str, because: str) -> None:
    from hanse.agent.halt import Halt
    from hanse.contracts.errors import UsageError

    folder = here.agent(stop or resume)
    if not folder.is_dir():
        raise UsageError(
            f"No agent of {stop or resume} was ever started with this HANSE_HOME.",
            where=str(folder),
            fix="Give the machine's id as 'hanse agent' was given it, and the same HANSE_HOME.",
        )
    halt = Halt(folder)
    if stop:
        halt.pull(because)
        typer.echo(
            f"The agent of {stop} ends every job of Hanse's there and submits none. "
            f"It sees this at its next look.\nLift it with: hanse agent --resume {stop}"
        )
    elif halt.lift():
        typer.echo(f"The kill switch is off: the agent of {resume} takes up what waits.")
    else:
        typer.echo(f"The kill switch of {resume} was not on.")


def _enrol(here: Home, described: Machine, url: str, code: str, *, insecure: bool) -> None:
    from hanse.agent import credentials
    from hanse.contracts.errors import UsageError

    if not url:
        raise UsageError("Enrolling needs the service's address.", where="--url", fix="Add --url https://…")
    credentials.require_safe(url, insecure=insecure)
    kept = credentials.enrol(url, code, described.id, here.agent(described.id))
    ends = f"; it is renewed before {kept.expires_at:%Y-%m-%d}" if kept.expires_at else ""
    typer.echo(
        f"This is the agent of {described.id} now{ends}.\n"
        f"Its token lies in {here.agent(described.id) / credentials.NAME}.\n"
        f"Start it with: hanse agent --machine {described.id}"
    )


def _kept(here: Home, described: Machine, url: str) -> Credentials:
    from hanse.agent import credentials
    from hanse.contracts.errors import UsageError

    kept = credentials.read(here.agent(described.id))
    if kept is None:
        raise UsageError(
            "An agent needs the service's address and a token of its own.",
            fix="A site operator makes a code (POST /api/v1/agents/codes); then: hanse agent --enrol CODE --url URL. "
            "Or set HANSE_URL and HANSE_TOKEN.",
        )
    return kept.model_copy(update={"url": url}) if url else kept


def _policy(here: Home, described: Machine, given: Path | None) -> PolicyFile:
    from hanse.agent.policy_file import PolicyFile

    beside = here.agent(described.id) / "policy.yaml"
    return PolicyFile(given or (beside if beside.exists() else None))


def _show(rules: PolicyFile, *, sudo_rule: bool) -> None:
    import getpass
    import shutil

    from hanse.agent.identity import sudoers
    from hanse.agent.policy import sentences
    from hanse.contracts.errors import UsageError

    if not sudo_rule:
        where = str(rules.path) if rules.path else "There is no policy file"
        typer.echo(
            "\n".join([f"{where}:", *(f"  {line}" for line in sentences(rules.policy) or ("Nothing is bound.",))])
        )
        return
    if rules.policy.identity.mode != "sudo":
        raise UsageError(
            "The policy needs no sudo rule.", where=str(rules.path or "policy"), fix="It does with identity.mode: sudo."
        )
    typer.echo(sudoers(getpass.getuser(), rules.policy.identity, shutil.which), nl=False)


def _be_agent(
    here: Home,
    described: Machine,
    url: str,
    token: str,
    rules: PolicyFile,
    *,
    kept: Credentials | None,
    once: bool,
    observe: bool,
    insecure: bool,
    connection: Connection | None,
    firecrest: str = "",
) -> None:
    from hanse.agent import credentials
    from hanse.agent.identity import Schedulers
    from hanse.agent.main import run as run_agent
    from hanse.agent.parts import schedulers_of
    from hanse.agent.setting import Setting
    from hanse.cli import background
    from hanse.contracts.errors import UsageError
    from hanse.schedulers.make import make

    if not url:
        raise UsageError("An agent needs the service's address.", where="--url", fix="Set HANSE_URL, or add --url.")
    credentials.require_safe(url, insecure=insecure)
    own = here.agent(described.id) / "agent.json"
    running = background.read_json(own)
    if background.alive(running):
        raise UsageError(
            f"The agent of {described.id} already runs as process {running['pid']}.",
            where=str(own),
            fix="One is enough: a second would only make the first stop.",
        )
    host = connection.host() if connection else None
    access = _access(described, firecrest) if firecrest else None
    scheduler = make(described, here.work / described.id, host=host, firecrest=access)
    if access is not None:
        acting: Schedulers | None = Schedulers(scheduler)
    else:
        acting = None if host is not None and host.remote else schedulers_of(described, scheduler, own.parent)
    setting = Setting(observe=observe, policy=rules, schedulers=acting)
    if connection and host is not None:
        setting.host, setting.work = host, Path(connection.work)
    every_s = connection.look_every_s if connection else None
    background.write_json(own, background.describe_self(url=url, machine=described.id))
    try:
        run_agent(url, token, described, scheduler, here.root, once=once, every_s=every_s, setting=setting, kept=kept)
    except KeyboardInterrupt:
        typer.echo(
            f"The agent of {described.id} stopped. Its jobs go on; it finds them again at its next start.", err=True
        )
    finally:
        if background.read_json(own).get("pid") == os.getpid():
            own.unlink(missing_ok=True)


def _access(described: Machine, url: str) -> Access:
    """FirecREST's own name of the machine is its id unless FIRECREST_SYSTEM says otherwise."""
    from hanse.schedulers.firecrest_call import Access

    return Access.from_environment({"FIRECREST_SYSTEM": described.id, **os.environ}, url=url)
