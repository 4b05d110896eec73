"""Hours that somebody has on a machine already, granted elsewhere: entered by who operates it here, and metered.

There is no application and no award behind them, and none is made up: for their use one answers to the site itself.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from django.db import transaction

from hanse.contracts.base import now
from hanse.contracts.errors import UsageError
from hanse.service.access.awards import Allocation
from hanse.service.access.people import Project
from hanse.service.runs.events import Event
from hanse.service.runs.machines import Machine
from hanse.service.runs.operators import require_operator


def enter(
    machine: Machine, *, by: Any, account: str, partition: str, accelerator_seconds: int, ends: date
) -> Allocation:
    """The allocation of that account on that machine: opened, or set to these hours and this end.

    Raises:
        PolicyError: the person does not operate the machine.
        UsageError: the end is past, or less is stated than is used and set aside already.
    """
    require_operator(by, machine)
    if ends < now().date():
        raise UsageError(f"{ends} is past", where="ends", fix="Give the day until which you have the hours.")
    from hanse.service.awarding.movements import Movement

    with transaction.atomic():
        # Two who enter the same at once would otherwise each find nothing, and open two.
        Machine.objects.select_for_update(no_key=True).get(pk=machine.pk)
        project, _ = Project.objects.get_or_create(
            organisation=machine.site.organisation, name=f"Own hours on {machine.public_id}"
        )
        place = {"machine": machine, "account": account, "partition": partition}
        found = Allocation.objects.filter(award=None, project=project, **place).order_by("pk").first()
        if found is None:
            return Allocation.open(
                by=by.username, project=project, granted_accelerator_seconds=accelerator_seconds,
                starts=now().date(), ends=ends, **place,
            )  # fmt: skip
        held = Allocation.locked(found.public_id)
        taken = held.granted_accelerator_seconds - held.free_accelerator_seconds
        if accelerator_seconds < taken:
            raise UsageError(
                f"{taken / 3600:,.1f} GPU-hours are used or set aside already", where="gpu_hours",
                fix="State at least as many.",
            )  # fmt: skip
        if (held.granted_accelerator_seconds, held.ends) != (accelerator_seconds, ends):
            Allocation.objects.filter(pk=held.pk).update(
                granted_accelerator_seconds=accelerator_seconds, ends=ends, ended_at=None
            )
            Movement.stated(held, accelerator_seconds - held.granted_accelerator_seconds, by=by.username)
            Event.record(
                "user:allocation:stated", held.public_id, by=by.username, machine=machine.public_id,
                accelerator_seconds=accelerator_seconds,
            )  # fmt: skip
        return Allocation.objects.get(pk=held.pk)
