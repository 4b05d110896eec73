"""What a change of rules makes of stored answers, what a plan fills in, and the export of the ethics answers."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.contracts.errors import UsageError
from hanse.contracts.spec import DatasetSpec
from hanse.contracts.workload import Lora, Workload
from hanse.rules import ethics, gate, prefill
from hanse.rules.changes import compare
from hanse.rules.check import check
from hanse.rules.files import build, shipped
from tests.rules.parts import HEAD, NEEDS_BOTH, rule, rules, some_answers, some_days

DAY = date(2026, 11, 23)
OLD = rules(NEEDS_BOTH)
NEW = rules(NEEDS_BOTH, rule("no-arms", "{answer: military, is: true}", "deny"))


def workload(**changes: Any) -> Workload:
    fields: dict[str, Any] = {
        "name": "w", "context": 1000, "vocab": 100, "global_batch": 10, "total_tokens": 10**9, "parameters": 10**9,
        "flops_per_token": 6e9,
    }  # fmt: skip
    return Workload(**{**fields, **changes})


def test_a_new_rule_is_seen_in_stored_answers_and_nothing_else() -> None:
    answers = {"military": True, "open-data": True}
    shift = compare(OLD, NEW, answers, as_of=DAY)
    assert (shift.before, shift.after) == ("review", "stop")
    assert [one.rule for one in shift.appeared] == ["no-arms"]
    assert not shift.gone and shift.any
    back = compare(NEW, OLD, answers, as_of=DAY)
    assert [one.rule for one in back.gone] == ["no-arms"]


def test_a_rule_that_says_otherwise_is_named() -> None:
    milder = rules(NEEDS_BOTH, rule("no-arms", "{answer: military, is: true}", "review"))
    assert compare(NEW, milder, {"military": True, "open-data": True}, as_of=DAY).changed == ("no-arms",)


def test_a_new_question_is_open_in_old_answers() -> None:
    head = HEAD.replace("questions:", "questions:\n  - {id: new, text: Is it new?}")
    asks_more = rules(NEEDS_BOTH, rule("a", "{answer: new, is: true}", "deny"), head=head)
    assert compare(OLD, asks_more, {"military": False, "open-data": True}, as_of=DAY).new_questions == ("new",)


def test_two_days_are_compared_as_two_rule_sets_are() -> None:
    answers = {"everything-else": "harmless", "intimate-images": True}
    shift = compare(shipped(), shipped(), answers, as_of=date(2026, 12, 1), new_as_of=date(2026, 12, 2))
    assert (shift.before, shift.after) == ("review", "stop")
    assert [one.rule for one in shift.appeared] == ["ban.intimate-images"]


@settings(max_examples=10, deadline=None)
@given(some_answers(), some_days)
def test_the_same_rules_change_nothing(answers: dict[str, Any], on: date) -> None:
    assert not compare(shipped(), shipped(), {**answers, "everything-else": "harmless"}, as_of=on).any


def test_answers_to_other_rules_altogether_are_refused() -> None:
    with pytest.raises(UsageError, match="none of these answers"):
        compare(OLD, NEW, {"civilian-purpose": True}, as_of=DAY)


def test_a_new_rule_in_a_file_of_its_own_needs_no_code() -> None:
    texts = {
        "a.yaml": HEAD + NEEDS_BOTH,
        "b.yaml": "name: b\nversion: 2027-01-01\nrules:\n" + rule("arms", "{term: armed}", "deny"),
        "c.yaml": "name: c\nversion: 2026-01-01\nterms:\n  armed: {answer: military, is: true}\n",
    }
    both = build(texts)
    assert check({"military": "yes", "open-data": "yes"}, as_of=DAY, rules=both).outcome == "stop"
    assert both.version == date(2027, 1, 1)


@pytest.mark.parametrize(
    ("changes", "flops"),
    [
        ({}, 6e18),
        ({"active_parameters": 10**8}, 6e17),
        ({"training": "lora", "lora": Lora(), "trainable_parameters": 10**7}, (4e9 + 2e7) * 1e9),
        ({"training": "lora", "lora": Lora(), "trainable_parameters": 10**7, "active_parameters": 10**8}, 4.2e17),
        ({"training": "finetuning"}, 6e18),
    ],
)
def test_the_computation_follows_parameters_and_tokens(changes: dict[str, Any], flops: float) -> None:
    found, formula = prefill.training_flops(workload(**changes))
    assert found == pytest.approx(flops)
    assert "tokens" in formula


@given(st.integers(10**6, 10**12), st.integers(1, 10**6))
def test_adapters_take_less_than_training_all_of_it(parameters: int, trained: int) -> None:
    whole = prefill.training_flops(workload(parameters=parameters))[0]
    few = workload(parameters=parameters, training="lora", lora=Lora(), trainable_parameters=min(trained, parameters))
    assert prefill.training_flops(few)[0] <= whole


def test_a_plan_answers_what_it_knows_and_never_over_an_answer() -> None:
    tuned = prefill.from_workload(workload(training="finetuning"))
    assert prefill.fill({"general-purpose": "yes"}, tuned)["builds-on-model"] is True
    assert prefill.fill({"general-purpose": True, "builds_on_model": False}, tuned)["builds_on_model"] is False
    assert "builds-on-model" not in prefill.fill({"general-purpose": False}, tuned)
    data = prefill.from_datasets([DatasetSpec(name="letters", source="x", licence="own", personal_data=True)])
    assert prefill.fill({}, data) == {"personal-data": True}
    assert "letters" in data.because["personal-data"]
    assert prefill.from_datasets([DatasetSpec(name="law", source="x", licence="own")]).answers == {}


def test_europes_form_takes_six_of_the_seven_requirements() -> None:
    answers = {"ethics-privacy": True, "ethics-robustness": False}
    assert [one.described for one in ethics.altai(answers)] == [None, False, True, None, None, None, None]
    six = ethics.eurohpc(answers)
    assert len(six) == 6
    assert "Technical robustness and safety" not in {one.title for one in six}
    asked = {question.id for question in gate.questions(DAY)}
    assert set(ethics.REQUIREMENTS) <= asked


def test_a_small_programme_is_asked_two_dozen_questions_and_more_only_after_a_yes() -> None:
    first = [question for question in gate.questions(DAY) if question.follows is None]
    assert len(first) <= 24
