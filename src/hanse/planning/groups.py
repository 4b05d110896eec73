"""Which of the different values each of many is: what layouts share is worked out once for each value."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_COUNTED: Final = 1 << 20


def groups(key: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The different keys in order, and which of them each is; keys are small, so that counting beats sorting."""
    if not len(key) or int(key.max()) > _COUNTED:
        return np.unique(key, return_inverse=True)
    present = np.flatnonzero(np.bincount(key))
    index = np.zeros(int(present[-1]) + 1, dtype=np.int64)
    index[present] = np.arange(len(present))
    return present, index[key]
