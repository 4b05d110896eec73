"""How applications to a call are scored: criteria with weights and thresholds, as data that a call may replace."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from hanse.contracts.base import Contract, Fraction, Identifier


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
