"""What a rule file may hold, and how a mistake in one is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.contracts.errors import SpecError
from hanse.rules.conditions import All, AnswerIs, AnyOf, Condition, FactIs, Known, Not, parts
from hanse.rules.files import shipped
from tests.rules.parts import NEEDS_BOTH, rule, rules

MILITARY = "{answer: military, is: true}"


@pytest.mark.parametrize(
    ("written", "names"),
    [
        (rule("a", "{answer: militry, is: true}", "deny"), ["rule a", "militry"]),
        (rule("a", "{fact: flop, above: 1}", "deny"), ["unknown fact", "flop"]),
        (rule("a", "{fact: where, above: 1}", "deny"), ["compares where"]),
        (rule("a", "{fact: flops, above: 1, below: 3}", "deny"), ["rules.a.when", "exactly one"]),
        (rule("a", "{if: military}", "deny"), ["rules.a.when", "answer, fact, all, any or not"]),
        (rule("a", "{all: []}", "deny"), ["rules.a.when", "at least 1"]),
        (rule("a", "{answer: military, is: 3}", "deny"), ["rules.a.when", "boolean"]),
        (rule("a", "__import__('os')", "deny"), ["rules.a.when"]),
        (rule("a", MILITARY, "stop"), ["rules.a.verdict"]),
        (rule("a", MILITARY, "deny", extra="condition: Keep it."), ["rules.a", "only there"]),
        (rule("a", MILITARY, "deny", extra="until: 2025-01-01"), ["rules.a", "after effective"]),
        (rule("a", MILITARY, "deny", extra="colour: red"), ["rules.a.colour"]),
        (rule("a", MILITARY, "deny") + rule("a", MILITARY, "deny"), ["same id: a"]),
        (rule("a", "{", "deny"), ["not YAML"]),
    ],
)
def test_a_mistake_is_named_with_file_rule_and_key(written: str, names: list[str]) -> None:
    with pytest.raises(SpecError) as raised:
        rules(NEEDS_BOTH, written)
    assert "test.yaml" in raised.value.where
    for name in names:
        assert name in str(raised.value)


def test_a_question_no_rule_needs_is_a_mistake() -> None:
    with pytest.raises(SpecError, match="no rule needs the question open-data"):
        rules(rule("a", MILITARY, "deny"))


def test_the_shipped_rules_are_honest_about_what_was_read() -> None:
    for one in shipped().rules:
        assert one.source.startswith("https://")
        assert one.last_verified >= one.effective or one.effective > shipped().version
        assert one.confidence != "unread" or one.verdict in {"condition", "review"}
    assert not [one.id for one in shipped().rules if one.confidence == "read"], "raise it together with who read what"


leaves = st.sampled_from([
    AnswerIs.model_validate({"answer": "a", "is": True}), AnswerIs.model_validate({"answer": "b", "is": False}),
    FactIs(fact="n", above=10), FactIs(fact="n", below=3), FactIs.model_validate({"fact": "t", "one_of": ["x", "y"]}),
])  # fmt: skip
conditions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda found: All(all=tuple(found))),
        st.lists(inner, min_size=1, max_size=3).map(lambda found: AnyOf(any=tuple(found))),
        inner.map(lambda one: Not.model_validate({"not": one})),
    ),
    max_leaves=8,
)
answers = st.fixed_dictionaries({"a": st.booleans(), "b": st.booleans()})
facts = st.fixed_dictionaries({"n": st.integers(0, 20), "t": st.sampled_from(["x", "z"])})


@given(conditions, answers, facts, st.sets(st.sampled_from(["a", "b", "n", "t"])))
def test_what_is_decided_with_less_known_stays_so_and_the_undecided_names_what_lacks(
    condition: Condition, given_answers: dict[str, bool], given_facts: dict[str, int | str], hidden: set[str]
) -> None:
    whole = condition.decide(Known(answers=given_answers, facts=given_facts, at_most={}))
    assert whole.holds is not None
    part = condition.decide(
        Known(
            answers={key: value for key, value in given_answers.items() if key not in hidden},
            facts={key: value for key, value in given_facts.items() if key not in hidden},
            at_most={"n": float(given_facts["n"])},
        )
    )
    if part.holds is None:
        assert part.questions | part.facts
        assert part.questions | part.facts <= hidden
    else:
        assert part.holds == whole.holds
    assert parts(condition)
