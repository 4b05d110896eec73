"""What training apart costs in loss: published figures of low-communication training against data-parallel training.

Charles et al. 2025, "Communication-Efficient Language Model Training Scales Reliably and Robustly: Scaling Laws for
DiLoCo", arXiv:2503.09799v1, Tables 4 and 5: evaluation loss on C4 at equal tokens (20 a parameter), 30 inner steps,
batch and learning rates tuned for each number of legs. Between their sizes the share is interpolated in the logarithm
of the size and of the number of legs; beyond the largest size it stays, beyond 8 legs nobody has published any.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from hanse.contracts.plan import Interval

SOURCE: Final = "arXiv:2503.09799, Tables 4 and 5"
READ_ON: Final = "2026-11-23"
INNER_STEPS: Final = 30
"""Of all these figures. More of them cost more, less so the larger the model (Figure 9, which gives no figures)."""
PUBLISHED_INNER_STEPS: Final = 500
"""The most of a published run: DiLoCo, eight legs, arXiv:2311.08105."""
MOST_LEGS: Final = 8

_DATA_PARALLEL: Final = {
    35e6: 3.485, 90e6: 3.167, 180e6: 2.950, 335e6: 2.784, 550e6: 2.653, 1.3e9: 2.460, 2.4e9: 2.326, 4e9: 2.224,
    10e9: 2.090,
}  # fmt: skip
"""Loss by parameters."""
_APART: Final[dict[int, dict[float, float]]] = {
    1: {35e6: 3.482, 90e6: 3.162, 180e6: 2.943, 335e6: 2.777, 550e6: 2.645, 1.3e9: 2.451, 2.4e9: 2.317, 4e9: 2.219,
        10e9: 2.086},
    2: {35e6: 3.508, 90e6: 3.182, 180e6: 2.957, 335e6: 2.788, 550e6: 2.657, 1.3e9: 2.464, 2.4e9: 2.323, 4e9: 2.220,
        10e9: 2.086},
    4: {35e6: 3.554, 90e6: 3.213, 180e6: 2.981, 335e6: 2.808, 550e6: 2.673, 1.3e9: 2.472, 2.4e9: 2.332, 4e9: 2.230,
        10e9: 2.096},
    8: {35e6: 3.621, 90e6: 3.265, 180e6: 3.019, 335e6: 2.841, 550e6: 2.698, 1.3e9: 2.493, 2.4e9: 2.351},
}  # fmt: skip
_RESIDUAL: Final = 0.012
"""Mean |log| by which the paper's own law missed losses of a size it was not fitted to (its Table 11)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Penalty:
    """Relative difference of the loss against data-parallel training on the same tokens; 0.01 is one per cent more."""

    share: Interval
    outside: tuple[str, ...]
    """Where this leaves what was published."""


def penalty(parameters: int, legs: int, inner_steps: int) -> Penalty | None:
    """Of so many legs; None beyond those of any published run. One leg is a plain training: nothing.

    The interval is as wide as the paper's own law missed by; it says nothing of other inner steps than 30.
    """
    if legs > MOST_LEGS:
        return None
    if legs == 1:
        return Penalty(share=Interval(low=0.0, expected=0.0, high=0.0), outside=())
    known = sorted(_APART)
    at = [_of(parameters, each) for each in known]
    expected = float(np.interp(np.log2(legs), np.log2(known), at))
    said = []
    largest = max(_APART[min(each for each in known if each >= legs)])
    if parameters > largest:
        said.append(f"The largest such model with {legs} legs had {largest / 1e9:g} billion parameters.")
    if parameters < min(_DATA_PARALLEL):
        said.append(f"The smallest had {min(_DATA_PARALLEL) / 1e6:g} million.")
    if inner_steps > INNER_STEPS:
        said.append(
            f"The figures are of {INNER_STEPS} inner steps; {inner_steps} cost more, less so the larger the model."
        )
    if inner_steps > PUBLISHED_INNER_STEPS:
        said.append(f"No published run had more than {PUBLISHED_INNER_STEPS} inner steps.")
    found = Interval(low=expected - _RESIDUAL, expected=expected, high=expected + _RESIDUAL)
    return Penalty(share=found, outside=tuple(said))


def _of(parameters: int, legs: int) -> float:
    sizes = sorted(_APART[legs])
    shares = [_APART[legs][each] / _DATA_PARALLEL[each] - 1 for each in sizes]
    return float(np.interp(np.log(parameters), np.log(sizes), shares))
