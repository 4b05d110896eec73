"""Signing tickets with the service's key: what an attempt may do, however long it waits in a queue."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import timedelta
from functools import cache

from django.conf import settings

from hanse.contracts.base import now
from hanse.contracts.job import JobSpec
from hanse.contracts.spec import TrainSpec
from hanse.contracts.ticket import SignedTicket, Ticket, TicketDataset
from hanse.service.homes import kept_secret
from hanse.tickets import keys, signing

QUEUE_TIME = timedelta(days=30)
"""Attempts wait that long in busy queues, and behind an agent that is away."""


@cache
def _private_key() -> bytes:
    return kept_secret(settings.SERVICE_FOLDER / "ticket.key", keys.new_private_key)


def public_key() -> str:
    """What agents and jobs check tickets against."""
    return keys.public_key_b64(_private_key())


def exchange_key(run_id: str, leg: str) -> bytes:
    """The 32 bytes (an Ed25519 private key) that one leg of a run signs its files with.

    Drawn from the ticket key by HMAC-SHA256 (RFC 5869, expand) for run and leg, so that it lies in no database.
    """
    return hmac.digest(_private_key(), f"hanse leg key 1\0{run_id}\0{leg}".encode() + b"\x01", "sha256")


def exchange_public_key(run_id: str, leg: str) -> str:
    return keys.public_key_b64(exchange_key(run_id, leg))


def ticket_for(
    job: JobSpec,
    spec: TrainSpec,
    *,
    code_sha256: str | None,
    max_accelerator_seconds: int,
    conditions: tuple[str, ...],
    permits: Mapping[str, str | None] | None = None,
    outer_sha256: str | None = None,
) -> SignedTicket:
    """The ticket of one attempt, for what its job asks and no more."""
    at = now()
    ticket = Ticket(
        run_id=job.run_id,
        attempt_id=job.attempt_id,
        machine=job.machine,
        spec_hash=spec.digest(),
        code_sha256=code_sha256,
        max_nodes=job.nodes,
        max_wall_time_s=job.wall_time_s,
        max_accelerator_seconds=max_accelerator_seconds,
        datasets=tuple(
            TicketDataset(name=d.name, source=d.source, licence=d.licence, permit=(permits or {}).get(d.name))
            for d in spec.data
        ),
        conditions=conditions,
        issued_at=at,
        expires_at=at + QUEUE_TIME + timedelta(seconds=job.wall_time_s),
        outer_sha256=outer_sha256,
    )
    return signing.sign(ticket, _private_key())
