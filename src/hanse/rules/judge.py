"""Which rules speak: each condition decided over what is known, and left out where it speaks to others' roles."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from hanse.contracts.compliance import Role
from hanse.contracts.decision import Verdict
from hanse.rules.conditions import Known, Outcome
from hanse.rules.ruleset import Rule, RuleSet

ROLES = "roles"
"""The question whose answer says who somebody is; no rule speaks to others then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """`now` are the rules in force, `later` those that begin after the day; `roles` whoever the answers are about."""

    now: tuple[tuple[Rule, Outcome], ...]
    later: tuple[tuple[Rule, Outcome], ...]
    roles: tuple[Role, ...]


def judge(known: Known, rules: RuleSet, as_of: date) -> Judged:
    """Where roles are not stated, they are those that rules assign, and those whose duties such a project brings."""
    decided = [(rule, rule.when.decide(known)) for rule in rules.rules if rule.until is None or rule.until > as_of]
    stated = known.answers.get(ROLES) if ROLES in known.stated else None
    mine = set(stated) if isinstance(stated, frozenset) else None
    held = [rule for rule, outcome in decided if outcome.holds and rule.effective <= as_of]
    roles = {role for rule in held if mine is None or _is_for(rule, mine) for role in rule.assigns} | (mine or set())
    concerned = [(rule, outcome) for rule, outcome in decided if _is_for(rule, roles)]
    if mine is None:
        duties = [duty for rule in held if not rule.roles for duty in rule.duties]
        roles |= {duty.roles[0] for duty in duties if duty.roles and roles.isdisjoint(duty.roles)}
    return Judged(
        now=tuple((rule, outcome) for rule, outcome in concerned if rule.effective <= as_of),
        later=tuple((rule, outcome) for rule, outcome in concerned if rule.effective > as_of),
        roles=tuple(sorted(roles)),  # type: ignore[arg-type]
    )


def verdict_of(rule: Rule) -> Verdict:
    """A rule whose source was not read never alone lets pass or stops."""
    return "review" if rule.confidence == "unread" and rule.verdict in ("allow", "deny") else rule.verdict


def _is_for(rule: Rule, roles: set[str]) -> bool:
    return not rule.roles or not roles.isdisjoint(rule.roles)
