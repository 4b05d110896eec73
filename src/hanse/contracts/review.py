"""How applications to a call are scored: criteria with weights and thresholds, as data that a call may replace."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hanse.contracts.base import Contract, Count, Fraction, Identifier, Timestamp


class Criterion(Contract):
    """One thing that is scored, from 0 to the rules' `max_points`."""

    id: Identifier
    title: str
    weight: Annotated[int, Field(ge=1)] = 1
    threshold: Annotated[int, Field(ge=0)] = 0
    """Points that the mean of the reviewers has to reach."""


class ReviewRules(Contract):
    """Criteria in the order in which they break ties, and what the reviewers are asked for."""

    criteria: tuple[Criterion, ...] = Field(min_length=1)
    max_points: Annotated[int, Field(ge=1)]
    comment_length: Annotated[int, Field(ge=1)]
    reviewers_each: Annotated[int, Field(ge=1)]
    threshold: Fraction = 0.0
    """Share of the highest weighted total that an application has to reach."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len({one.id for one in self.criteria}) < len(self.criteria):
            raise ValueError("a criterion stands twice")
        if any(one.threshold > self.max_points for one in self.criteria):
            raise ValueError("a threshold lies above the most points there are")
        return self


class RoundRequest(Contract):
    """Give the applications of one cut-off their reviewers."""

    call: Identifier
    cut_off: Timestamp
    due_on: date


class Assigned(Contract):
    given: tuple[Identifier, ...] = ()
    """Reviews that were given just now."""
    short: dict[str, int] = Field(default_factory=dict)
    """Applications with too few reviewers who may judge them, and how many are missing."""


class ScoreRequest(Contract):
    points: dict[str, int]
    comments: dict[str, str]


class DeclineRequest(Contract):
    reason: str


class ReviewSheet(Contract):
    """One's own review of an application."""

    id: Identifier
    application: Identifier
    title: str
    state: Literal["given", "sent", "declined"]
    due_on: date
    points: dict[str, int] = Field(default_factory=dict)
    comments: dict[str, str] = Field(default_factory=dict)
    reason: str = ""


class RankedPlace(Contract):
    application: Identifier
    place: Count
    total: Fraction
    """Share of the highest weighted total."""
    standing: Literal["grant", "reserve", "below"]
    reserve: Count | None = None


class Ranking(Contract):
    places: tuple[RankedPlace, ...] = ()
