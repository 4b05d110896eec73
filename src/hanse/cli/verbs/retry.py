"""`hanse retry`: begin a failed or cancelled run anew, from its last checkpoint."""

from __future__ import annotations

from typing import Annotated

import typer


def run(
    name: Annotated[str | None, typer.Argument(metavar="[RUN]", help="Id of a run; the latest if left out.")] = None,
    machine: Annotated[
        str | None, typer.Option("--machine", "-m", help="One of the spec's machines. Default: where it was last.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The run as JSON.")] = False,
) -> None:
    from hanse.cli import pick
    from hanse.cli.connect import client as connect
    from hanse.cli.output import console, print_json

    client = connect()
    chosen = pick.run(client, name)
    begun = client.retry(chosen.id, machine=machine)
    if as_json:
        print_json(begun)
        return
    where = begun.legs[-1].machine if begun.legs else machine
    console().print(f"{begun.id} is {begun.state} again, on {where}, from its last checkpoint.")
    console().print(f"  hanse status {begun.id} --watch    look on")
