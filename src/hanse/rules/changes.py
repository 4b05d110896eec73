"""What another version of the rules makes of the same answers: pure, so that stored answers can be asked again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from hanse.contracts.compliance import Shift
from hanse.contracts.errors import UsageError
from hanse.rules.check import check
from hanse.rules.ruleset import RuleSet


def compare(
    old: RuleSet,
    new: RuleSet,
    answers: Mapping[str, Any],
    *,
    as_of: date,
    new_as_of: date | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Shift:
    """What differs between two rule sets, or (`new_as_of`) between two days, on the same answers.

    An answer to a question that one of the two does not ask is not held against it.

    Raises:
        UsageError: the answers cannot be read by either, or contradict each other.
    """
    before = check(asked(old, answers), as_of=as_of, facts=facts, rules=old)
    after = check(asked(new, answers), as_of=new_as_of or as_of, facts=facts, rules=new)
    were, are = {one.rule: one for one in before.because}, {one.rule: one for one in after.because}
    duties_before, duties_after = ({one.id for one in each.obligations} for each in (before, after))
    same = [id for id in were.keys() & are.keys() if not id.startswith("gate.")]
    return Shift(
        before=before.outcome,
        after=after.outcome,
        appeared=tuple(one for id, one in are.items() if id not in were and not id.startswith("gate.")),
        gone=tuple(one for id, one in were.items() if id not in are and not id.startswith("gate.")),
        duties_added=tuple(sorted(duties_after - duties_before)),
        duties_dropped=tuple(sorted(duties_before - duties_after)),
        changed=tuple(sorted(
            id for id in same if (were[id].outcome, were[id].condition) != (are[id].outcome, are[id].condition)
        )),
        new_questions=tuple(id for id in after.open_questions if id not in before.open_questions),
    )  # fmt: skip


def asked(rules: RuleSet, answers: Mapping[str, Any]) -> dict[str, Any]:
    """The answers to questions these rules ask. Raises UsageError where that is none of them."""
    known = {*(one.id for one in rules.questions), *(one.id for one in rules.facts)}
    folded = {id.replace("_", "-") for id in known} | {"everything-else"}
    kept = {key: value for key, value in answers.items() if str(key).lower().replace("_", "-") in folded}
    if answers and not kept:
        raise UsageError("none of these answers is to a question of the rules", where="answers", fix="Check the ids.")
    return kept
