"""`across:` of train.yaml: one run with a leg on each of `where.machines` at once.

What is left out the planner chooses, or the default of `contracts.outer.OuterTerms` holds.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hanse.contracts.base import Contract, Count, Positive, Seconds
from hanse.contracts.outer import Codec


class AcrossSpec(Contract):
    """What the legs agree on, in the words of `OuterTerms`."""

    inner_steps: Positive | None = None
    """Of the fastest leg between two outer steps; the others train as many as they can meanwhile."""
    codec: Codec | None = None
    """Of what is sent."""
    fragments: Positive | None = None
    """Parts of the model that are sent in turn."""
    overlap_steps: Count | None = None
    """Inner steps between sending a fragment and needing what became of it."""
    lr: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Of the outer steps."""
    momentum: float | None = Field(default=None, ge=0, lt=1)
    nesterov: bool | None = None
    wait_s: Seconds | None = None
    """So long the leg that commits waits for the others."""
    min_legs: Positive | None = None
    """With fewer of them nothing is committed."""
    silent_s: Seconds | None = None
    """So long a leg is silent before the next commits in its place."""
    hold_s: Seconds | None = None
    """So long a leg holds its nodes while it waits."""
    late: Literal["skip", "carry"] | None = None
    """Of what missed its outer step."""
    round_s: Seconds | None = None
    """A leg whose round takes longer sends what it has."""
    data: Literal["shared", "own"] | None = None
    """shared: every machine has the same data; own: each its own."""

    @property
    def given(self) -> dict[str, object]:
        """What is not left to others."""
        return self.model_dump(mode="json", exclude_none=True)
