"""`hanse comply`: a file of answers checked as of a day, the rules in force then, and the questions there are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hanse.cli.helptext import CONTEXT, VerbGroup

app = typer.Typer(
    cls=VerbGroup, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True,
    context_settings=CONTEXT,
)  # fmt: skip

AS_OF = typer.Option("--as-of", metavar="DATE", help="The day asked about, as 2026-12-02. Default: today.")


@app.callback()
def _comply() -> None:
    """Not legal advice: a careful reading, with sources and dates."""


@app.command(help="Outcome, roles, risk, duties and what is to come, with where each stands.")
def check(
    answers: Annotated[Path, typer.Argument(metavar="ANSWERS.YAML", help="Answers by question id.")],
    as_of: Annotated[str | None, AS_OF] = None,
    plan: Annotated[
        Path | None, typer.Option("--plan", metavar="TRAIN.YAML", help="Take computation and data from this training.")
    ] = None,
    rest_harmless: Annotated[
        bool, typer.Option("--rest-harmless", help="Count what is not answered the harmless way, and say so.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The whole answer as JSON.")] = False,
) -> None:
    from hanse.cli import comply, comply_views
    from hanse.cli.output import print_json, tell

    found = comply.check(answers, as_of, plan, rest_harmless=rest_harmless)
    if as_json:
        print_json(found)
    else:
        tell(*comply_views.check(found))


@app.command(help="The rules in force on a day, with source and confidence.")
def rules(
    as_of: Annotated[str | None, AS_OF] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The rules as JSON.")] = False,
) -> None:
    from hanse.cli import comply, comply_views
    from hanse.cli.output import print_json, tell
    from hanse.rules import catalogue

    day = comply.day(as_of)
    found = catalogue.rules_of(day)
    if as_json:
        print_json(found)
    else:
        tell(*comply_views.rules(found, day))


@app.command(help="Every question with its allowed answers.")
def questions(
    template: Annotated[bool, typer.Option("--template", help="A file of answers to begin with.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The questions as JSON.")] = False,
) -> None:
    from hanse.cli import comply_views
    from hanse.cli.output import print_json, tell
    from hanse.rules import catalogue

    if template:
        typer.echo(catalogue.template(), nl=False)
    elif as_json:
        print_json(catalogue.questions_of())
    else:
        tell(*comply_views.questions(catalogue.questions_of()))
