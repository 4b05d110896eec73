"""An outer step: the mean of pseudo-gradients, weighted by tokens, and SGD with momentum as torch.optim.SGD has it.

    g = Σ (tokens_k / Σ tokens) · (θ − θ_k)     buf ← μ · buf + g     θ ← θ − η · (g + μ · buf)   (or η · buf)

Each operation by itself and legs in their order: a fused multiply-add of one processor would not be another's.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np

from hanse.contracts.outer import OuterTerms
from hanse.training.outer.quantise import Values


def mean(parts: Sequence[Values], tokens: Sequence[int]) -> Values:
    """The mean of the parts, each weighing as much as its tokens; zeros where nobody has trained on any."""
    total = sum(tokens)
    merged = np.zeros_like(parts[0])
    for part, count in zip(parts, tokens, strict=True):
        merged += part * np.float32(count / max(1, total))
    return merged


def stepped(weights: Values, momentum: Values, gradient: Values, terms: OuterTerms) -> tuple[Values, Values]:
    """(weights, momentum) after one outer step; momentum begins as zeros."""
    factor, rate = np.float32(terms.momentum), np.float32(terms.lr)
    buffer = momentum * factor
    buffer += gradient
    direction = buffer
    if terms.nesterov:
        direction = buffer * factor
        direction += gradient
    return weights - direction * rate, buffer


def norm(values: Values) -> float:
    """Euclidean; a sum of blocks, so that no copy in double precision is made of the whole."""
    pieces = (values[at : at + (1 << 20)].astype(np.float64) for at in range(0, len(values), 1 << 20))
    return math.sqrt(math.fsum(float(np.dot(each, each)) for each in pieces))


def fingerprint(weights: Values) -> str:
    """SHA-256 of fp32 values, little-endian: equal only if every bit is."""
    return sha256(weights.astype("<f4", copy=False).tobytes())


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
