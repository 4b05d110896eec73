"""What who operates a machine does to it: drain it, stop all of Hanse there, and take either back.

Every act is one event with its actor and reason.
"""

from __future__ import annotations

from typing import Any, Literal

from django.db import transaction

from hanse.contracts.errors import Conflict, UsageError
from hanse.service.runs import placing
from hanse.service.runs.events import Event
from hanse.service.runs.machines import Machine
from hanse.service.runs.operators import require_operator

Act = Literal["drain", "undrain", "stop", "go-on"]
ACTS: dict[str, tuple[str, bool, str]] = {
    "drain": ("draining", True, "drained"),
    "undrain": ("draining", False, "undrained"),
    "stop": ("stopped", True, "stopped"),
    "go-on": ("stopped", False, "released"),
}
"""The field an act sets, to what, and the last word of its event."""


def drain(machine: Machine, *, by: Any, because: str, move: bool = False) -> int:
    """Take nothing new there; with `move` what is there leaves for where it may go on. How many runs were asked to.

    Draining what is drained already is a conflict, unless it is to be cleared now.
    """
    require_operator(by, machine)
    if not (move and machine.draining):
        operate(machine, "drain", by=by, because=because)
    if not move:
        return 0
    Event.record("user:machine:cleared", machine.public_id, by=by.username, reason=because.strip())
    return placing.clear_out(machine, f"{machine.public_id} is drained: {because.strip()}", by=by.username)


def operate(machine: Machine, act: str, *, by: Any, because: str) -> None:
    """Do one of `ACTS`; its event carries the person's reason.

    Raises:
        PolicyError: the person does not operate the machine.
        UsageError: no such act, or no reason given.
        Conflict: the machine is in that state already.
    """
    require_operator(by, machine)
    if act not in ACTS:
        raise UsageError(f"{act!r} is nothing one does to a machine", where="act", fix=f"one of {', '.join(ACTS)}")
    if not because.strip():
        raise UsageError("the reason is missing", where="because", fix="say why; users and colleagues read it")
    field, value, word = ACTS[act]
    with transaction.atomic():
        turned = Machine.objects.filter(pk=machine.pk, **{field: not value})
        # Only this field is written: others of the row change with every word of the agent's.
        if not turned.update(**{field: value}):
            raise Conflict(f"{machine.public_id} is {word} already", where=machine.public_id)
        Event.record(f"user:machine:{word}", machine.public_id, by=by.username, reason=because.strip())
    machine.refresh_from_db()
