"""`hanse usage`: what was used of an allocation, in GPU-hours and the site's unit, and how long the rest will last."""

from __future__ import annotations

from typing import Annotated

import typer


def run(
    allocation: Annotated[
        str | None, typer.Argument(metavar="[ALLOCATION]", help="Its id; your only one if none is named.")
    ] = None,
    entries: Annotated[int, typer.Option("--entries", min=0, max=100, help="How many latest entries to show.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="The whole report as JSON.")] = False,
) -> None:
    from hanse.cli import connect, usage_views, views
    from hanse.cli.output import print_json, tell
    from hanse.client.usage import usage

    client = connect.client()
    if allocation is None:
        held = client.allocations()
        if not held:
            typer.echo("No allocations yet. 'hanse apply' asks for hours.")
            return
        if len(held) > 1:
            if as_json:
                print_json(held)
                return
            tell(views.allocations(held))
            typer.echo("'hanse usage ALLOCATION' shows what was used of one.")
            return
        allocation = held[0].id
    found = usage(client, allocation, limit=max(1, entries))
    if as_json:
        print_json(found)
    else:
        tell(usage_views.report(found, entries=entries))
