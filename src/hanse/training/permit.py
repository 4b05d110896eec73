"""The ticket, enforced where data is opened: offline, on every node, before a byte of a dataset is read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from hanse.contracts import jobenv
from hanse.contracts.base import now
from hanse.contracts.errors import TicketError
from hanse.contracts.ticket import SignedTicket, Ticket
from hanse.training.job import Job
from hanse.training.say import say

BY_HAND = "To train by hand without a service, say so: hanse train --no-ticket."


def require(job: Job, *, no_ticket: bool = False, environment: Mapping[str, str] = os.environ) -> Ticket | None:
    """The attempt's ticket, if it is genuine and covers the nodes and every dataset of the spec.

    `no_ticket` skips all of this and says so in the log.

    Raises:
        TicketError: there is none, it cannot be verified, or it does not cover what is asked.
    """
    if no_ticket:
        if job.node_rank == 0:
            say("NO TICKET: --no-ticket was given; nobody has allowed this run or its data, and nothing is metered.")
        return None
    ticket = _verified(job.attempt.ticket, environment)
    where = str(job.attempt.ticket)
    if job.nodes > ticket.max_nodes:
        raise TicketError(
            f"it allows {ticket.max_nodes} nodes; the job holds {job.nodes}", where=where, fix="Launch the run again."
        )
    require_exchange(job, ticket)
    for dataset in job.spec.data:
        _require_dataset(job, ticket, dataset.name, dataset.source, where)
    return ticket


def require_exchange(job: Job, ticket: Ticket) -> None:
    """Raises TicketError unless the ticket names the very terms by which this leg merges what others send, or none."""
    terms = job.outer.terms if job.outer is not None else None
    if ticket.outer_sha256 == (terms.digest() if terms is not None else None):
        return
    where, fix = str(job.attempt.ticket), "Launch the run again; the service writes ticket and terms together."
    if terms is None:
        raise TicketError(f"it is for a leg of several, and {job.run.outer.name} is missing", where=where, fix=fix)
    raise TicketError(f"it does not allow the terms in {job.run.outer.name}", where=where, fix=fix)


def _verified(path: Path, environment: Mapping[str, str]) -> Ticket:
    from hanse.tickets.signing import verify

    key = environment.get(jobenv.TICKET_KEY, "")
    if not key:
        raise TicketError(f"{jobenv.TICKET_KEY} is not set, so that no ticket can be checked", fix=BY_HAND)
    try:
        signed = SignedTicket.from_json(path.read_bytes())
    except FileNotFoundError as error:
        raise TicketError("the attempt has no ticket", where=str(path), fix=BY_HAND) from error
    except ValidationError as error:
        raise TicketError(
            "it is no ticket", where=str(path), fix="Restore ticket.json as the service sent it."
        ) from error
    return verify(signed, key, at=now())


def _require_dataset(job: Job, ticket: Ticket, name: str, source: str, where: str) -> None:
    allowed = next((each for each in ticket.datasets if each.name == name), None)
    if allowed is None:
        known = ", ".join(each.name for each in ticket.datasets) or "none"
        raise TicketError(
            f"it does not name the dataset {name} (it names: {known})", where=where,
            fix="Launch the run again with this dataset, so that it can be admitted.",
        )  # fmt: skip
    # A path in train.yaml is relative to the run's folder; the ticket may hold it as it was written.
    if source not in (allowed.source, str(job.run.root / allowed.source)):
        raise TicketError(
            f"it allows the dataset {name} from {allowed.source}, not from {source}", where=where,
            fix="Launch the run again; a ticket covers one source.",
        )  # fmt: skip
