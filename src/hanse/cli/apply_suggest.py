"""`hanse apply --suggest`: which call suits, and of each other call why not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from hanse.cli.views import state
from hanse.contracts.errors import UsageError

if TYPE_CHECKING:
    from hanse.contracts.application import Draft
    from hanse.programme.routing import Need, Route, Suggestion

NEEDED = {"gpu_hours": "--gpu-hours", "organisation_kind": "--kind", "country": "--country"}
SIGNS = {"fits": "allow", "a person decides": "review", "does not fit": "deny"}


def suggestion(given: Mapping[str, Any], draft: Draft | None) -> Suggestion:
    """The calls in the order in which they suit what options and draft say.

    Raises:
        UsageError: an option that is needed is missing, or one is wrong.
    """
    from hanse.contracts.base import now
    from hanse.programme import calls, routing

    return routing.suggest(_need(given, draft), (calls.load(id) for id in calls.ids()), now())


def _need(given: Mapping[str, Any], draft: Draft | None) -> Need:
    from pydantic import ValidationError

    from hanse.programme.routing import Need

    known: dict[str, Any] = {}
    if draft is not None:
        project, compute = draft.whole.project, draft.whole.compute
        known = {
            "gpu_hours": compute.gpu_hours, "organisation_kind": draft.organisation_kind, "country": draft.country,
            "purpose": project.purpose, "duration_months": project.duration_months, "machine": compute.machine,
            "in_eu_project": project.in_eu_project is not None,
        }  # fmt: skip
    fields = {key: value for key, value in known.items() if value is not None}
    fields |= {key: value for key, value in given.items() if key in Need.model_fields and value is not None}
    missing = [option for key, option in NEEDED.items() if key not in fields]
    if missing:
        raise UsageError(f"Not said yet: {', '.join(missing)}.", fix="Give what is missing, or a --draft that has it.")
    try:
        return Need.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        options = {"organisation_kind": "--kind", "purpose": "--for", "duration_months": "--months"}
        field = str(first["loc"][0])
        raise UsageError(
            f"{first['msg']}: {first['input']!r}.", where=options.get(field, f"--{field.replace('_', '-')}")
        ) from None


def view(made: Suggestion) -> RenderableType:
    """The suggestion first with all that speaks for it, then the others with why not."""
    best = made.best
    head = (
        Text(f"{best.title} (--call {best.call})", style="bold")
        if best
        else Text("No call that Hanse knows suits this.", style="bold")
    )
    parts: list[RenderableType] = [head]
    for route in made.routes:
        parts += ["", _route(route, first=route is best)]
    return Group(*parts)


def _route(route: Route, *, first: bool) -> RenderableType:
    lines = [*route.reasons] if first else []
    lines += route.why_not
    sign = state(SIGNS[route.fit]).plain.split()[0]
    title = Text(f"{sign} {route.call}: {route.fit}", style="bold" if first else "")
    body = [Text(line) for line in lines]
    if first and route.promise:
        body.append(Text(route.promise))
    if not first and route.change:
        body.append(Text(f"What would change it: {route.change[0]}", style="dim"))
    return Group(title, Padding(Group(*body), (0, 0, 0, 2)))
