"""How applications to a call are scored: criteria with weights and thresholds, as data that a call may replace."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hanse.contracts.base import Contract, Count, Fraction, Identifier, Positive, Timestamp


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
    threshold_points: Count = 0
    """Weighted points, summed over the criteria, that the mean of the reviewers has to reach."""
    blind: bool = False
    """Reviewers do not read who applied: neither the organisation nor its people. Texts are not searched."""
    places: Positive | None = None
    """How many of a round are recommended; None: as many as the call has winners, else it is said on closing."""
    reserve: Count | None = None
    """How long the reserve list is at most; None: all who pass stand on it."""
    reply_days: Count = 0
    """Days in which applicants may answer their reviewers, once; 0: the call knows no right to reply."""
    redress_days: Count = 30
    """Days after the decision in which an applicant may ask for it to be looked at again."""
    stand_ins: Literal["officer", "rule"] = "officer"
    """Who replaces a late reviewer: an officer confirms what is proposed, or it is done by rule."""
    stand_in_after_days: Positive = 3
    """So long after its due day a review without an answer is late enough for that."""

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
    waiting: dict[str, str] = Field(default_factory=dict)
    """Applications whose earlier step is not done, and which."""


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
    state: Literal["given", "sent", "declined", "replaced"]
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
    title: str = ""
    means: dict[str, float] = Field(default_factory=dict)
    """Mean points by criterion."""
    spread: dict[str, tuple[int, int]] = Field(default_factory=dict)
    """Lowest and highest points by criterion."""
    panel_place: Count | None = None
    """Where the panel put it; None: where it was."""
    panel_standing: Literal["grant", "reserve", "below"] | None = None
    """With the panel's places; what counts for the decision of a closed round."""
    panel_reason: str = ""
    state: str = ""
    """Of the application, now."""
    against: str = ""
    """How the decision differs from what was recommended; empty: it does not, or there is none yet."""


class Ranking(Contract):
    places: tuple[RankedPlace, ...] = ()
    round: Identifier | None = None
    """None while the round is open: then this is how it would come out now."""
    closed_at: Timestamp | None = None
    closed_by: str = ""
    free: Count = 0
    """Places of a closed round that nobody holds now."""
