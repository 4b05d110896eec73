"""Rates by size: measured curves, and what an accelerator reaches of its published peak where nothing was measured.

Measured matmul ceilings (best bf16 product over dense peak) and bus bandwidths: stas00/ml-engineering's accelerator and
network benchmarks. Size dependence of products: a fixed cost per tile wave gives rate ∝ m/(m + m½); 145 and 67 rows at
an A100's balance of FLOPs to bytes, fitted over some two thousand published runs.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hanse.contracts.machine import Accelerator, Curve, Link
from hanse.contracts.workload import Precision

Array = NDArray[np.float64]

_CEILINGS: Final[tuple[tuple[str, float], ...]] = (
    ("A100", 0.87), ("GH200", 0.84), ("GB200", 0.73), ("H100", 0.80), ("H200", 0.80), ("B200", 0.78), ("B300", 0.79),
    ("MI355X", 0.68), ("MI325X", 0.60), ("MI300X", 0.51), ("MI250X", 0.60),
)  # fmt: skip
"""MI250X: from published training runs on LUMI rather than a matmul benchmark."""

_UNKNOWN_CEILING: Final = 0.6
_TRAINING_OVER_BENCHMARK: Final = 0.89
"""Products inside a training run at this share of the best isolated ones (power, clocks, cold caches)."""

_HALF_ROWS: Final = 145.0
_HALF_COLUMNS: Final = 67.0
_A100_BALANCE: Final = 312e12 / 1.555e12
_BUS_OVER_LINK: Final = 0.78
"""Best all-reduce bus bandwidth over the link's own: A100 node 235 of 300, H200 ring 366 of 450, MI300X 313 of 448."""


def interpolate(curve: Curve, x: ArrayLike) -> Array:
    """The curve at `x` (any shape): linear in log x between points, clamped outside."""
    wanted = np.log(np.maximum(np.asarray(x, dtype=np.float64), np.finfo(np.float64).tiny))
    return np.asarray(np.interp(wanted, np.log(np.asarray(curve.x)), np.asarray(curve.y)), dtype=np.float64)


def ceiling(accelerator: Accelerator) -> tuple[float, bool]:
    """(share of dense peak the best product reaches, whether that was measured for this accelerator)."""
    for name, share in _CEILINGS:
        if name in accelerator.name:
            return share, True
    return _UNKNOWN_CEILING, False


def product_flops_per_s(
    accelerator: Accelerator, precision: Precision, m: ArrayLike, k: ArrayLike, n: ArrayLike, matmul: Curve | None
) -> Array:
    """FLOP/s of an m×k by k×n product inside a training, broadcast over the sizes.

    With a measured curve: its rate at 2·m·k·n FLOPs. Without: peak × ceiling, less for small m and n.
    """
    rows, inner, columns = (np.asarray(size, dtype=np.float64) for size in (m, k, n))
    if matmul is not None:
        return interpolate(matmul, 2.0 * rows * inner * columns)
    peak = accelerator.peak_flops[precision]
    best = peak * ceiling(accelerator)[0] * _TRAINING_OVER_BENCHMARK
    balance = peak / accelerator.memory_bytes_per_s / _A100_BALANCE
    return np.asarray(best / ((1 + _HALF_ROWS * balance / rows) * (1 + _HALF_COLUMNS * balance / columns)))


def bus_bytes_per_s(link: Link) -> float:
    """What collectives of large messages reach of a link, per rank and direction."""
    return link.bytes_per_s * _BUS_OVER_LINK
