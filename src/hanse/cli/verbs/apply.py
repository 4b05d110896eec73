"""`hanse apply`: an application to a call, from a file, from options, or asked for on a terminal.

With --draft it is the whole form, in a file that is filled bit by bit; with --suggest it says which call suits.
"""

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
    suggest: Annotated[
        bool, typer.Option("--suggest", help="Which call suits, and why not the others; send nothing.")
    ] = False,
    work: Annotated[
        str | None,
        typer.Option(
            "--for", metavar="WHAT", help="Kind of work: train-ai, benchmark, develop-code, research, compete."
        ),
    ] = None,
    experience: Annotated[
        str | None, typer.Option("--experience", metavar="WHICH", help="For --suggest: new to supercomputers, or some.")
    ] = None,
    draft: Annotated[
        Path | None, typer.Option("--draft", metavar="FILE", help="The whole form in a file: begin, fill, check it.")
    ] = None,
    plan: Annotated[
        Path | None, typer.Option("--plan", metavar="FILE", help="Fill the draft from 'hanse plan --json'.")
    ] = None,
    spare: Annotated[
        float, typer.Option("--spare", metavar="SHARE", min=0, max=1, help="Hours beside the plan's, as 0.1.")
    ] = 0.0,
    again: Annotated[bool, typer.Option("--again", help="Put back what was changed since the plan.")] = False,
    export: Annotated[
        Path | None, typer.Option("--export", metavar="FILE", help="The draft as a page to print (.html) or as .json.")
    ] = None,
    save: Annotated[
        bool, typer.Option("--save", help="Keep the draft on the service, to go on in the portal.")
    ] = False,
    open_: Annotated[
        str | None, typer.Option("--open", metavar="ID", help="Bring a draft of the service into the file.")
    ] = None,
    send: Annotated[bool, typer.Option("--send", help="Send the draft, once it is complete.")] = False,
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
    if draft is not None or suggest:
        from hanse.cli import apply_kept, apply_verb

        if source is not None:
            apply_verb.refuse_both()
        if open_ is not None:
            apply_kept.pull(open_, draft)
        wishes = apply_verb.Wishes(
            draft=draft, plan=plan, spare=spare, again=again, export=export, send=send, suggest=suggest, check=check,
            as_json=as_json, experience=experience,
        )  # fmt: skip
        apply_verb.run({**given, "purpose_text": purpose, "purpose": work}, answer or [], wishes)
        if save:
            apply_kept.push(draft)
        return
    apply_verb_only(
        work=work, plan=plan, export=export, send=send, again=again, experience=experience, save=save, open=open_
    )
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


def apply_verb_only(**options: object) -> None:
    """Refuses options that say something of a draft where there is none."""
    from hanse.contracts.errors import UsageError

    used = [f"--{'for' if name == 'work' else name}" for name, value in options.items() if value]
    if used:
        needs = "--suggest" if used[0] == "--experience" else "--draft FILE"
        raise UsageError(f"{used[0]} belongs to {needs}, which is not given.", fix=f"Give {needs} too.")
