"""Whole files of answers against the shipped rules; the cases beside this file are made to be read by a lawyer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from hanse.rules.answers import HARMLESS, REST
from hanse.rules.check import check
from hanse.rules.files import shipped
from hanse.rules.judge import judge

FILES = sorted(Path(__file__).with_name("cases").glob("*.yaml"))
CASES: list[dict[str, Any]] = [
    {**case, "file": file.stem} for file in FILES for case in yaml.safe_load(file.read_text("utf-8"))
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['file']}: {case['case']}")
def test_the_shipped_rules_say(case: dict[str, Any]) -> None:
    rest = {} if case.get("rest") == "open" else {REST: HARMLESS}
    found = check({**case["answers"], **rest}, as_of=case["as_of"])
    spoke = [one.rule for one in found.because]
    assert found.outcome == case["outcome"], spoke
    assert (found.risk, list(found.roles)) == (case["risk"], case["roles"]), spoke
    duties = {one.id for one in found.obligations} - {"ai-literacy"}
    assert duties == set(case.get("duties", ())), spoke
    assert set(case.get("citations", ())) <= {one.citation for one in found.citations}
    assert set(case.get("because", ())) <= set(spoke)
    assert set(case.get("upcoming", ())) <= {one.rule for one in found.upcoming}


def test_there_are_cases_enough_and_none_is_told_twice() -> None:
    names = [(case["file"], case["case"]) for case in CASES]
    assert len(names) >= 120
    assert len(set(names)) == len(names)


def test_every_shipped_rule_speaks_in_a_case_or_lies_in_wait_for_one() -> None:
    named = {rule for case in CASES for key in ("because", "upcoming") for rule in case.get(key, ())}
    silent = {rule.id for rule in shipped().rules if rule.silent}
    left = {rule.id for rule in shipped().rules} - named - silent
    from hanse.rules.answers import read

    for case in CASES:
        known = read({**case["answers"], REST: HARMLESS}, {}, shipped(), as_of=case["as_of"]).known
        left -= {rule.id for rule, decided in judge(known, shipped(), case["as_of"]).now if decided.holds}
    assert not left
