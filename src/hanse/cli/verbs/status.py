"""`hanse status`: all runs, or one of them, once or live; live without a run it is everything on every machine."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

import typer


def run(
    run_id: Annotated[str | None, typer.Argument(metavar="[RUN]", help="Id of a run, or how it begins.")] = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Stay and look on; at all runs and machines if no run is named.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The run, or the list of runs, as JSON.")] = False,
) -> None:
    from hanse.cli import connect, pick
    from hanse.cli.output import console, print_json, tell

    if run_id is None and not watch:
        if as_json:
            print_json(connect.client().runs())
        elif listed := pick.latest_runs(connect.connection()):
            from hanse.cli import views

            tell(views.runs(listed))
        else:
            typer.echo("No runs yet. 'hanse launch train.yaml' starts one; 'hanse demo' shows the whole journey.")
        return
    client = connect.client()
    if run_id is None and not as_json:
        from hanse.cli.fleet import watch as watch_all

        with suppress(KeyboardInterrupt):  # what was looked at goes on
            watch_all(client, console(), connect.client)
        return
    found = client.run(pick.run(client, run_id).id)
    if watch and not as_json:
        from hanse.cli.watch import follow, keeps_going

        try:
            found = follow(client, found, console(), connect.client)
        except KeyboardInterrupt:
            typer.echo(keeps_going(found.id))
            return
    if as_json:
        print_json(found)
    elif not watch:
        from hanse.cli import views_run

        tell(views_run.run(found))
    raise typer.Exit(1 if found.state == "failed" and watch else 0)
