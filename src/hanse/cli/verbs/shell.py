"""`hanse shell`: a shell where a run works, with its job's variables."""

from __future__ import annotations

from typing import Annotated

import typer


def run(
    name: Annotated[
        str | None, typer.Argument(metavar="[RUN|MACHINE]", help="A run, or a machine; the latest run if left out.")
    ] = None,
) -> None:
    from hanse.cli import pick, shelling
    from hanse.cli.connect import client as connect
    from hanse.cli.home import home
    from hanse.cli.output import note

    client = connect()
    machines = {one.id: one for one in client.machines()}
    if name in machines:
        way = shelling.onto_machine(machines[name], home())
    else:
        way = shelling.into_run(client.run(pick.run(client, name).id), machines, home())
    note(way.told)
    way.go()
