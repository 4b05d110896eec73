"""The steps of a call's review in their order: which is next, and which findings a person corrected.

A call says its steps as data (CallTerms.review); what it does not name, its lane skips.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hanse.contracts.errors import UsageError
from hanse.contracts.programme import CallTerms
from hanse.contracts.review_steps import FindingWord, StepFinding, StepKind, StepState


def kinds(terms: CallTerms) -> tuple[StepKind, ...]:
    """The call's steps, each once."""
    return tuple(dict.fromkeys(one.kind for one in terms.review))


def by(terms: CallTerms, kind: StepKind) -> str:
    """Who does a step, in the call's words."""
    return next((one.by for one in terms.review if one.kind == kind), "")


def turn(terms: CallTerms, states: Mapping[StepKind, StepState]) -> StepKind | None:
    """The step whose turn it is; None: all are passed, or one failed."""
    for kind in kinds(terms):
        state = states.get(kind, "waiting")
        if state != "passed":
            return kind if state == "waiting" else None
    return None


def before(terms: CallTerms, kind: StepKind, states: Mapping[StepKind, StepState]) -> StepKind | None:
    """The first step before `kind` that is not passed; None: it is this one's turn, or the call has no such step."""
    order = kinds(terms)
    earlier = order[: order.index(kind)] if kind in order else ()
    return next((one for one in earlier if states.get(one, "waiting") != "passed"), None)


def corrected(findings: Iterable[StepFinding], words: Iterable[FindingWord]) -> tuple[StepFinding, ...]:
    """The findings with a person's corrections beside what was prepared.

    Raises:
        UsageError: there is no such finding, it stands twice, or its reason is missing.
    """
    every, said = tuple(findings), tuple(words)
    known = {one.id for one in every}
    for one in said:
        if one.id not in known:
            raise UsageError("there is no such finding", where=one.id, fix=f"correct one of {', '.join(sorted(known))}")
        if not one.reason.strip():
            raise UsageError("a correction needs its reason", where=one.id, fix="say what the finding did not know")
    word = {one.id: one for one in said}
    if len(word) < len(said):
        raise UsageError("a finding is corrected twice", where="corrections", fix="correct each once")
    return tuple(
        one.model_copy(update={"corrected": word[one.id].answer, "reason": word[one.id].reason.strip()})
        if one.id in word else one
        for one in every
    )  # fmt: skip
