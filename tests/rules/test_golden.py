"""Whole applications against the shipped rules; the cases are data beside this file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from hanse.rules import gate
from hanse.rules.ruleset import shipped

CASES: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("golden.yaml").read_text("utf-8"))


def answers_of(case: dict[str, Any]) -> dict[str, bool]:
    if case.get("unanswered") == "all":
        return {}
    every = {question.id for question in shipped().questions}
    yes = set(case.get("answered_yes", ()))
    assert yes <= every, yes - every
    return {id: id in yes for id in every - set(case.get("unanswered", ()))}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_the_shipped_rules_say(case: dict[str, Any]) -> None:
    decision = gate.evaluate(answers_of(case), case.get("facts", {}), subject="golden", as_of=case["as_of"])
    deciding = [finding.rule for finding in decision.findings if not finding.rule.startswith("gate.")]
    assert decision.verdict == case["verdict"], decision.findings
    if case.get("only_unanswered"):
        assert deciding
        assert all(rule.startswith("unanswered.") for rule in deciding)
    else:
        assert sorted(deciding) == case["findings"]


def test_every_shipped_rule_decides_a_case_or_is_a_ban_that_another_stands_for() -> None:
    named = {rule for case in CASES for rule in case.get("findings", ())}
    left = {rule.id for rule in shipped().rules} - named
    assert all(rule.startswith("ban.") for rule in left - {"high-risk.product-to-come", "transparency.deep-fakes"}), (
        left
    )


def test_each_ban_denies_alone_from_its_day_and_not_before() -> None:
    harmless = {q.id: q.id in {"civilian-purpose", "data-rights"} for q in shipped().questions}
    bans = [rule for rule in shipped().rules if rule.id.startswith("ban.")]
    assert len(bans) == 10
    for ban in bans:
        answers = harmless | {ban.questions[0]: True}
        before = ban.effective.replace(day=ban.effective.day - 1)
        assert gate.evaluate(answers, {}, subject="x", as_of=ban.effective).verdict == "deny", ban.id
        assert gate.evaluate(answers, {}, subject="x", as_of=before).verdict in {"allow", "review"}, ban.id


def test_questions_of_a_ban_are_asked_from_its_day_on() -> None:
    first = next(rule for rule in shipped().rules if rule.id == "ban.social-scoring").effective
    assert "social-scoring" in {question.id for question in gate.questions(first)}
    assert "social-scoring" not in {question.id for question in gate.questions(first.replace(day=1))}
