"""An application from options, a file or questions on a terminal, and what call and gate say of it beforehand."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
import typer

from hanse.cli.machine import LOCAL
from hanse.cli.output import interactive
from hanse.contracts.base import now
from hanse.contracts.decision import Decision, worst
from hanse.contracts.errors import UsageError
from hanse.contracts.programme import OrganisationKind

if TYPE_CHECKING:
    from hanse.contracts.programme import ApplicationForm

QUESTIONS: Mapping[str, str] = {
    "call": "Which call",
    "organisation": "Who applies (organisation)",
    "organisation_kind": "What it is",
    "country": "Its country (two letters)",
    "title": "The project's name",
    "purpose": "What it is for, in a sentence or two",
    "machine": "Which machine",
    "gpu_hours": "How many GPU-hours",
    "duration_months": "For how many months",
    "contact_email": "Where the decision is sent (e-mail)",
}
OPTIONS = {"organisation_kind": "--kind", "duration_months": "--months", "contact_email": "--email"}


def _value(text: str) -> bool | str | int | float:
    """An answer as it was meant: yes and no, numbers, else text."""
    if text.lower() in ("yes", "true", "no", "false"):
        return text.lower() in ("yes", "true")
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    return float(text) if re.fullmatch(r"-?\d+\.\d+", text) else text


def pairs(typed: Sequence[str]) -> dict[str, bool | str | int | float]:
    """The gate's answers from `id=value` as they were typed. Raises UsageError for one without a value."""
    made = {}
    for pair in typed:
        key, equals, text = pair.partition("=")
        if not equals:
            raise UsageError(f"--answer {pair!r} has no value.", fix="Write it as --answer question=yes.")
        made[key.strip()] = _value(text.strip())
    return made


def _checked(fields: Mapping[str, Any]) -> ApplicationForm:
    """The form, or the first mistake under the name of the option it came by."""
    from pydantic import ValidationError

    from hanse.contracts.programme import ApplicationForm

    try:
        return ApplicationForm.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0])
        option = OPTIONS.get(field, f"--{field.replace('_', '-')}")
        raise UsageError(f"{first['msg']}: {first['input']!r}.", where=option) from None


def form(given: Mapping[str, Any], answers: Sequence[str], source: Path | None) -> ApplicationForm:
    """The application: the file's values, overruled by options; what is missing is asked for where somebody can answer.

    Raises:
        UsageError: something is missing or wrong; it is named with its option, or its key and line in the file.
    """
    if source is not None:
        from hanse.contracts.programme import ApplicationForm
        from hanse.files import contract, document

        read = contract.build(ApplicationForm, document.read(source))
        merged = {**read.model_dump(), **given, "answers": {**read.answers, **pairs(answers)}}
        return _checked(merged)
    fields = dict(given)
    missing = [key for key in QUESTIONS if key not in fields]
    if missing and not interactive():
        listed = ", ".join(OPTIONS.get(key, f"--{key.replace('_', '-')}") for key in missing)
        raise UsageError(f"The application lacks {listed}.", fix="Give them, or write them into a file: --from FILE.")
    for key in missing:
        fields[key] = _prompted(key)
    fields["answers"] = pairs(answers)
    made = _checked(fields)
    return made.model_copy(update={"answers": asked(made)}) if interactive() else made


def _prompted(key: str) -> Any:
    """One field of the form, asked until the answer can be one."""
    if key == "organisation_kind":
        return typer.prompt(QUESTIONS[key], type=click.Choice(get_args(OrganisationKind)))
    if key == "call":
        from hanse.programme import calls

        return typer.prompt(QUESTIONS[key], type=click.Choice(calls.ids()))
    if key in ("gpu_hours", "duration_months"):
        return typer.prompt(QUESTIONS[key], type=click.IntRange(min=1))
    if key == "country":
        return typer.prompt(QUESTIONS[key]).strip().upper()
    return typer.prompt(QUESTIONS[key], default=LOCAL if key == "machine" else None)


def _confirmed(text: str) -> bool:
    """Yes or no, with no default: what a law asks is answered, not passed by with Enter."""
    lines = textwrap.wrap(text, max(shutil.get_terminal_size().columns - len(" [y/n]: "), 20))
    return typer.confirm("\n".join(lines), default=None)


def asked(made: ApplicationForm) -> dict[str, bool | str | int | float]:
    """The gate's questions, put to whoever sits there; those answered by option are not asked again."""
    from hanse.rules import gate

    answers: dict[str, bool | str | int | float] = dict(made.answers)
    group = ""
    for question in gate.questions(now().date()):
        if question.id in answers or (question.follows and not answers.get(question.follows)):
            continue
        if question.group != group:
            group = question.group
            typer.secho(f"\n{group}", bold=True)
        answers[question.id] = _confirmed(question.text)
    return answers


def screen(made: ApplicationForm) -> Decision:
    """What the call's terms and the gate's rules say, as the service will say it; a pure function of form and date."""
    from hanse.programme import calls, eligibility
    from hanse.rules import gate

    today = now().date()
    facts = made.model_dump(include={"organisation_kind", "country", "gpu_hours", "machine", "purpose", "title"})
    decision = gate.evaluate(made.answers, facts, subject="application", as_of=today)
    findings = (*eligibility.check(made, calls.load(made.call), today), *decision.findings)
    return decision.model_copy(update={"findings": findings, "verdict": worst(findings)})
