"""Sign a ticket, and check one offline: right key, untouched, in its time.

The signature is Ed25519 over `Ticket.canonical()`; the first 16 hex digits of the SHA-256 of the key name it.
"""

from __future__ import annotations

import base64
import binascii
from datetime import datetime, timedelta

from cryptography.exceptions import InvalidSignature

from hanse.contracts.errors import TicketError
from hanse.contracts.ticket import SignedTicket, Ticket
from hanse.tickets import keys
from hanse.tickets.keys import key_id

__all__ = ["key_id", "sign", "verify"]

CLOCK_SKEW = timedelta(minutes=5)
"""Compute nodes are rarely further apart than that; a ticket may be used this long before it was issued."""


def sign(ticket: Ticket, private: bytes) -> SignedTicket:
    """The ticket with the service's signature over it."""
    signature = keys.private_key(private).sign(ticket.canonical())
    return SignedTicket(
        ticket=ticket, key_id=key_id(keys.public_key_b64(private)), signature=base64.b64encode(signature).decode()
    )


def verify(signed: SignedTicket, public_key_b64: str, *, at: datetime) -> Ticket:
    """The ticket inside, if it is the service's own, unaltered and valid at that time.

    Raises:
        TicketError: it is not; `what` says which of these.
    """
    ticket = signed.ticket
    where = f"ticket of {ticket.attempt_id}"
    if signed.key_id != key_id(public_key_b64):
        raise TicketError(
            f"it was signed with key {signed.key_id}, not with this service's {key_id(public_key_b64)}",
            where=where,
            fix="ask the service for a new ticket: hanse launch",
        )
    try:
        keys.public_key(public_key_b64).verify(base64.b64decode(signed.signature, validate=True), ticket.canonical())
    except (InvalidSignature, binascii.Error, ValueError) as error:
        raise TicketError(
            "its signature does not match what it says", where=where, fix="restore ticket.json as the service sent it"
        ) from error
    if at >= ticket.expires_at:
        raise TicketError(
            f"it expired at {ticket.expires_at:%Y-%m-%d %H:%M} UTC", where=where, fix="launch the run again"
        )
    if at < ticket.issued_at - CLOCK_SKEW:
        raise TicketError(
            f"it is not valid before {ticket.issued_at:%Y-%m-%d %H:%M} UTC", where=where, fix="set this machine's clock"
        )
    return ticket
