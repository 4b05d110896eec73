"""What `hanse comply check` reads: a file of answers, a day, and where one is named the training they are about."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hanse.contracts.base import now
from hanse.contracts.errors import SpecError, UsageError

if TYPE_CHECKING:
    from hanse.contracts.compliance import Check
    from hanse.rules.prefill import Prefilled


def day(text: str | None) -> date:
    """The day meant; today where none is. Raises UsageError for what is no date."""
    if text is None:
        return now().date()
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(f"{text!r} is not a date.", where="--as-of", fix="Write it as 2026-12-02.") from None


def check(path: Path, as_of: str | None, plan: Path | None, *, rest_harmless: bool = False) -> Check:
    """The answer to a file. Raises UsageError naming the file and what in it is wrong."""
    from hanse.rules import check as checking
    from hanse.rules.answers import HARMLESS, REST
    from hanse.rules.prefill import fill

    answers, in_file = _answers(path)
    known = _prefilled(plan)
    filled = {**fill(answers, known), **({REST: HARMLESS} if rest_harmless else {})}
    try:
        return checking.check(filled, as_of=day(as_of or in_file), facts=known.facts)
    except SpecError:
        raise
    except UsageError as error:
        where = error.where if error.where.startswith("--") else f"{path}: {error.where}"
        raise UsageError(error.what, where=where, fix=error.fix, history=error.history) from None


def _answers(path: Path) -> tuple[dict[str, Any], str | None]:
    """The answers by id, and the day the file names; they may stand under a key `answers` of their own."""
    from hanse.files import document

    read = document.read(path)
    data = dict(read.data)
    as_of = next((str(data.pop(key)) for key in ("as-of", "as_of") if key in data), None)
    if set(data) == {"answers"}:
        inner = data["answers"]
        if not isinstance(inner, dict):
            raise read.error("must be lines of the form `question: answer`", ("answers",))
        data = inner
    for key, value in data.items():
        if isinstance(value, dict):
            raise read.error("must be an answer, not a block", (key,), "Write one line for each question.")
    return data, as_of


def _prefilled(plan: Path | None) -> Prefilled:
    from hanse.rules.prefill import Prefilled, from_training

    if plan is None:
        return Prefilled()
    from hanse.cli.planning import workload_for
    from hanse.workloads.load import load_spec

    spec = load_spec(plan)
    return from_training(spec, workload_for(spec, plan) if spec.model is not None else None)
