"""`hanse serve`: the service in the foreground, and a look at, or an end to, the one in the background."""

from __future__ import annotations

from typing import Annotated

import typer


def run(
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", "-p", min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    status: Annotated[bool, typer.Option("--status", help="What runs in the background on this machine.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="Stop what runs in the background; jobs go on.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --status: as JSON.")] = False,
    embedded: Annotated[bool, typer.Option("--embedded", hidden=True)] = False,
) -> None:
    if stop:
        _stop()
    elif status:
        _status(as_json)
    else:
        from hanse.cli.home import home
        from hanse.service.server import serve

        serve(home().root, host=host, port=0 if embedded else port, embedded=embedded)


def _stop() -> None:
    from hanse.cli import embedded
    from hanse.cli.output import tell

    stopped = embedded.stop_all()
    if stopped:
        tell(f"Stopped: {' and '.join(stopped)}. Jobs go on and are found again at the next start.")
    else:
        tell("Nothing was running.")


def _status(as_json: bool) -> None:
    from hanse.cli import embedded
    from hanse.cli.output import print_json, tell

    service, agent = embedded.service_status(), embedded.agent_status()
    up = service is not None and embedded.answers(service)
    if as_json:
        print_json(
            {
                "service": {"pid": service.pid, "url": service.url, "answers": up} if service else None,
                "agent": {"pid": agent.pid, "machine": agent.machine, "url": agent.url} if agent else None,
            }
        )
    else:
        said = service.describe() if service else "not running"
        tell(f"Service  {said}{'' if up or service is None else '; it does not answer'}")
        tell(f"Agent    {agent.describe() if agent else 'not running'}")
    raise typer.Exit(0 if up and agent else 1)
