"""What legs of a run across machines send one another: between each two machines one parcel, ordered again and again.

A sender's agent packs whatever is new in the leg's outbox, as soon as there is something; the receiver's puts it into
the inbox there; then the same row is ordered anew, under a new id. So no rows grow with the length of a training; what
every outer step brought stands in the legs' own audit trails. It goes on while the run does, also where a leg's job has
ended: the others may still need what it sent last.
"""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction

from hanse.contracts.agentapi import Exchange
from hanse.contracts.base import now
from hanse.contracts.errors import Conflict
from hanse.contracts.outer import OuterLaunch
from hanse.contracts.parcel import Parcel as ParcelContract
from hanse.contracts.run import FINAL_RUN_STATES
from hanse.service.records import new_id
from hanse.service.runs import issue
from hanse.service.runs.events import Event
from hanse.service.runs.machines import Machine
from hanse.service.runs.parcels import WAITED_FOR, Parcel

AGAIN_AFTER: Final = timedelta(minutes=1)
"""A parcel that was refused is asked for again; its reason stands until then."""


def begin(run: Any, machines: list[Machine], *, by: str) -> None:
    """The first order between each two of its machines."""
    for source in machines:
        for target in machines:
            if source.pk != target.pk:
                Parcel.order(run, "outer", source, target, by=by)


def go_on(parcel: Parcel) -> None:
    """It arrived, or failed a while ago: ask for what has come into the outbox since."""
    with transaction.atomic():
        parcel = Parcel.objects.select_for_update(of=("self",)).select_related("run__project").get(pk=parcel.pk)
        over = parcel.run.across is None or parcel.run.state in FINAL_RUN_STATES
        if over or parcel.state not in {"arrived", "failed"}:
            return
        parcel.give_back_pieces()
        carried = parcel.total_bytes if parcel.state == "arrived" else 0
        Parcel.objects.filter(pk=parcel.pk).update(
            public_id=new_id("par"), state="asked", reason="", manifest=None, total_bytes=0, sent_bytes=0,
            fetched_bytes=0, ordered_at=now(), ready_at=None, ended_at=None, pruned_at=None,
            carried_bytes=parcel.carried_bytes + carried, times=parcel.times + (parcel.state == "arrived"),
        )  # fmt: skip


def to_bring(machine: Machine) -> tuple[ParcelContract, ...]:
    """What its agent is to put into inboxes now."""
    ready = Parcel.objects.filter(to_machine=machine, kind="outer", state="ready").exclude(
        run__state__in=FINAL_RUN_STATES
    )  # fmt: skip
    return tuple(parcel.contract() for parcel in ready)


def look_after(at: datetime) -> int:
    """Ask again for what was refused, and end what belongs to runs that have ended. Idempotent."""
    rows = Parcel.objects.filter(kind="outer", run__across__isnull=False)
    refused = rows.filter(state="failed", ended_at__lt=at - AGAIN_AFTER).exclude(run__state__in=FINAL_RUN_STATES)
    changed = 0
    for parcel in (*refused, *rows.filter(state="arrived").exclude(run__state__in=FINAL_RUN_STATES)):
        go_on(parcel)
        changed += 1
    for parcel in rows.filter(state__in=(*WAITED_FOR, "ready"), run__state__in=FINAL_RUN_STATES):
        parcel.give_up(by="tick", reason="the run has ended")
        changed += 1
    return changed


def exchange_for(attempt: Any) -> Exchange:
    """What the agent of an attempt's machine writes for it.

    Raises:
        Conflict: it is of an ordinary run, or the service signs with another key than at the launch.
    """
    run, leg = attempt.leg.run, attempt.leg
    if run.across is None:
        raise Conflict("this attempt is of a run on one machine", where=attempt.public_id)
    key = issue.exchange_key(run.public_id, leg.slot)
    if issue.exchange_public_key(run.public_id, leg.slot) != run.across.leg(leg.slot).public_key:
        raise Conflict(
            "the service's ticket key has changed since the launch", where=run.public_id, fix="launch the run again"
        )
    Event.note(
        "service:leg:key", leg.public_id, by=attempt.machine.actor, run=run.public_id,
        reason="what the leg signs with was given to its machine's agent",
    )  # fmt: skip
    return Exchange(launch=OuterLaunch(leg=leg.slot, terms=run.across), key=base64.b64encode(key).decode())
