"""The six digits that an authenticator app shows now (RFC 6238: SHA-1, thirty seconds)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
import time


def code_of(secret: str) -> str:
    counter = struct.pack(">Q", int(time.time()) // 30)
    told = hmac.new(base64.b32decode(secret), counter, hashlib.sha1).digest()
    start = told[-1] & 0xF
    return f"{(int.from_bytes(told[start : start + 4], 'big') & 0x7FFFFFFF) % 10**6:06}"
