"""How verdicts come about, whatever the rules say."""

from __future__ import annotations

from datetime import date
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.contracts.decision import SEVERITY
from hanse.contracts.errors import UsageError
from hanse.rules import gate
from hanse.rules.files import shipped
from hanse.rules.ruleset import RuleSet
from tests.rules.parts import NEEDS_BOTH, rule, rules, some_answers, some_days, some_facts, with_parents

DAY = date(2026, 11, 22)
IS_MILITARY = "{answer: military, is: true}"


def test_a_denial_by_a_rule_nobody_read_becomes_a_review_and_says_so() -> None:
    of = rules(rule("no-arms", IS_MILITARY, "deny", confidence="unread"), NEEDS_BOTH)
    decision = gate.evaluate({"military": True, "open-data": True}, {}, subject="x", as_of=DAY, rules=of)
    finding = next(one for one in decision.findings if one.rule == "no-arms")
    assert (decision.verdict, finding.verdict, finding.confidence) == ("review", "review", "unread")
    assert "source was not read" in finding.reason


def test_a_denial_by_a_rule_that_was_read_about_stands_with_its_confidence() -> None:
    of = rules(rule("no-arms", IS_MILITARY, "deny", confidence="secondary"), NEEDS_BOTH)
    decision = gate.evaluate({"military": True, "open-data": True}, {}, subject="x", as_of=DAY, rules=of)
    assert decision.verdict == "deny"
    assert decision.findings[0].confidence == "secondary"


@pytest.mark.parametrize("military", [True, False])
def test_rules_nobody_read_do_not_allow_alone_by_speaking_or_by_silence(military: bool) -> None:
    of = rules(
        rule("fine", IS_MILITARY, "allow", confidence="unread"),
        rule("other", "{answer: open-data, is: false}", "deny", confidence="unread"),
    )
    decision = gate.evaluate({"military": military, "open-data": True}, {}, subject="x", as_of=DAY, rules=of)
    assert decision.verdict == "review"


def test_a_day_on_which_no_rule_is_in_force_asks_for_a_person() -> None:
    of = rules(NEEDS_BOTH)
    decision = gate.evaluate({}, {}, subject="x", as_of=date(2025, 12, 31), rules=of)
    assert decision.verdict == "review"
    assert gate.questions(date(2025, 12, 31), rules=of) == ()


def test_a_question_left_open_is_named_once_with_all_that_hangs_on_it() -> None:
    of = rules(NEEDS_BOTH, rule("arms", IS_MILITARY, "deny"))
    decision = gate.evaluate({"open-data": True}, {}, subject="x", as_of=DAY, rules=of)
    (finding,) = decision.findings
    assert finding.rule == "unanswered.military"
    assert "both; arms" in finding.reason


def test_a_question_that_cannot_matter_any_more_is_not_missed() -> None:
    of = rules(NEEDS_BOTH)
    decision = gate.evaluate({"open-data": False}, {}, subject="x", as_of=DAY, rules=of)
    assert [one.rule for one in decision.findings] == ["both"]


def test_an_unknown_answer_names_the_nearest_question() -> None:
    with pytest.raises(UsageError, match="civilian-purpos") as raised:
        gate.evaluate({"civilian-purposes": True}, {}, subject="x", as_of=DAY)
    assert "civilian-purpose?" in raised.value.fix


def test_an_answer_that_is_neither_yes_nor_no_is_refused() -> None:
    with pytest.raises(UsageError, match="neither yes nor no"):
        gate.evaluate({"civilian-purpose": "perhaps"}, {}, subject="x", as_of=DAY)


def test_a_fact_may_be_stated_by_the_applicant_and_a_plan_stands_above_it() -> None:
    answers = {question.id: question.id in {"civilian-purpose", "data-rights", "general-purpose"}
               for question in gate.questions(DAY)}  # fmt: skip
    stated = {**answers, "training_flops": 1e22}
    assert gate.evaluate(stated, {}, subject="x", as_of=DAY).verdict == "allow"
    assert gate.evaluate(stated, {"training_flops": 1e24}, subject="x", as_of=DAY).verdict == "condition"
    with pytest.raises(UsageError, match="cannot be the computation"):
        gate.evaluate({**answers, "training_flops": True}, {}, subject="x", as_of=DAY)


def test_an_applicant_cannot_state_the_facts_of_the_application() -> None:
    with pytest.raises(UsageError, match="no question 'gpu_hours'"):
        gate.evaluate({"gpu_hours": 1}, {}, subject="x", as_of=DAY)


def test_the_decision_names_the_rule_set_and_both_dates() -> None:
    decision = gate.evaluate({}, {}, subject="app-1", as_of=DAY)
    assert decision.decided_by == f"gate of {shipped().version}, as of 2026-11-22"
    assert decision.subject == "app-1"


@settings(max_examples=60, deadline=None)
@given(some_answers(), some_facts, some_days, st.integers(0, 10**9))
def test_neither_the_order_of_rules_nor_of_answers_changes_the_decision(
    answers: dict[str, Any], facts: dict[str, float], on: date, seed: int
) -> None:
    of = shipped()
    shuffled, reordered = list(of.rules), list(answers.items())
    Random(seed).shuffle(shuffled)
    Random(seed).shuffle(reordered)
    other = RuleSet.model_construct(**{**dict(of), "rules": tuple(shuffled)})
    first = gate.evaluate(answers, facts, subject="x", as_of=on)
    second = gate.evaluate(dict(reordered), facts, subject="x", as_of=on, rules=other)
    assert first.verdict == second.verdict
    assert {(f.rule, f.verdict) for f in first.findings} == {(f.rule, f.verdict) for f in second.findings}


@settings(max_examples=60, deadline=None)
@given(some_answers(), some_facts, some_days)
def test_the_worst_finding_wins_and_no_unread_rule_allows_or_denies(
    answers: dict[str, Any], facts: dict[str, float], on: date
) -> None:
    decision = gate.evaluate(answers, facts, subject="x", as_of=on)
    assert decision.findings
    assert SEVERITY[decision.verdict] == max(SEVERITY[one.verdict] for one in decision.findings)
    for finding in decision.findings:
        assert finding.confidence != "unread" or finding.verdict in {"condition", "review"}
        assert bool(finding.condition) == (finding.verdict == "condition")


@settings(max_examples=60, deadline=None)
@given(some_answers(), some_facts, some_days)
def test_only_a_complete_form_is_allowed_and_no_finding_is_lost_by_answering(
    answers: dict[str, Any], facts: dict[str, float], on: date
) -> None:
    before = gate.evaluate(answers, facts, subject="x", as_of=on)
    if any(one.rule.startswith("unanswered.") for one in before.findings):
        assert before.verdict in {"review", "deny"}
    complete = {question.id: False for question in shipped().questions if question.kind == "yes-no"} | answers
    for id in answers:
        complete = with_parents(complete, id) if answers[id] is not False else complete
    after = gate.evaluate(complete, facts, subject="x", as_of=on)
    settled = {f.rule for f in before.findings if not f.rule.startswith(("unanswered.", "gate."))}
    assert settled <= {finding.rule for finding in after.findings}
    assert not [one for one in after.findings if one.rule.startswith("unanswered.")]
