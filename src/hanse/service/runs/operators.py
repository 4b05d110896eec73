"""Who operates a machine: operators of the organisation that hosts it, and officers. Answered here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hanse.contracts.errors import PolicyError
from hanse.service.runs.machines import Machine


def may_operate(person: Any, machine: Machine) -> bool:
    return bool(person.is_active and (person.is_officer or person.operates(machine.site.organisation)))


def operated(person: Any, machines: Iterable[Machine]) -> frozenset[str]:
    """Which of many the person may operate, by their public ids, in one query."""
    if not person.is_active:
        return frozenset()
    if person.is_officer:
        return frozenset(machine.public_id for machine in machines)
    hosts = set(person.memberships.filter(role="operator").values_list("organisation_id", flat=True))
    return frozenset(machine.public_id for machine in machines if machine.site.organisation_id in hosts)


def require_operator(person: Any, machine: Machine) -> None:
    """Raises PolicyError for anybody else."""
    if not may_operate(person, machine):
        raise PolicyError(
            f"only an operator of {machine.site} or an officer operates {machine.public_id}",
            where=machine.public_id,
            fix=f"ask an operator of {machine.site}",
        )
