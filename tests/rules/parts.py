"""Rule sets for tests: small ones, written as the YAML a person would write."""

from __future__ import annotations

from hanse.rules.ruleset import RuleSet, parse

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
