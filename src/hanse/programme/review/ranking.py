"""Applications of a round in order: weighted mean of the reviewers or the panel's consensus, thresholds, reserve.

Sums are exact fractions. Ties go to the better in the first criterion, then the second and so on, then to the earlier
sent, then by id, so that no two share a place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Literal

from hanse.contracts.review import ReviewRules

Standing = Literal["grant", "reserve", "below"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    id: str
    sent_at: datetime
    sheets: tuple[Mapping[str, int], ...]
    """Points by criterion, one sheet a reviewer."""
    consensus: Mapping[str, int] | None = None
    """The panel's points; they take the place of the reviewers'."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    id: str
    place: int
    total: Fraction
    """Share of the highest weighted total, 0 to 1."""
    means: Mapping[str, Fraction]
    standing: Standing
    reserve: int | None
    """Place on the reserve list, from 1."""


def means(rules: ReviewRules, scored: Scored) -> dict[str, Fraction]:
    """Mean points by criterion. Raises ValueError where nobody has scored."""
    sheets = scored.sheets if scored.consensus is None else (scored.consensus,)
    if not sheets:
        raise ValueError(f"nobody has scored {scored.id}")
    return {one.id: Fraction(sum(sheet[one.id] for sheet in sheets), len(sheets)) for one in rules.criteria}


def passes(rules: ReviewRules, mean: Mapping[str, Fraction]) -> bool:
    """Whether mean points by criterion reach every threshold of the rules."""
    points = sum((one.weight * mean[one.id] for one in rules.criteria), Fraction())
    return (
        points >= rules.threshold_points
        and points / most(rules) >= Fraction(str(rules.threshold))
        and all(mean[one.id] >= one.threshold for one in rules.criteria)
    )


def most(rules: ReviewRules) -> int:
    """The highest weighted total."""
    return sum(one.weight for one in rules.criteria) * rules.max_points


def rank(
    rules: ReviewRules, entries: Iterable[Scored], *, places: int, reserve: int | None = None
) -> tuple[Place, ...]:
    """Every entry in its place; the first `places` that pass are recommended, who else passes is on the reserve list.

    Where the list holds at most `reserve`, who passes beyond it is `below` as those are who do not pass.

    Raises:
        ValueError: an entry without scores.
    """
    rows = []
    for entry in entries:
        mean = means(rules, entry)
        total = sum((one.weight * mean[one.id] for one in rules.criteria), Fraction()) / most(rules)
        tie = tuple(-mean[one.id] for one in rules.criteria)
        rows.append(
            ((not passes(rules, mean), -total, tie, entry.sent_at.timestamp(), entry.id), mean, total, entry.id)
        )
    ranked = []
    for place, (key, mean, total, id) in enumerate(sorted(rows, key=lambda row: row[0]), 1):
        standing: Standing = "below" if key[0] else "grant" if place <= places else "reserve"
        waits = place - places if standing == "reserve" else None
        if waits and reserve is not None and waits > reserve:
            standing, waits = "below", None
        ranked.append(Place(id=id, place=place, total=total, means=mean, standing=standing, reserve=waits))
    return tuple(ranked)
