"""What it adds to the portal's pages; each panel is HTML that is safe as it stands, or nothing."""

from __future__ import annotations

from typing import Any

from django import template
from django.template.loader import render_to_string

from hanse.contracts.base import now
from hanse.service.awarding import forms, tables
from hanse.service.awarding.capacity import table as capacity_table
from hanse.service.awarding.changes import OPEN_STATES, ChangeRequest
from hanse.service.awarding.duties import OWED, Duty
from hanse.service.awarding.movements import balance
from hanse.service.awarding.proposals import OPEN_STATES as UNDECIDED
from hanse.service.awarding.proposals import Proposal
from hanse.service.runs.models import Machine

register = template.Library()


@register.simple_tag(takes_context=True)
def application_award(context: Any, application: Any) -> str:
    """For officers the proposal that waits, with what can still be awarded; for all what the award brought."""
    person = context["request"].user
    if application.state in UNDECIDED and person.is_officer:
        waiting, at = context["waiting_proposal"], now()
        parts = application.parts_of(waiting.terms) if waiting and waiting.decision == "grant" else ()
        named, asked = {one.machine for one in parts} - {application.form.machine}, context["known"].machine
        machines = [*([asked] if asked else []), *(Machine.objects.filter(public_id__in=named) if named else ())]
        rooms = capacity_table(machines, since=f"{at:%Y-%m}")
        return _panel(context, "application_award", {
            "application": application,
            "proposal": waiting,
            "parts": parts,
            "mine": waiting is not None and waiting.proposed_by.pk == person.pk,
            "rooms": tables.capacity(rooms[:60]),
            "reason": forms.ReasonForm(auto_id="proposal-%s"),
        })  # fmt: skip
    if application.state == "granted":
        owed = tables.duties(Duty.seen_by(person).filter(award__application=application))
        return _panel(context, "duties", {"table": owed}) if owed else ""
    return ""


@register.simple_tag(takes_context=True)
def allocation_award(context: Any, allocation: Any) -> str:
    """Its hours as the law has them, requests that wait, and the way to ask."""
    waiting = ChangeRequest.objects.filter(allocation=allocation, state__in=OPEN_STATES).count()
    return _panel(
        context, "allocation_award", {"allocation": allocation, "balance": balance(allocation), "waiting": waiting}
    )


@register.simple_tag(takes_context=True)
def home_award(context: Any) -> str:
    """What is owed soon, and for officers that something waits."""
    person = context["request"].user
    mine = Duty.seen_by(person).filter(state__in=OWED, due__isnull=False)
    if person.is_officer:
        count = Proposal.objects.filter(state="waiting", application__state__in=UNDECIDED).count()
        count += ChangeRequest.objects.filter(state__in=OPEN_STATES).count()
        count += Duty.objects.filter(state="sent").count()
        return _panel(context, "home_officer", {"count": count}) if count else ""
    owed = tables.duties(mine.order_by("due")[:5])
    return _panel(context, "duties", {"table": owed}) if owed else ""


def _panel(context: Any, name: str, more: dict[str, Any]) -> str:
    return render_to_string(f"awarding/{name}.html", more, request=context["request"])
