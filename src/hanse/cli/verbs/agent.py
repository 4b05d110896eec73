"""`hanse agent`: the agent of one machine, in the foreground; the embedded one runs the same code in the background."""

from __future__ import annotations

import os
from typing import Annotated

import typer


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
    once: Annotated[bool, typer.Option("--once", help="One round, then end.")] = False,
    embedded: Annotated[bool, typer.Option("--embedded", hidden=True)] = False,
) -> None:
    from hanse.agent.main import run as run_agent
    from hanse.cli import background
    from hanse.cli.home import home
    from hanse.cli.machine import resolve
    from hanse.contracts.errors import UsageError
    from hanse.schedulers.make import make

    here = home()
    if embedded:
        facts = background.read_json(here.endpoint)
        url, token = str(facts.get("url", "")), str(facts.get("agent_token", ""))
    if not url or not token:
        raise UsageError(
            "An agent needs the service's address and a token of its own.",
            fix="Set HANSE_URL and HANSE_TOKEN. A site operator makes the token: POST /api/v1/agents/enrol.",
        )
    described = resolve(machine)
    own = here.agent(described.id) / "agent.json"
    running = background.read_json(own)
    if background.alive(running):
        raise UsageError(
            f"The agent of {described.id} already runs as process {running['pid']}.",
            where=str(own),
            fix="One is enough: a second would only make the first stop.",
        )
    background.write_json(own, background.describe_self(url=url, machine=described.id))
    try:
        run_agent(url, token, described, make(described, here.work / described.id), here.root, once=once)
    except KeyboardInterrupt:
        typer.echo(
            f"The agent of {described.id} stopped. Its jobs go on; it finds them again at its next start.", err=True
        )
    finally:
        if background.read_json(own).get("pid") == os.getpid():
            own.unlink(missing_ok=True)
