"""Rule sets for tests: small ones, written as the YAML a person would write."""

from __future__ import annotations

from datetime import date
from typing import Any

from hypothesis import reject
from hypothesis import strategies as st

from hanse.contracts.errors import UsageError
from hanse.rules.answers import read
from hanse.rules.files import parse, shipped
from hanse.rules.ruleset import Question, RuleSet

HEAD = """
name: test
version: 2026-01-01
facts:
  - {id: flops, label: the computation, kind: number, at_most: {fact: hours, times: 10, why: known}}
  - {id: hours, label: the hours, kind: number}
  - {id: where, label: the country, kind: text}
questions:
  - {id: military, text: Is it military?}
  - {id: open-data, text: Is the data open?}
rules:
"""


def rule(id: str, when: str, verdict: str, *, confidence: str = "read", extra: str = "") -> str:
    condition = "\n    condition: Keep it." if verdict == "condition" else ""
    return f"""
  - id: {id}
    title: {id}
    when: {when}
    verdict: {verdict}
    reason: Because of {id}.{condition}
    what_would_change_it: Another answer.
    for_whom: all
    citation: Art. 1
    source: https://law.example/1
    confidence: {confidence}
    effective: 2026-01-01
    last_verified: 2026-01-01
    {extra}
"""


NEEDS_BOTH = rule("both", "{any: [{answer: military, is: true}, {answer: open-data, is: false}]}", "review")


def rules(*written: str, head: str = HEAD) -> RuleSet:
    return parse(head + "".join(written), where="test.yaml")


_BY_ID: dict[str, Question] = {question.id: question for question in shipped().questions}


def with_parents(answers: dict[str, Any], id: str) -> dict[str, Any]:
    """The answers with a yes to whatever `id` follows."""
    parent = _BY_ID[id].follows
    return answers if parent is None else with_parents({**answers, parent: True}, parent)


def without_followers(answers: dict[str, Any], id: str) -> dict[str, Any]:
    """The answers without those to questions that follow `id`."""
    gone = {id}
    while more := {one.id for one in _BY_ID.values() if one.follows in gone} - gone:
        gone |= more
    return {key: value for key, value in answers.items() if key == id or key not in gone}


@st.composite
def some_answers(draw: st.DrawFn) -> dict[str, Any]:
    """A few answers that do not contradict each other."""
    answers: dict[str, Any] = {}
    for id in draw(st.lists(st.sampled_from(sorted(_BY_ID)), unique=True, max_size=8)):
        question = _BY_ID[id]
        if question.kind == "yes-no":
            value: Any = draw(st.booleans())
        elif question.kind == "date":
            value = draw(st.dates(date(2025, 1, 1), date(2030, 1, 1)))
        elif question.kind == "choice":
            value = draw(st.sampled_from(question.allowed))
        else:
            value = draw(st.lists(st.sampled_from(question.allowed), min_size=1, max_size=3, unique=True))
        answers = without_followers({**with_parents(answers, id), id: value}, id) if value is False else {
            **with_parents(answers, id), id: value,
        }  # fmt: skip
    return require_consistent(answers)


def require_consistent(answers: dict[str, Any]) -> dict[str, Any]:
    try:
        read(answers, {}, shipped(), as_of=date(2026, 11, 22))
    except UsageError:
        reject()
    return answers


some_days = st.dates(date(2024, 8, 1), date(2031, 1, 1))
some_facts = st.fixed_dictionaries(
    {}, optional={"training_flops": st.floats(0, 1e27), "gpu_hours": st.integers(0, 10**8), "title": st.text()}
)
