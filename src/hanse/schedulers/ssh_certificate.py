"""When an OpenSSH certificate ends, read from its file. Layout of the fields: OpenSSH's PROTOCOL.certkeys."""

from __future__ import annotations

import base64
import binascii
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

_FIELDS_OF_THE_KEY: Final = {"ssh-ed25519": 1, "ssh-rsa": 2, "ecdsa-sha2": 2, "sk-ssh-ed25519": 2, "sk-ecdsa-sha2": 3}
_FOREVER: Final = 2**64 - 1


class Certificate(NamedTuple):
    key_id: str
    begins: datetime | None
    """None: has always been valid."""
    ends: datetime | None
    """None: never."""

    def fault(self, at: datetime) -> str:
        """What is wrong with it then; empty if nothing is."""
        if self.ends is not None and at >= self.ends:
            return f"the certificate ended at {self.ends:%Y-%m-%d %H:%M} UTC"
        if self.begins is not None and at < self.begins:
            return f"the certificate begins at {self.begins:%Y-%m-%d %H:%M} UTC only"
        return ""


def beside(key: Path) -> Path:
    """Where ssh looks for the certificate of a key."""
    return key.with_name(f"{key.name}-cert.pub")


def read(path: Path) -> Certificate:
    """Raises OSError, or ValueError if the file holds no certificate."""
    words = path.read_text(encoding="utf-8", errors="replace").split()
    try:
        kind, data = words[0], base64.b64decode(words[1], validate=True)
        strings = next(
            count for name, count in _FIELDS_OF_THE_KEY.items() if kind.startswith(name) and "-cert-" in kind
        )
        offset = 0
        for _ in range(2 + strings):  # the kind again, the nonce, the key
            _, offset = _string(data, offset)
        offset += 8 + 4  # serial, and whether it is a user's or a host's
        key_id, offset = _string(data, offset)
        _, offset = _string(data, offset)  # principals
        begins, ends = struct.unpack_from(">QQ", data, offset)
    except (IndexError, StopIteration, binascii.Error, struct.error) as error:
        raise ValueError(f"{path} holds no OpenSSH certificate") from error
    return Certificate(key_id.decode(errors="replace"), _moment(begins) if begins else None, _moment(ends))


def _string(data: bytes, offset: int) -> tuple[bytes, int]:
    (length,) = struct.unpack_from(">I", data, offset)
    if offset + 4 + length > len(data):
        raise struct.error("a field goes beyond the end")
    return data[offset + 4 : offset + 4 + length], offset + 4 + length


def _moment(seconds: int) -> datetime | None:
    try:
        return None if seconds == _FOREVER else datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None
