"""What nothing else beats in two things at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def front(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where no other is at most as much in both and less in one; of equals the one that comes first."""
    order = np.lexsort((np.arange(len(first)), second, first))
    ordered = second[order]
    before = np.concatenate([[np.inf], np.minimum.accumulate(ordered)[:-1]]) if len(order) else ordered
    best = np.zeros(len(first), dtype=np.bool_)
    best[order] = ordered < before
    return best
