"""What follows "ready": the connection is saved, an agent of one's own speaks for the machine, its hours are there.

Only with the embedded service, whose user is alone with it; another service has operators and officers for that.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from hanse.cli import embedded
from hanse.cli.home import Home
from hanse.cli.output import ProgramError
from hanse.contracts.base import now

if TYPE_CHECKING:
    from hanse.cli.connections import Connection
    from hanse.client.api import Client
    from hanse.contracts.programme import Allocation

SITE = "this-machine"
HELLO_WITHIN_S = 60.0
FOR_DAYS = 365
"""So long stated hours stand here; connecting again renews them. When they end there, the site says."""


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


def _hours(client: Client, connection: Connection, gpu_hours: int) -> Allocation:
    """What the account has over there, as its holder states it: from now on it is metered here."""
    from datetime import timedelta

    from hanse.client.answers import OwnHoursRequest

    hours = OwnHoursRequest(
        account=connection.account, partition=connection.partition or None, gpu_hours=gpu_hours,
        ends=now().date() + timedelta(days=FOR_DAYS),
    )  # fmt: skip
    return client.own_hours(connection.machine.id, hours)
