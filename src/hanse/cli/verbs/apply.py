"""`hanse apply`: an application to a call, from a file, from options, or asked for on a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def run(
    call: Annotated[str | None, typer.Option("--call", help="The call, as 'playground'.")] = None,
    source: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="A file that holds all of it (YAML).")
    ] = None,
    organisation: Annotated[str | None, typer.Option("--organisation", help="Who applies.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="start-up, sme, large, university, research, …")] = None,
    country: Annotated[str | None, typer.Option("--country", help="Two letters, as DE.")] = None,
    title: Annotated[str | None, typer.Option("--title", help="The project's name.")] = None,
    purpose: Annotated[str | None, typer.Option("--purpose", help="One or two sentences on what it is for.")] = None,
    machine: Annotated[str | None, typer.Option("--machine", "-m", help="Where the hours are wanted.")] = None,
    gpu_hours: Annotated[int | None, typer.Option("--gpu-hours", min=1, help="How many.")] = None,
    months: Annotated[int | None, typer.Option("--months", min=1, help="For how long.")] = None,
    email: Annotated[str | None, typer.Option("--email", help="Where the decision is sent.")] = None,
    answer: Annotated[
        list[str] | None, typer.Option("--answer", metavar="ID=VALUE", help="A gate question's answer; repeatable.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only what call and gate would say; send nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The application (or --check's decision) as JSON.")] = False,
) -> None:
    from hanse.cli import applying, views
    from hanse.cli.connect import client as connect
    from hanse.cli.output import print_json, tell

    given = {
        "call": call, "organisation": organisation, "organisation_kind": kind, "country": country, "title": title,
        "purpose": purpose, "machine": machine, "gpu_hours": gpu_hours, "duration_months": months,
        "contact_email": email,
    }  # fmt: skip
    form = applying.form({key: value for key, value in given.items() if value is not None}, answer or [], source)
    decision = applying.screen(form)
    if check:
        print_json(decision) if as_json else tell(views.decision(decision))
        raise typer.Exit(1 if decision.verdict == "deny" else 0)
    sent = connect().apply(form)
    if as_json:
        print_json(sent)
        return
    tell("What call and gate say:", views.decision(decision), "", views.application(sent))
    if sent.state in ("sent", "in-review"):
        tell("", f"An officer reads it next. 'hanse apply --call {form.call} --check' repeats the screening.")
