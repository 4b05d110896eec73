"""A ranking as a panel leaves it: its moves applied one after another to the computed places, standings drawn anew.

Nothing of the computed ranking changes; the panel's is kept beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hanse.programme.review.ranking import Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    id: str
    place: int
    standing: Standing
    reserve: int | None


def settle(
    computed: Mapping[str, Standing], moves: Iterable[tuple[str, int]], *, places: int, reserve: int | None = None
) -> tuple[Settled, ...]:
    """The order after `moves` (application and its new place, from 1); `computed` is in the computed order.

    Who did not reach the thresholds is recommended only where the panel moved it.
    """
    order, moved = list(computed), set()
    for id, place in moves:
        order.remove(id)
        order.insert(min(place, len(order) + 1) - 1, id)
        moved.add(id)
    granted = waiting = 0
    settled = []
    for place, id in enumerate(order, 1):
        standing: Standing = "below"
        if computed[id] != "below" or id in moved:
            if granted < places:
                standing, granted = "grant", granted + 1
            elif reserve is None or waiting < reserve:
                standing, waiting = "reserve", waiting + 1
        settled.append(
            Settled(id=id, place=place, standing=standing, reserve=waiting if standing == "reserve" else None)
        )
    return tuple(settled)
