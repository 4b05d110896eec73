"""A fragment's values as bytes and back: fp32, bf16, int8 and 4-bit with a scale for every block of values.

All little-endian. What rounding takes away the sender keeps and adds to its next part (error feedback), so that over
the outer steps nothing is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hanse.contracts.errors import NotAsWritten
from hanse.contracts.outer import Codec

Values = npt.NDArray[np.float32]

BLOCK: Final[dict[Codec, int]] = {"int8": 256, "int4": 64}
"""Values that share one fp32 scale: 8.125 and 4.5 bits a value in all."""
_LARGEST: Final[dict[Codec, int]] = {"int8": 127, "int4": 7}


def encode(values: Values, codec: Codec) -> bytes:
    """The values as `encoded_bytes(len(values), codec)` bytes.

    Raises:
        ValueError: one of them is not finite.
    """
    if not np.isfinite(values).all():
        raise ValueError("not every value is finite")
    return _CODECS[codec].encode(values)


def decode(payload: bytes, count: int, codec: Codec) -> Values:
    """The inverse but for rounding.

    Raises:
        NotAsWritten: the payload has another length, or holds what is not finite.
    """
    if len(payload) != encoded_bytes(count, codec):
        raise NotAsWritten(
            f"{len(payload)} bytes; {count} values as {codec} are {encoded_bytes(count, codec)}",
            fix="The leg that sent it holds another model, or none of this version.",
        )
    with np.errstate(over="ignore", invalid="ignore"):
        values = _CODECS[codec].decode(payload, count)
    if not np.isfinite(values).all():
        raise NotAsWritten("it holds values that are not finite", fix="Its sender should have stopped; look at its log")
    return values


def encoded_bytes(count: int, codec: Codec) -> int:
    """Bytes of so many values."""
    if codec not in BLOCK:
        return count * (4 if codec == "fp32" else 2)
    return 4 * _blocks(count, codec) + (count if codec == "int8" else -(-count // 2))


def error_bound(values: Values, codec: Codec) -> Values:
    """The largest difference that rounding may make of each value, for |values| from 2**-100 to 2**100 or 0.

    bf16 keeps 8 significant bits: half a unit of the last is 2**-8 of the value. A block's values lie on a grid of
    step max/127 or max/7: half a step, and a little for the fp32 arithmetic.
    """
    if codec == "fp32":
        return np.zeros_like(values)
    if codec == "bf16":
        return np.abs(values) * np.float32(2.0**-8)
    scales = np.repeat(_scales(values, codec), BLOCK[codec])[: len(values)]
    return np.asarray(scales * np.float32(0.5001), dtype=np.float32)


def _blocks(count: int, codec: Codec) -> int:
    return -(-count // BLOCK[codec])


def _in_blocks(values: npt.NDArray[Any], codec: Codec) -> npt.NDArray[Any]:
    block = BLOCK[codec]
    return np.pad(values, (0, -len(values) % block)).reshape(-1, block)


def _scales(values: Values, codec: Codec) -> Values:
    highest = np.abs(_in_blocks(values, codec)).max(axis=1, initial=0.0)
    return np.asarray(highest / np.float32(_LARGEST[codec]), dtype=np.float32)


def _levels(values: Values, codec: Codec) -> tuple[Values, npt.NDArray[np.int8]]:
    scales, largest = _scales(values, codec), _LARGEST[codec]
    divisors = np.where(scales > 0, scales, np.float32(1))[:, None]
    levels = np.clip(np.rint(_in_blocks(values, codec) / divisors), -largest, largest).astype(np.int8)
    return scales, levels.reshape(-1)[: len(values)]


def _scaled(scales: Values, levels: npt.NDArray[np.int8], codec: Codec) -> Values:
    rows = _in_blocks(levels, codec).astype(np.float32) * scales[:, None]
    return np.asarray(rows.reshape(-1)[: len(levels)], dtype=np.float32)


def _encode_fp32(values: Values) -> bytes:
    return values.astype("<f4").tobytes()


def _decode_fp32(payload: bytes, count: int) -> Values:
    return np.frombuffer(payload, dtype="<f4", count=count).astype(np.float32)


def _encode_bf16(values: Values) -> bytes:
    """The upper half of fp32, rounded to nearest, ties to even; what would become infinite stays the largest."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    rounded = (bits.astype(np.uint64) + 0x7FFF + ((bits >> 16) & 1)) >> 16
    infinite = (rounded & 0x7F80) == 0x7F80
    return np.where(infinite, rounded - 1, rounded).astype("<u2").tobytes()


def _decode_bf16(payload: bytes, count: int) -> Values:
    half = np.frombuffer(payload, dtype="<u2", count=count).astype(np.uint32)
    return (half << 16).view(np.float32)


def _encode_int8(values: Values) -> bytes:
    scales, levels = _levels(values, "int8")
    return scales.astype("<f4").tobytes() + levels.tobytes()


def _decode_int8(payload: bytes, count: int) -> Values:
    cut = 4 * _blocks(count, "int8")
    return _scaled(_decode_fp32(payload[:cut], cut // 4), np.frombuffer(payload[cut:], dtype=np.int8), "int8")


def _encode_int4(values: Values) -> bytes:
    """Two levels a byte, the first in the lower half, each as level + 8."""
    scales, levels = _levels(values, "int4")
    shifted = np.pad((levels + 8).astype(np.uint8), (0, len(levels) % 2), constant_values=8)
    return scales.astype("<f4").tobytes() + (shifted[0::2] | (shifted[1::2] << 4)).tobytes()


def _decode_int4(payload: bytes, count: int) -> Values:
    cut = 4 * _blocks(count, "int4")
    packed = np.frombuffer(payload[cut:], dtype=np.uint8)
    both = np.stack([packed & 15, packed >> 4], axis=1).reshape(-1)[:count].astype(np.int8)
    return _scaled(_decode_fp32(payload[:cut], cut // 4), both - np.int8(8), "int4")


@dataclass(frozen=True, slots=True)
class _Codec:
    encode: Callable[[Values], bytes]
    decode: Callable[[bytes, int], Values]


_CODECS: Final[dict[Codec, _Codec]] = {
    "fp32": _Codec(_encode_fp32, _decode_fp32), "bf16": _Codec(_encode_bf16, _decode_bf16),
    "int8": _Codec(_encode_int8, _decode_int8), "int4": _Codec(_encode_int4, _decode_int4),
}  # fmt: skip
