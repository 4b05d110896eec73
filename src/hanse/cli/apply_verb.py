"""What `hanse apply` does with a draft, in order: read, put in what was typed, fill, save, tell, export, send."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from hanse.cli import apply_draft, applying, views
from hanse.cli.output import interactive, print_json, require_file_can_be, tell
from hanse.contracts.errors import UsageError

if TYPE_CHECKING:
    from hanse.contracts.application import Draft
    from hanse.contracts.programme import CallTerms


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What is asked of a draft."""

    draft: Path | None = None
    plan: Path | None = None
    spare: float = 0.0
    again: bool = False
    export: Path | None = None
    send: bool = False
    suggest: bool = False
    check: bool = False
    as_json: bool = False
    experience: str | None = None


def refuse_both() -> None:
    """--from sends a short form at once; a draft is another file."""
    raise UsageError("--from and --draft or --suggest were given.", fix="Give one of them.")


def run(given: Mapping[str, Any], answers: Sequence[str], wishes: Wishes) -> None:
    """Do all that was asked.

    Raises:
        UsageError: something typed or written is wrong, or the draft is to be sent and is not complete.
    """
    if wishes.suggest:
        _suggest(given, wishes)
        return
    path = wishes.draft
    assert path is not None
    if wishes.export is not None:
        _require_known(wishes.export)
    before = apply_draft.read(path)
    terms = _terms(given.get("call") or before.call, asked_service=wishes.send)
    draft = before
    if given.get("call") or not path.exists() or any(value is not None for value in given.values()) or answers:
        rebound = terms if given.get("call") or before.call_version is None else None
        draft = apply_draft.with_options(before, given, applying.pairs(answers), rebound)
    if wishes.plan is not None:
        draft = apply_draft.with_plan(draft, wishes.plan, spare=wishes.spare, again=wishes.again)
    elif wishes.again:
        raise UsageError("--again needs the plan.", fix="Give it: --plan FILE.")
    _finish(draft, before, path, terms, wishes)


def _finish(draft: Draft, before: Draft, path: Path, terms: CallTerms | None, wishes: Wishes) -> None:
    from hanse.programme import completeness

    gaps = completeness.gaps(draft, terms)
    if draft != before or not path.exists():
        apply_draft.save(path, draft, gaps)
    if wishes.export is not None:
        _export(draft, terms, wishes.export)
    if wishes.send:
        _send(draft, path, terms, wishes)
        return
    if wishes.as_json:
        print_json({"draft": draft.model_dump(mode="json"), "gaps": [gap.model_dump() for gap in gaps]})
    else:
        tell(apply_draft.view(draft, terms, gaps))
    if wishes.check and gaps:
        raise typer.Exit(1)


def _suggest(given: Mapping[str, Any], wishes: Wishes) -> None:
    from hanse.cli import apply_suggest

    draft = apply_draft.read(wishes.draft) if wishes.draft else None
    made = apply_suggest.suggestion({**given, "experience": wishes.experience}, draft)
    print_json(made) if wishes.as_json else tell(apply_suggest.view(made))


def _terms(call: str | None, *, asked_service: bool) -> CallTerms | None:
    """The call's terms: those that come with Hanse; those a service publishes where one was chosen and it is theirs, or
    where the draft is to be sent.

    Raises:
        UsageError: there is no such call.
    """
    if call is None:
        return None
    from hanse.cli.connect import client as connect
    from hanse.cli.connect import configured
    from hanse.programme import calls

    if asked_service or (call not in calls.patterns() and configured() is not None):
        published = {terms.id: terms for terms in connect().calls()}
        if call not in published:
            listed = ", ".join(sorted(published))
            raise UsageError(f"The service has no call {call!r}.", where="--call", fix=f"It has: {listed}.")
        return published[call]
    return calls.load(call)


def _send(draft: Draft, path: Path, terms: CallTerms | None, wishes: Wishes) -> None:
    """Send it, or say the first thing that it lacks."""
    from hanse.cli.connect import client as connect
    from hanse.programme import completeness, drafts

    completeness.require(draft, terms, where=str(path))
    assert terms is not None
    form = drafts.form_of(draft, terms)
    if interactive():
        form = form.model_copy(update={"answers": applying.asked(form)})
        apply_draft.save(path, draft.model_copy(update={"answers": form.answers}), ())
    if wishes.check:
        decision = applying.screen(form)
        print_json(decision) if wishes.as_json else tell(views.decision(decision))
        raise typer.Exit(1 if decision.verdict == "deny" else 0)
    sent = connect().apply(form)
    if wishes.as_json:
        print_json(sent)
    else:
        tell("What call and gate say:", views.decision(applying.screen(form)), "", views.application(sent))


def _require_known(export: Path) -> None:
    if export.suffix not in (".html", ".json"):
        raise UsageError("A draft is exported as .html or .json.", where=str(export), fix="Name the file so.")
    require_file_can_be(export)


def _export(draft: Draft, terms: CallTerms | None, export: Path) -> None:
    from hanse.files.durable import write_atomically

    if export.suffix == ".json":
        write_atomically(export, draft.to_json())
        return
    from hanse.cli import apply_page

    write_atomically(export, apply_page.render(draft, terms))
