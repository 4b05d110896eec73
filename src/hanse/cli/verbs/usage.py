"""`hanse usage`: what was used of an allocation, in GPU-hours and the site's unit, and how long the rest will last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hanse.client.api import Client


def run(
    allocation: Annotated[
        str | None, typer.Argument(metavar="[ALLOCATION]", help="Its id; your only one if none is named.")
    ] = None,
    entries: Annotated[int, typer.Option("--entries", min=0, max=100, help="How many latest entries to show.")] = 5,
    month: Annotated[
        str, typer.Option("--month", metavar="2026-10", help="Of all allocations in a month, as an officer.")
    ] = "",
    as_csv: Annotated[bool, typer.Option("--csv", help="That month as CSV, to report it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The whole report as JSON.")] = False,
) -> None:
    from hanse.cli import connect, usage_views, views
    from hanse.cli.output import print_json, tell
    from hanse.client.usage import usage
    from hanse.contracts.errors import UsageError

    if as_csv and not month:
        raise UsageError("--csv is of a month", where="--csv", fix="Name it: --month 2026-10.")
    client = connect.client()
    if month:
        _of_month(client, month, as_csv=as_csv, as_json=as_json)
        return
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


def _of_month(client: Client, month: str, *, as_csv: bool, as_json: bool) -> None:
    from hanse.cli import usage_views
    from hanse.cli.output import print_json, tell
    from hanse.client.usage import months

    found = months(client, month, month)
    if as_csv:
        typer.echo(usage_views.months_csv(found), nl=False)
    elif as_json:
        print_json(found)
    elif found:
        tell(usage_views.months(found))
    else:
        typer.echo(f"Nothing was used in {month}.")
