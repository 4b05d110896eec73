"""Ed25519 keys of a service, as raw bytes (RFC 8032) and base64 text."""

from __future__ import annotations

import base64
import binascii
import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from hanse.contracts.errors import TicketError

PRIVATE_KEY_BYTES = 32


def new_private_key() -> bytes:
    """A fresh private key: 32 bytes to be kept in a file that only the service can read."""
    return Ed25519PrivateKey.generate().private_bytes_raw()


def public_key_b64(private: bytes) -> str:
    """The public half of a private key, as agents and jobs are given it."""
    return base64.b64encode(private_key(private).public_key().public_bytes_raw()).decode()


def key_id(public_key_b64: str) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the public key."""
    return hashlib.sha256(_decoded(public_key_b64)).hexdigest()[:16]


def private_key(private: bytes) -> Ed25519PrivateKey:
    if len(private) != PRIVATE_KEY_BYTES:
        raise TicketError(
            f"the signing key has {len(private)} bytes, not {PRIVATE_KEY_BYTES}",
            fix="restore the service's ticket.key from its backup; a new one makes every issued ticket invalid",
        )
    return Ed25519PrivateKey.from_private_bytes(private)


def public_key(text: str) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(_decoded(text))


def _decoded(text: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != PRIVATE_KEY_BYTES:
        raise TicketError(
            "the service's public key is not 32 bytes in base64",
            fix="take ticket_key from the service's welcome to the agent",
        )
    return raw
