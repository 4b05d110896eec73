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


@app.command(help="Measure this machine and remember it for plans; or another one by a short job.")
def calibrate(
    machine: Annotated[
        str, typer.Option(metavar="MACHINE", help="Machine id, or a description ending in .yaml.")
    ] = "local",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The machine file (.yaml) that takes the curves.")
    ] = None,
    nodes: Annotated[int | None, typer.Option(help="Nodes the job measures (2, to tell the network).")] = None,
    account: Annotated[str | None, typer.Option(help="The scheduler's account that pays the job.")] = None,
    partition: Annotated[str | None, typer.Option(help="The partition it runs in.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Measure even if it was measured before.")] = False,
    as_json: Json = False,
) -> None:
    from hanse.cli.calibrate import file_for, make_file, script_for
    from hanse.cli.machine import LOCAL, resolve
    from hanse.cli.output import print_json, tell

    found = resolve(machine)
    path = file_for(machine, found, out)
    if found.scheduler.kind == "local":
        _here(path if out or machine != LOCAL else None, again=again, as_json=as_json)
        return
    script, count = script_for(found, path, nodes=nodes, account=account, partition=partition)
    make_file(path, found)
    if as_json:
        print_json({"machine": str(path), "script": str(script), "nodes": count})
    else:
        tell(f"sbatch {script}", f"measures {count} nodes for some minutes and writes the curves into {path}.")


def _here(out: Path | None, *, again: bool, as_json: bool) -> None:
    from hanse.cli import machine_views as views
    from hanse.cli.calibrate import calibrated, make_file
    from hanse.cli.output import note, print_json, tell
    from hanse.machines import writing

    machine, fresh = calibrated(again=again, say=note)
    if not fresh:
        note("This machine was measured before; --again measures it anew.")
    if out is not None and machine.calibration is not None:
        make_file(out, machine)
        writing.write_calibration(out, machine.calibration)
    if as_json:
        print_json(machine)
    else:
        tell(views.machine(machine))
