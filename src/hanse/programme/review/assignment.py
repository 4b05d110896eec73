"""A proposal who reviews what: never against a conflict, load balanced first, expertise second.

Applications that few may judge choose first. Each takes the reviewers with the least to do, of those the ones that
share most keywords, of those the first by id: the same input gives the same proposal.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from hanse.programme.review.conflicts import Entry, Reviewer, found, possible


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    pairs: tuple[tuple[str, str], ...]
    """Application and reviewer."""
    short: tuple[tuple[str, int], ...]
    """Applications for which too few may judge, and how many are missing."""


def propose(
    entries: Iterable[Entry],
    reviewers: Iterable[Reviewer],
    *,
    each: int,
    cleared: AbstractSet[tuple[str, str]] = frozenset(),
) -> Proposal:
    """`each` reviewers for every entry, as far as there are any without a conflict.

    Who could have one is asked only where a person has `cleared` the pair of application and reviewer.
    """
    people = sorted(reviewers, key=lambda one: one.id)
    load = {one.id: one.load for one in people}
    free = [(entry, [one for one in people if _may(one, entry, cleared)]) for entry in entries]
    pairs, short = [], []
    for entry, able in sorted(free, key=lambda one: (len(one[1]), one[0].id)):
        able.sort(key=lambda one: (load[one.id], -len(one.keywords & entry.keywords), one.id))
        for one in able[:each]:
            load[one.id] += 1
            pairs.append((entry.id, one.id))
        if len(able) < each:
            short.append((entry.id, each - len(able)))
    return Proposal(pairs=tuple(sorted(pairs)), short=tuple(sorted(short)))


def _may(one: Reviewer, entry: Entry, cleared: AbstractSet[tuple[str, str]]) -> bool:
    return not found(one, entry) and ((entry.id, one.id) in cleared or not possible(one, entry))
