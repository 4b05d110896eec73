"""Answers of everything that may say no: admission, the gate, a site's policy, permits."""

from __future__ import annotations

from typing import Literal

from hanse.contracts.base import Contract, Identifier, Timestamp

Verdict = Literal["allow", "condition", "review", "deny"]


class Finding(Contract):
    """One check's answer. `rule` names the check or the rule; `citation` where it stands."""

    rule: Identifier
    verdict: Verdict
    reason: str
    citation: str = ""
    confidence: Literal["read", "secondary", "unread"] = "read"
    """Whether the rule's source was read; 'unread' never alone gives allow or deny."""
    condition: str = ""
    """With verdict condition: what must hold, as one sentence."""
    what_would_change_it: str = ""


class Decision(Contract):
    """The findings and what follows from them: the worst verdict wins."""

    subject: Identifier
    verdict: Verdict
    findings: tuple[Finding, ...]
    decided_at: Timestamp
    decided_by: str
    """A person, or the name and version of the rule set."""
    overridden_from: Verdict | None = None
    override_reason: str = ""

    @property
    def conditions(self) -> tuple[str, ...]:
        return tuple(f.condition for f in self.findings if f.verdict == "condition" and f.condition)


SEVERITY: dict[Verdict, int] = {"allow": 0, "condition": 1, "review": 2, "deny": 3}


def worst(findings: tuple[Finding, ...]) -> Verdict:
    return max((f.verdict for f in findings), key=SEVERITY.__getitem__, default="allow")
