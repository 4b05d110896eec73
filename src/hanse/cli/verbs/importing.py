"""`hanse import`: awards decided elsewhere, from a file or a Waldur; one officer prepares them, another confirms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hanse.cli.helptext import CONTEXT, VerbGroup

if TYPE_CHECKING:
    from hanse.client.imports import Imports
    from hanse.contracts.imports import ImportAsked, ImportBatch, ImportWord

PATIENCE_S = 150.0
"""A thousand awards are brought in in one transaction; services end a request after two minutes."""
app = typer.Typer(
    cls=VerbGroup, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True,
    context_settings=CONTEXT,
)  # fmt: skip

Whole = Annotated[bool, typer.Option("--whole", help="All rows or none; else those that can be.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what every row would do; keep nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="The whole report as JSON.")]
Id = Annotated[str, typer.Argument(metavar="IMPORT", help="Its id.")]


@app.callback()
def _import() -> None:
    """Awards decided elsewhere, brought in by two officers."""


@app.command(help="From a CSV file, with one line for each allocation.")
def awards(
    file: Annotated[Path, typer.Argument(metavar="FILE.CSV", help="The file.")],
    source: Annotated[str, typer.Option("--source", help="Who decided, if the file does not say: eurohpc.")] = "",
    mode: Annotated[str, typer.Option("--mode", help="The access mode, if the file does not say.")] = "",
    whole: Whole = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    from hanse.contracts.imports import MOST_BYTES
    from hanse.programme.imports import csv_file

    with file.open("rb") as opened:
        content = opened.read(MOST_BYTES + 1)
    asked = csv_file.read(content, name=file.name, whole=whole, given={"source": source, "mode": mode})
    _bring(asked, dry_run=dry_run, as_json=as_json)


@app.command(help="From a Waldur: resources that are in use. This command asks it; the service never does.")
def waldur(
    url: Annotated[str, typer.Argument(metavar="URL", help="Its address: https://waldur.example.eu.")],
    token_file: Annotated[Path, typer.Option("--token-file", help="A file with a token of it, for your eyes only.")],
    mode: Annotated[str, typer.Option("--mode", help="The access mode whose reports and obligations they bring.")],
    kind: Annotated[str, typer.Option("--kind", help="Of organisations that are new here.")] = "other",
    country: Annotated[str, typer.Option("--country", help="Of customers that name none: two letters.")] = "",
    machine: Annotated[
        list[str] | None, typer.Option("--machine", metavar="OFFERING=MACHINE[:PARTITION]", help="May be repeated.")
    ] = None,
    offering: Annotated[str, typer.Option("--offering", help="Only this one, by its slug.")] = "",
    component: Annotated[str, typer.Option("--component", help="Whose limit counts the hours.")] = "",
    unit: Annotated[str, typer.Option("--unit", help="What that component counts in: core-hour, node-hour, …")] = "",
    until: Annotated[str, typer.Option("--until", metavar="DAY", help="Last day of what has no end.")] = "",
    source: Annotated[str, typer.Option("--source", help="Its short name here; its host's name if left out.")] = "",
    whole: Whole = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    from hanse.cli import waldur_reading

    wanted = waldur_reading.wanted(
        mode=mode, kind=kind, country=country, machines=machine or [], component=component, unit=unit, until=until,
        source=source,
    )  # fmt: skip
    asked = waldur_reading.read(url, waldur_reading.token(token_file), wanted, offering=offering, whole=whole)
    _bring(asked, dry_run=dry_run, as_json=as_json)


@app.command("list", help="The imports, the latest first.")
def list_imports(as_json: AsJson = False) -> None:
    from hanse.cli import import_views
    from hanse.cli.output import print_json, tell

    found = _imports().latest()
    if as_json:
        print_json(found)
    elif found:
        tell(import_views.batches(found))
    else:
        typer.echo("Nothing was brought in yet.")


@app.command(help="One import with every row, as things are now.")
def show(id: Id, as_json: AsJson = False) -> None:
    _print(_imports().get(id), as_json)


@app.command(help="Say which organisation the rows of a line's name are, as who prepared it.")
def choose(
    id: Id,
    line: Annotated[int, typer.Argument(metavar="LINE", min=1, help="The row's line.")],
    organisation: Annotated[str, typer.Argument(metavar="ORGANISATION", help="Its id here, or new.")],
    as_json: AsJson = False,
) -> None:
    _print(_imports().choose(id, line, organisation), as_json)


@app.command(help="Bring in what another officer prepared.")
def confirm(
    id: Id,
    seen: Annotated[str, typer.Option("--seen", help="The report's mark: refused if it would do something else.")] = "",
    as_json: AsJson = False,
) -> None:
    from hanse.contracts.imports import ImportWord

    _decide(id, ImportWord(decision="confirm", seen=seen or None), as_json)


@app.command(help="Refuse what another officer prepared, with a reason; or take back your own.")
def refuse(
    id: Id,
    reason: Annotated[str, typer.Option("--reason", help="Who prepared it reads it.")] = "",
    take_back: Annotated[bool, typer.Option("--take-back", help="It is your own.")] = False,
    as_json: AsJson = False,
) -> None:
    from hanse.contracts.imports import ImportWord

    _decide(id, ImportWord(decision="take-back" if take_back else "refuse", reason=reason), as_json)


def _imports() -> Imports:
    from hanse.cli import connect
    from hanse.client.imports import Imports

    return Imports(connect.client(timeout_s=PATIENCE_S))


def _decide(id: str, word: ImportWord, as_json: bool) -> None:
    _print(_imports().decide(id, word), as_json)


def _bring(asked: ImportAsked, *, dry_run: bool, as_json: bool) -> None:
    from hanse.cli.output import note

    imports = _imports()
    made = imports.preview(asked) if dry_run else imports.prepare(asked)
    _print(made, as_json)
    if dry_run:
        note("Nothing was kept: without --dry-run it is prepared for another officer.")
    elif made.id is None:
        note("There is nothing to bring in, and nothing was kept.")
    elif made.state == "waiting":
        note(f"Another officer looks at it and confirms it: hanse import confirm {made.id}")


def _print(made: ImportBatch, as_json: bool) -> None:
    from hanse.cli import import_views
    from hanse.cli.output import print_json, tell

    if as_json:
        print_json(made)
    else:
        tell(import_views.batch(made))
