"""What follows "ready": the connection is saved, an agent of one's own speaks for the machine, its hours are there.

Only with the embedded service, whose user is alone with it; another service has operators and officers for that.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from hanse.cli import compute, embedded
from hanse.cli.home import Home
from hanse.cli.output import ProgramError
from hanse.contracts.base import now

if TYPE_CHECKING:
    from hanse.cli.connections import Connection
    from hanse.client.api import Client
    from hanse.contracts.programme import Allocation

SITE = "this-machine"
HELLO_WITHIN_S = 60.0
REASON = "The site granted these hours itself; here they are only counted."


def settle(here: Home, connection: Connection, gpu_hours: int) -> Allocation:
    """Make all that a launch needs; what is there already stays.

    Raises:
        ProgramError: the agent does not start, or is not heard of; its log says why.
    """
    from hanse.agent import credentials
    from hanse.client.api import Client

    machine = connection.machine.id
    service = embedded.ensure()
    client = Client(service.url, service.token)
    if credentials.read(here.agent(machine)) is None:
        token = client.enrol_agent(machine, SITE).token
        kept = credentials.Credentials(url=service.url, machine=machine, token=token, issued_at=now())
        credentials.keep(kept, here.agent(machine))
    embedded.restart_agent(machine)
    _wait_for_hello(here, client, machine)
    return _hours(client, connection, gpu_hours)


def _wait_for_hello(here: Home, client: Client, machine: str) -> None:
    deadline = time.monotonic() + HELLO_WITHIN_S
    while all(one.id != machine for one in client.machines()):
        if time.monotonic() > deadline:
            raise ProgramError(
                f"The agent of {machine} is not heard of.", where=str(here.logs / embedded.agent_log(machine)),
                fix=f"Try it in the foreground: hanse agent -m {machine}",
            )  # fmt: skip
        time.sleep(0.2)


def _answers() -> dict[str, bool | str | int | float]:
    """What `hanse connect` says its user answers for."""
    from hanse.rules import gate

    return {
        question.id: question.id in ("civilian-purpose", "data-rights") for question in gate.questions(now().date())
    }


def _hours(client: Client, connection: Connection, gpu_hours: int) -> Allocation:
    """An allocation that is charged to the account over there: the one made before, or one more."""
    from hanse.client.answers import DecisionRequest
    from hanse.contracts.programme import ApplicationForm
    from hanse.programme import calls

    machine, today = connection.machine.id, now().date()
    for one in client.allocations():
        if one.machine == machine and one.account == connection.account and one.starts <= today <= one.ends:
            return one
    terms = calls.load(compute.CALL)
    form = ApplicationForm(
        call=compute.CALL, organisation="Own hours", organisation_kind="start-up", country="DE",
        title=f"Own hours on {machine}", purpose=f"Use the hours of {connection.account} on {machine}.",
        machine=machine, gpu_hours=min(gpu_hours, terms.max_gpu_hours), duration_months=max(terms.durations_months),
        contact_email="me@here.example", answers=_answers(),
    )  # fmt: skip
    application = client.apply(form)
    decision = DecisionRequest(
        decision="grant", reason=REASON, override_reason=REASON, account=connection.account,
        partition=connection.partition,
    )  # fmt: skip
    granted = client.decide(application.id, decision)
    assert granted.allocation_id is not None
    return client.allocation(granted.allocation_id)
