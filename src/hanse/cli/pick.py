"""Which run, and which allocation, is meant: by id, by a beginning of it, or the only one that fits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hanse.contracts.errors import UsageError
from hanse.contracts.units import format_gpu_hours

if TYPE_CHECKING:
    from hanse.client.api import Client
    from hanse.contracts.programme import Allocation
    from hanse.contracts.run import Run


def latest_first(runs: Sequence[Run]) -> list[Run]:
    return sorted(runs, key=lambda run: run.created_at, reverse=True)


def run(client: Client, name: str | None) -> Run:
    """The run called `name`, or whose id begins so; the latest one if `name` is None.

    Raises:
        UsageError: none, or more than one.
    """
    listed = latest_first(client.runs())
    if not listed:
        raise UsageError("You have no runs yet.", fix="'hanse launch train.yaml' makes one; 'hanse demo' shows how.")
    if name is None:
        return listed[0]
    exact = [one for one in listed if one.id == name]
    found = exact or [one for one in listed if one.id.startswith(name)]
    if len(found) == 1:
        return found[0]
    shown = ", ".join(one.id for one in (found or listed)[:5])
    if found:
        raise UsageError(f"More than one run begins with {name!r}: {shown}.", fix="Give more of its id.")
    raise UsageError(f"You have no run {name!r}.", fix=f"Your latest: {shown}. 'hanse status' lists all.")


def _fits(one: Allocation, machines: Sequence[str], needed: int) -> bool:
    return one.machine in machines and one.free_accelerator_seconds >= needed


def _refusal(one: Allocation, machines: Sequence[str]) -> str:
    if one.machine not in machines:
        return f"{one.id}: on {one.machine}, not on {' or '.join(machines)}"
    return f"{one.id}: {format_gpu_hours(one.free_accelerator_seconds)} free"


def allocation(
    allocations: Sequence[Allocation], machines: Sequence[str], needed_accelerator_seconds: int, chosen: str | None
) -> Allocation:
    """The allocation a run is charged to: `chosen`, or the only one that fits, in the order of `machines`.

    Raises:
        UsageError: none fits, several do, or `chosen` is not among the person's.
    """
    if chosen is not None:
        for one in allocations:
            if one.id == chosen:
                return one
        known = ", ".join(one.id for one in allocations) or "none"
        raise UsageError(f"You have no allocation {chosen!r}.", fix=f"Yours: {known}.")
    for machine in machines:
        fitting = [one for one in allocations if _fits(one, (machine,), needed_accelerator_seconds)]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            listed = ", ".join(f"{one.id} ({format_gpu_hours(one.free_accelerator_seconds)} free)" for one in fitting)
            raise UsageError(
                f"More than one of your allocations fits: {listed}.", fix=f"Choose one: --allocation {fitting[0].id}"
            )
    amount = format_gpu_hours(needed_accelerator_seconds)
    raise UsageError(
        f"None of your allocations has {amount} free on {' or '.join(machines)}."
        if allocations
        else "You have no allocation to charge this run to.",
        fix=f"Apply for one: hanse apply --call playground --machine {machines[0]}. "
        "Or lower where.max_gpu_hours, which is what a run reserves.",
        history=tuple(_refusal(one, machines) for one in allocations),
    )
