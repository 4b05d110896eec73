"""Which parameters travel together: fragments of about one size, cut between blocks, the same on every leg.

A block is what names share up to their first number ('blocks.3.'); a parameter outside any is one by itself. Blocks
keep the order of the model, and a cut is made where it brings the sizes closest to equal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from hanse.contracts.errors import UsageError


def fragments_of(sizes: Mapping[str, int], count: int) -> tuple[tuple[str, ...], ...]:
    """Names of each of `count` fragments, from each parameter's number of values in the order of the model.

    Raises:
        UsageError: there are fewer blocks than fragments.
    """
    blocks: dict[str, list[str]] = {}
    for name in sizes:
        blocks.setdefault(_block(name), []).append(name)
    if len(blocks) < count:
        raise UsageError(
            f"the model has {len(blocks)} blocks; it cannot be sent in {count} fragments",
            fix=f"Ask for at most {len(blocks)} fragments.",
        )
    left = list(blocks.values())
    rest = sum(sizes.values())
    found = []
    for still in range(count, 0, -1):
        aim, taken, names = rest / still, 0, list[str]()
        # Every fragment to come needs a block of its own.
        while left and (not names or len(left) >= still):
            size = sum(sizes[name] for name in left[0])
            if names and still > 1 and taken + size / 2 > aim:
                break
            names += left.pop(0)
            taken += size
        rest -= taken
        found.append(tuple(names))
    return tuple(found)


def _block(name: str) -> str:
    match = re.match(r"(.*?\.)?(\d+)(?=\.|$)", name)
    return match.group(0) if match else name
