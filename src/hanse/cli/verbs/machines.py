"""`hanse machines`: the catalogue, a description of the user's own, and this machine's calibration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hanse.cli.helptext import CONTEXT, VerbGroup

app = typer.Typer(
    cls=VerbGroup, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True,
    context_settings=CONTEXT,
)  # fmt: skip
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]


@app.command("list", help="All machines of the catalogue, and this one.")
def list_(as_json: Json = False) -> None:
    from hanse.cli import machine_views as views
    from hanse.cli.machine import local
    from hanse.cli.output import print_json, tell
    from hanse.machines import catalogue

    known = [local(), *(catalogue.load(name) for name in catalogue.ids())]
    if as_json:
        print_json(known)
    else:
        tell(views.machines(known), views.announced(catalogue.announced()))


@app.command(help="One machine, with where each value was read.")
def show(
    machine: Annotated[str, typer.Argument(help="Machine id, or a description ending in .yaml.")], as_json: Json = False
) -> None:
    from hanse.cli import machine_views as views
    from hanse.cli.machine import resolve
    from hanse.cli.output import print_json, tell

    found = resolve(machine)
    if as_json:
        print_json(found)
    else:
        tell(views.machine(found))


@app.command(help="Check a description of your own; names key and line.")
def check(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The description, YAML.")], as_json: Json = False
) -> None:
    from hanse.cli import machine_views as views
    from hanse.cli.output import note, print_json, tell
    from hanse.machines import catalogue
    from hanse.machines.doubts import doubts

    found = catalogue.check(path)
    odd = doubts(found)
    if as_json:
        print_json(found)
        for one in odd:
            note(one)
        return
    tell(views.machine(found), views.doubts(odd))
    tell(f"\n{path} is a complete description.")


@app.command(help="Measure this machine and remember it for plans.")
def calibrate(
    again: Annotated[bool, typer.Option("--again", help="Measure even if it was measured before.")] = False,
    as_json: Json = False,
) -> None:
    from hanse.cli import machine_views as views
    from hanse.cli.calibrate import calibrated
    from hanse.cli.output import note, print_json, tell

    machine, fresh = calibrated(again=again, say=note)
    if not fresh:
        note("This machine was measured before; --again measures it anew.")
    if as_json:
        print_json(machine)
    else:
        tell(views.machine(machine))
