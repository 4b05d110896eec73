"""What a run will cost, said before it is submitted: in GPU-hours, the site's own unit, and its monthly quota."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from hanse.contracts.base import now
from hanse.contracts.errors import HanseError
from hanse.machines import quotas

if TYPE_CHECKING:
    from hanse.client.api import Client
    from hanse.contracts.machine import Machine
    from hanse.contracts.plan import Plan
    from hanse.contracts.programme import Allocation


def before_launch(client: Client, plan: Plan | None, charged: Allocation) -> tuple[str, ...]:
    """Sentences; none of a program of the user's, of which no time is known."""
    if plan is None:
        return ()
    from hanse.planning import cost

    machine = client.machine(charged.machine)
    return cost.before(plan, machine, charged, used_this_month(client, charged)).sentences()


def without_service(plan: Plan | None, machine: Machine) -> tuple[str, ...]:
    """What can be said without asking what is granted."""
    if plan is None:
        return ()
    from hanse.planning import cost

    told = cost.before(plan, machine).sentences()
    if quotas.of(machine.id) is None:
        return told
    return (*told, "A month's share of the award counts there; 'hanse launch' says what this run does to it.")


def used_this_month(client: Client, charged: Allocation) -> int:
    """Accelerator-seconds of the allocation since the month began; asked for only where the site gives a share a month.

    The site counts all jobs of the account, so that this is the least it may be.
    """
    if quotas.of(charged.machine) is None:
        return 0
    from hanse.client.usage import usage

    first = now().date().replace(day=1)
    with suppress(HanseError):  # a launch does not fail because a figure beside it is not to be had
        return sum(day.accelerator_seconds for day in usage(client, charged.id).by_day if day.day >= first)
    return 0
