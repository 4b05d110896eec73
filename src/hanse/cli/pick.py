"""Which run, and which allocation, is meant: by id, by a beginning of it, or the only one that fits."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from hanse.client.summary import RunSummary, run_summaries
from hanse.contracts.errors import UsageError
from hanse.contracts.units import format_gpu_hours

if TYPE_CHECKING:
    from hanse.client.http import Connection
    from hanse.contracts.programme import Allocation


def latest_runs(connection: Connection) -> list[RunSummary]:
    return sorted(run_summaries(connection), key=lambda run: run.created_at, reverse=True)


def run(connection: Connection, name: str | None) -> RunSummary:
    """The run meant by `name`: its id, its spec's name (the latest of them), or how its id begins; None is the latest.

    Raises:
        UsageError: none, or more than one.
    """
    listed = latest_runs(connection)
    if not listed:
        raise UsageError("You have no runs yet.", fix="'hanse launch train.yaml' makes one; 'hanse demo' shows how.")
    if name is None:
        return listed[0]
    exact = [one for one in listed if name == one.id] or [one for one in listed if name == one.name][:1]
    found = exact or [one for one in listed if one.id.startswith(name)]
    if len(found) == 1:
        return found[0]
    shown = ", ".join(one.id for one in (found or listed)[:5])
    if found:
        raise UsageError(f"More than one run begins with {name!r}: {shown}.", fix="Give more of its id.")
    raise UsageError(f"You have no run {name!r}.", fix=f"Your latest: {shown}. 'hanse status' lists all.")


def _refusal(one: Allocation, machines: Sequence[str], today: date) -> str:
    if one.machine not in machines:
        return f"{one.id} is on {one.machine}, not on {' or '.join(machines)}"
    if not one.starts <= today <= one.ends:
        return f"{one.id} is open from {one.starts:%-d %b %Y} to {one.ends:%-d %b %Y}"
    return f"{one.id} is used up: {format_gpu_hours(max(one.free_accelerator_seconds, 0))} free"


def allocation(
    allocations: Sequence[Allocation],
    machines: Sequence[str],
    cap_accelerator_seconds: int,
    chosen: str | None,
    today: date | None = None,
) -> Allocation:
    """What a run is charged to: `chosen`, or the only one that fits, in the order of `machines`.

    Whether its hours suffice is admission's to say; the run's cap only decides between several.

    Raises:
        UsageError: none fits, several do, or `chosen` is not among the person's.
    """
    today = today or datetime.now(UTC).date()
    if chosen is not None:
        for one in allocations:
            if one.id == chosen:
                return one
        known = ", ".join(one.id for one in allocations) or "none"
        raise UsageError(f"You have no allocation {chosen!r}.", fix=f"Yours: {known}.")
    usable = [one for one in allocations if one.starts <= today <= one.ends and one.free_accelerator_seconds > 0]
    for machine in machines:
        here = [one for one in usable if one.machine == machine]
        ample = [one for one in here if one.free_accelerator_seconds >= cap_accelerator_seconds]
        if len(here) == 1 or len(ample) == 1:
            return here[0] if len(here) == 1 else ample[0]
        if here:
            listed = ", ".join(f"{one.id} ({format_gpu_hours(one.free_accelerator_seconds)} free)" for one in here)
            raise UsageError(
                f"More than one of your allocations fits: {listed}.", fix=f"Choose one: --allocation {here[0].id}"
            )
    where = " or ".join(machines)
    raise UsageError(
        f"None of your allocations is open on {where}." if allocations else "You have no allocation to charge it to.",
        where=where if allocations else "",
        fix=f"Apply for one: hanse apply --call playground --machine {machines[0]}",
        history=tuple(_refusal(one, machines, today) for one in allocations),
    )
