"""What one attempt may do, signed by the service, lying beside the job and enforced offline."""

from __future__ import annotations

import json
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
    outer_sha256: Sha256 | None = None
    """`digest()` of the OuterTerms of a run with legs on several machines: whose files this leg may merge."""

    def canonical(self) -> bytes:
        """Without `outer_sha256` where there is none: tickets from before it stay as they were signed."""
        if self.outer_sha256 is not None:
            return super().canonical()
        fields = self.model_dump(mode="json", exclude={"outer_sha256"})
        return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


class SignedTicket(Contract):
    """`signature` is base64 of Ed25519 over `ticket.canonical()`.

    `key_id` is the first 16 hexadecimal digits of the SHA-256 of the public key.
    """

    ticket: Ticket
    key_id: str
    signature: str
