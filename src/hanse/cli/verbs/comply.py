"""`hanse comply`: answers checked as of a day, the rules in force then, the questions there are, a run's documents."""

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


@app.command(help="A run's documents, filled from its record: model documentation, training content, energy and more.")
def documents(
    run_id: Annotated[str | None, typer.Argument(metavar="[RUN]", help="Id of a run; the latest if left out.")] = None,
    facts: Annotated[
        Path | None, typer.Option("--facts", metavar="FACTS.YAML", help="What no record says, as field: value.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where to write them.")] = Path(
        "documents"
    ),
    pdf: Annotated[bool, typer.Option("--pdf", help="Print each as PDF too (needs Chromium).")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all as JSON and write nothing.")] = False,
) -> None:
    from hanse.cli import documents as folder
    from hanse.cli import pick
    from hanse.cli.connect import client as connect
    from hanse.cli.home import short
    from hanse.cli.output import print_json, tell
    from hanse.rules.documents import build

    stated = folder.read_facts(facts)
    client = connect()
    record = client.record(pick.run(client, run_id).id)
    if as_json:
        print_json(build.make_all(record, stated))
        return
    made = folder.write(record, stated, out, pdf=pdf)
    unknown = build.asked_of_people(made)
    tell(f"{len(made)} documents of {record.run.id} written to {short(out)}/")
    if unknown:
        tell(
            f"{len(unknown)} fields are not known yet; nothing is guessed. They stand in {short(out / folder.ASKED)}: "
            "fill in what you know and give it back with --facts."
        )


@app.command(help="Whether a folder of documents still says what the records say.")
def verify(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="As `hanse comply documents` wrote it.")],
) -> None:
    from hanse.cli import documents as of
    from hanse.cli.output import tell

    wrong = of.verify(folder)
    tell(*(wrong or ("Every document says what the record and the stated facts give, and no file was changed.",)))
    if wrong:
        raise typer.Exit(1)


@app.command(
    help="Attach results of lm-eval or COMPL-AI (Inspect) to a run: they reach its card, its form and the gate."
)
def evaluation(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="Id of a run, or how it begins.")],
    results: Annotated[list[Path], typer.Argument(metavar="RESULTS.JSON...", help="As the tool wrote them.")],
    as_json: Annotated[bool, typer.Option("--json", help="What was read, as JSON.")] = False,
) -> None:
    from hanse.cli import pick
    from hanse.cli.connect import client as connect
    from hanse.cli.output import print_json, tell
    from hanse.client.compliance import attach
    from hanse.contracts.errors import UsageError
    from hanse.rules import evaluations

    read = []
    for path in results:
        try:
            read.append(evaluations.read(path.read_bytes(), where=str(path)))
        except OSError as error:
            raise UsageError(
                f"cannot read it: {error.strerror}", where=str(path), fix="Name a file there is."
            ) from None
    client = connect()
    run = pick.run(client, run_id)
    kept = tuple(attach(client, run.id, one) for one in read)
    if as_json:
        print_json(kept)
    else:
        tell(*(evaluations.sentence(one) for one in kept), f"Kept with {run.id}.")
