"""Rates by size: measured curves, and what an accelerator reaches of its published peak where nothing was measured.

Measured matmul ceilings (best bf16 product over dense peak) and bus bandwidths: stas00/ml-engineering's accelerator and
network benchmarks. Size dependence of products: a fixed cost per tile wave gives rate ∝ m/(m + m½); 145 and 67 rows at
an A100's balance of FLOPs to bytes, fitted over some two thousand published runs.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import yaml
from numpy.typing import ArrayLike, NDArray

from hanse.contracts.machine import Accelerator, Curve, Link
from hanse.contracts.workload import Precision
from hanse.machines import accelerators

Array = NDArray[np.float64]

_CEILINGS: Final[tuple[tuple[str, float], ...]] = (
    ("A100", 0.87), ("GH200", 0.84), ("GB200", 0.73), ("GB300", 0.75), ("H100", 0.80), ("H200", 0.80), ("B200", 0.78),
    ("B300", 0.79), ("MI355X", 0.68), ("MI325X", 0.60), ("MI300X", 0.51), ("MI250X", 0.60),
)  # fmt: skip
"""Where an accelerator does not say itself. MI250X: from published training runs on LUMI, not a matmul benchmark."""

_OF_ARCHITECTURE: Final = {
    "volta": 0.80, "ampere": 0.80, "ada": 0.75, "hopper": 0.72, "blackwell": 0.75, "cdna2": 0.60, "cdna3": 0.52,
    "cdna4": 0.63, "gaudi2": 0.90, "gaudi3": 0.74, "tpu-v3": 0.85, "tpu-v4": 0.85, "tpu-v5e": 0.85, "tpu-v5p": 0.85,
    "tpu-v6e": 0.80,
}  # fmt: skip
"""Of a generation's parts that nobody measured."""
_UNKNOWN_CEILING: Final = 0.6
_INSTEAD: Final = {"NVIDIA GB300 279 GB": 0.79}
"""The table has a GB200's for it, which has 1200 W for the same peak; this one has 1400 W: by the root of the power."""
_UNITS: Final = {
    "volta": 80, "ampere": 108, "ada": 142, "hopper": 132, "blackwell": 148, "cdna2": 110, "cdna3": 304, "cdna4": 256,
}  # fmt: skip
_UNITS_NAMED: Final = {"A100": 108, "H100 PCIe": 114, "H100": 132, "H200": 132, "H20": 78, "B200": 148, "MI250X": 110}
_ASYNCHRONOUS: Final = ("hopper", "blackwell")
_ASYNCHRONOUS_NAMES: Final = ("H100", "H200", "H800", "H20", "B200", "B300")
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
    """(share of dense 16-bit peak the best product reaches, whether that was measured for this accelerator)."""
    if (own := _INSTEAD.get(accelerator.name)) is not None:
        return own, False
    if (own := accelerator.best_matmul.get("bf16")) is not None:
        return own, True
    for name, share in _CEILINGS:
        if name in accelerator.name:
            return share, True
    return _OF_ARCHITECTURE.get(accelerator.architecture or "", _UNKNOWN_CEILING), False


def units(accelerator: Accelerator) -> int:
    """Multiprocessors, or compute units, of the generation's largest part; 0 where that is not known."""
    named = next((count for name, count in _UNITS_NAMED.items() if name in accelerator.name), 0)
    return named or _UNITS.get(accelerator.architecture or "", 0)


def newer(accelerator: Accelerator) -> bool:
    """Whether its kernels are asynchronous, so that attention written for the generation before stays behind."""
    if accelerator.architecture is not None:
        return accelerator.architecture.startswith(_ASYNCHRONOUS)
    return any(name in accelerator.name for name in _ASYNCHRONOUS_NAMES)


class TrainingFactors(NamedTuple):
    """Published trainings over what is usual: rate of products, host time for launches."""

    products: float = 1.0
    host: float = 1.0


def training_factors(accelerator: Accelerator) -> TrainingFactors:
    """Both 1 for what has no published runs."""
    if not accelerators.known(accelerator.name):
        return TrainingFactors()
    return TrainingFactors(**_factors().get(accelerators.key(accelerator.name), {}))


def validated(accelerator: Accelerator) -> bool:
    """Whether published trainings on it took part in the fit."""
    return accelerators.known(accelerator.name) and accelerators.key(accelerator.name) in _factors()


@cache
def _factors() -> dict[str, dict[str, float]]:
    given: dict[str, dict[str, float]] = yaml.safe_load(Path(__file__).with_name("training_factors.yaml").read_text())
    return given or {}


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
