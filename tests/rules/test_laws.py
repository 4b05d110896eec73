"""Laws that hold of every file of answers and every day, whatever the rules say."""

from __future__ import annotations

from datetime import date
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.contracts.compliance import SEVERITY
from hanse.rules.answers import HARMLESS, REST, harmless
from hanse.rules.check import check
from hanse.rules.files import shipped
from tests.rules.parts import require_consistent, some_answers, some_days, with_parents, without_followers

BY_ID = {question.id: question for question in shipped().questions}
ordered = st.sampled_from([one.id for one in shipped().questions if harmless(one) is not None])
sets = st.sampled_from([one.id for one in shipped().questions if one.kind == "choices" and one.strict])
computations = st.sampled_from([0.0, 3.4e22, 1e23, 1.1e23, 3.4e24, 1e25, 1.1e25])
rests = st.sampled_from([{}, {REST: HARMLESS}])


def set_to(answers: dict[str, Any], id: str, value: Any) -> dict[str, Any]:
    changed = {**answers, id: value}
    changed = without_followers(changed, id) if value is False else changed
    return require_consistent(with_parents(changed, id))


@settings(max_examples=60, deadline=None)
@given(some_answers(), ordered, some_days, computations, rests)
def test_a_stricter_answer_never_gives_a_milder_outcome(
    answers: dict[str, Any], id: str, on: date, flops: float, rest: dict[str, Any]
) -> None:
    given_flops = {"training_flops": flops}
    strict = check({**set_to(answers, id, not harmless(BY_ID[id])), **rest}, as_of=on, facts=given_flops)
    mild = check({**set_to(answers, id, harmless(BY_ID[id])), **rest}, as_of=on, facts=given_flops)
    assert SEVERITY[strict.outcome] >= SEVERITY[mild.outcome]


@settings(max_examples=25, deadline=None)
@given(some_answers(), sets, some_days, computations, st.data())
def test_one_more_use_or_issue_never_gives_a_milder_outcome(
    answers: dict[str, Any], id: str, on: date, flops: float, data: st.DataObject
) -> None:
    few = data.draw(st.lists(st.sampled_from(BY_ID[id].allowed), min_size=1, max_size=2, unique=True))
    more = {*few, data.draw(st.sampled_from(BY_ID[id].allowed))}
    facts, rest = {"training_flops": flops}, {REST: HARMLESS}
    mild = check({**set_to(answers, id, few), **rest}, as_of=on, facts=facts)
    strict = check({**set_to(answers, id, sorted(more)), **rest}, as_of=on, facts=facts)
    assert SEVERITY[strict.outcome] >= SEVERITY[mild.outcome]


@settings(max_examples=25, deadline=None)
@given(some_answers(), some_days, computations, computations)
def test_more_computation_never_gives_a_milder_outcome(
    answers: dict[str, Any], on: date, one: float, other: float
) -> None:
    found = [check({**answers, REST: HARMLESS}, as_of=on, facts={"training_flops": flops}) for flops in (one, other)]
    first, second = found if one <= other else found[::-1]
    assert SEVERITY[second.outcome] >= SEVERITY[first.outcome]


@settings(max_examples=25, deadline=None)
@given(some_answers(), some_days, some_days, computations)
def test_a_later_day_drops_no_obligation_unless_a_rule_says_so(
    answers: dict[str, Any], one: date, other: date, flops: float
) -> None:
    early, late = sorted((one, other))
    facts = {"training_flops": flops}
    before = check({**answers, REST: HARMLESS}, as_of=early, facts=facts)
    after = check({**answers, REST: HARMLESS}, as_of=late, facts=facts)
    rules = {rule.id: rule for rule in shipped().rules}
    still = {duty.id for duty in after.obligations}
    began = [rule for rule in rules.values() if early < rule.effective <= late]
    lifted = {easing.duty for rule in began for easing in rule.eases if easing.lifts}
    for duty in before.obligations:
        until = rules[duty.rule].until
        assert duty.id in still | lifted or (until is not None and early < until <= late)


@settings(max_examples=15, deadline=None)
@given(some_answers(), some_days)
def test_what_is_said_is_whole_and_what_is_to_come_comes(answers: dict[str, Any], on: date) -> None:
    found = check(answers, as_of=on)
    assert found.because and found.risk == found.risks[0]
    assert all(one.citation and one.link.startswith("https://") for one in found.citations)
    assert all(one.on > on for one in found.upcoming)
    if found.open_questions:
        assert found.outcome in ("review", "stop")
    for one in found.upcoming:
        later = check(answers, as_of=one.on)
        assert SEVERITY[later.outcome] >= SEVERITY[one.outcome]
        spoke = {because.rule for because in later.because} | {duty.rule for duty in later.obligations}
        assert one.rule in spoke


@settings(max_examples=25, deadline=None)
@given(some_answers(), some_days)
def test_what_would_change_the_outcome_does(answers: dict[str, Any], on: date) -> None:
    found = check({**answers, REST: HARMLESS}, as_of=on)
    for change in found.would_change:
        assert change.outcome != found.outcome
        changed = set_to(found.answers, change.question, change.answer)
        assert check({**changed, REST: HARMLESS}, as_of=on).outcome == change.outcome
