"""What one attempt may do, signed by the service, lying beside the job and enforced offline."""

from __future__ import annotations

from typing import Literal

from hanse.contracts.base import Contract, Count, Identifier, Positive, Sha256, Timestamp


class TicketDataset(Contract):
    name: Identifier
    source: str
    licence: str
    permit: str | None = None


class Ticket(Contract):
    schema_version: Literal[1] = 1
    run_id: Identifier
    attempt_id: Identifier
    machine: Identifier
    spec_hash: Sha256
    code_sha256: Sha256 | None = None
    max_nodes: Positive
    max_wall_time_s: Positive
    max_accelerator_seconds: Count
    datasets: tuple[TicketDataset, ...] = ()
    conditions: tuple[str, ...] = ()
    issued_at: Timestamp
    expires_at: Timestamp


class SignedTicket(Contract):
    """`signature` is base64 of Ed25519 over `ticket.canonical()`.

    `key_id` is the first 16 hexadecimal digits of the SHA-256 of the public key.
    """

    ticket: Ticket
    key_id: str
    signature: str
