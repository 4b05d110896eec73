"""What a page asks about one application under review: read once, however many of its parts ask.

For pages alone: who decides asks anew, under the lock of the decision.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from hanse.contracts.review_steps import StepKind, StepState
from hanse.service.review import lanes
from hanse.service.review.panel import settled
from hanse.service.review.ranked import Round
from hanse.service.review.steps import Step
from hanse.service.runs.machines import Machine


class Known:
    def __init__(self, application: Any) -> None:
        self.application = application

    @cached_property
    def rows(self) -> dict[str, Step]:
        """The steps that have a row, by kind."""
        return {one.kind: one for one in Step.objects.filter(application=self.application).select_related("done_by")}

    @property
    def stands(self) -> dict[StepKind, StepState]:
        found: Any = {kind: one.state for kind, one in self.rows.items()}
        return found

    @cached_property
    def ahead(self) -> tuple[int, str]:
        return lanes.ahead(self.application)

    @cached_property
    def machine(self) -> Machine | None:
        """The one it asks for, where that is joined here."""
        rows = Machine.objects.filter(public_id=self.application.form.machine)
        return rows.select_related("site__organisation").first()

    @cached_property
    def round(self) -> Round | None:
        cut_off = self.application.cut_off
        rows = Round.objects.filter(call_id=self.application.call.call_id, cut_off=cut_off)
        return rows.select_related("closed_by", "panel").first() if cut_off else None

    @cached_property
    def recommended(self) -> list[tuple[str, str, str, str | None]]:
        """(application, standing, state, why it gave its place up) of its closed round, in order of place."""
        names = ("public_id", "state", "place_freed__reason")
        application, state, freed = (f"application__{name}" for name in names)
        rows = self.round.recommendations.order_by("place") if self.round else None  # type: ignore[attr-defined]
        return [] if rows is None else list(rows.values_list(application, "standing", state, freed))

    @cached_property
    def order(self) -> tuple[Any, ...]:
        """The places of its closed round, as a panel left them."""
        if self.round is None:
            return ()
        moved = None if hasattr(self.round, "panel") else ()
        return settled(self.round, {one: standing for one, standing, _, _ in self.recommended}, moved)

    @cached_property
    def excused(self) -> list[Any]:
        """The reasons that were put down to decide it out of order, the last one last."""
        return list(self.application.out_of_order.order_by("pk"))
