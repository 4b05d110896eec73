"""Tables of the review pages, from what the services tell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from django.urls import reverse

from hanse.contracts.review import RankedPlace, ReviewRules
from hanse.contracts.review_steps import LaneShown, RoundShown
from hanse.contracts.units import format_percent
from hanse.reporting.markup import Child, Html, h, join
from hanse.reporting.tables import Column, table
from hanse.reporting.words import Look, badge, full_date, plain_date

STAMP = "%Y-%m-%dT%H%M%SZ"
STANDINGS = {
    "no promise": Look("is-draft", "No promise"), "running": Look("is-running", "In time"),
    "due soon": Look("is-unknown", "Due soon"), "late": Look("is-failed", "Late"),
}  # fmt: skip
RECOMMENDED = {
    "grant": Look("is-done", "Recommended"), "reserve": Look("is-queued", "Reserve"),
    "below": Look("is-declined", "Below"),
}  # fmt: skip
SHEET_LOOKS = {
    "given": Look("is-queued", "Asked"), "sent": Look("is-done", "Sent"), "declined": Look("is-declined", "Declined"),
    "replaced": Look("is-cancelled", "Replaced"),
}  # fmt: skip
ANSWERS = {"yes": "Yes", "look": "Look at it", "no": "No", "unknown": "Not known"}
KINDS = {
    "administrative": "Administrative check", "technical": "Technical check", "scientific": "Scientific review",
    "panel": "Panel",
}  # fmt: skip


def stamp(cut_off: datetime) -> str:
    """A cut-off as it stands in an address."""
    return cut_off.astimezone(UTC).strftime(STAMP)


def read(text: str) -> datetime:
    """Raises ValueError where it is none."""
    return datetime.strptime(text, STAMP).replace(tzinfo=UTC)


def link(application: str, title: str) -> Html:
    return h("a", title or application, href=reverse("portal:application", args=[application]))


def lane(shown: LaneShown) -> Child:
    rows = [
        (link(one.application, f"{one.place}. {one.title}"), one.organisation, plain_date(one.sent_at),
         join(badge(STANDINGS[one.standing]), _left(one.working_days, late=one.standing == "late")),
         KINDS[one.next_step] if one.next_step else "Decision")
        for one in shown.waiting
    ]  # fmt: skip
    return table(("Application", "Organisation", "Sent", "Promise", "Next"), rows) if rows else None


def _left(working_days: int | None, *, late: bool) -> str:
    if working_days is None:
        return ""
    if working_days == 0:
        return " since today" if late else " until today"
    days = f"{abs(working_days)} working day{'' if abs(working_days) == 1 else 's'}"
    return f" {days} left" if working_days >= 0 else f" {days} over"


def kept(shown: LaneShown) -> str:
    """How a lane's promise was kept, in a sentence."""
    promise = f"Promised: {shown.promised_working_days} working days." if shown.promised_working_days else ""
    if not shown.decided:
        return f"{promise} None was answered yet.".strip()
    parts = [f"{shown.decided:,} answered"]
    if shown.median_working_days is not None:
        parts.append(f"half of them within {shown.median_working_days:g} working days")
    if shown.share_in_time is not None:
        parts.append(f"{format_percent(shown.share_in_time)} in time")
    if shown.out_of_order:
        parts.append(f"{shown.out_of_order:,} before one that came earlier")
    return f"{promise} {', '.join(parts)}.".strip()


def _open_or_closed(state: str) -> Html:
    return badge(Look("is-done", "Closed") if state == "closed" else Look("is-running", "Open"))


def rounds(shown: Iterable[RoundShown]) -> Child:
    rows = [
        (h("a", one.call, href=reverse("review:round", args=[one.call, stamp(one.cut_off)])), full_date(one.cut_off),
         f"{one.applications:,}", f"{one.reviews_sent:,} of {one.reviews:,}", f"{one.undecided:,}",
         _open_or_closed(one.state))
        for one in shown
    ]  # fmt: skip
    columns = (
        "Call", "Cut-off", Column("Applications", True), Column("Reviews in", True), Column("Undecided", True), "Round",
    )  # fmt: skip
    return table(columns, rows) if rows else None


def recommended(standing: str) -> Html:
    return badge(RECOMMENDED[standing])


def stand_ins(waiting: Iterable[Any]) -> Child:
    rows = [
        (h("a", one.assignment.application.form.title, href=reverse("review:given", args=[one.assignment.public_id])),
         str(one.assignment.reviewer), plain_date(one.assignment.due_on), str(one.reviewer))
        for one in waiting
    ]  # fmt: skip
    return table(("Application", "Late", "Was due", "Would stand in"), rows) if rows else None


def redress(waiting: Iterable[tuple[str, str, str, datetime]]) -> Child:
    """(application, title, organisation, asked at) of each."""
    rows = [
        (h("a", title, href=reverse("review:redress", args=[application])), organisation, plain_date(asked_at))
        for application, title, organisation, asked_at in waiting
    ]
    return table(("Application", "Organisation", "Asked"), rows) if rows else None


def panels(held: Iterable[Any]) -> Child:
    rows = [
        (h("a", f"Panel of {one.round.call_id}",
           href=reverse("review:panel", args=[one.round.call_id, stamp(one.round.cut_off)])),
         plain_date(one.held_on), _open_or_closed(one.state))
        for one in held
    ]  # fmt: skip
    return table(("Meeting", "Day", "State"), rows) if rows else None


def queue(waiting: Sequence[tuple[Any, str]]) -> Child:
    rows = [
        (h("a", one.title, href=reverse("review:step", args=[one.public_id, kind])), str(one.organisation),
         KINDS[kind], *(plain_date(day) if day else "" for day in (one.sent_at, one.decide_by)))
        for one, kind in waiting
    ]  # fmt: skip
    return table(("Application", "Organisation", "Step", "Sent", "Answer by"), rows) if rows else None


def sheets(found: Iterable[Any], today: Any) -> Child:
    rows = [
        (h("a", one.title, href=reverse("review:sheet", args=[one.public_id])), one.call, plain_date(one.due_on),
         badge(Look("is-failed", "Late") if one.state == "given" and one.due_on < today else SHEET_LOOKS[one.state]))
        for one in found
    ]  # fmt: skip
    return table(("Application", "Call", "Due", "State"), rows) if rows else None


def _values(one: RankedPlace, criterion: str) -> Child:
    """The mean, and below it how far the reviewers lie apart."""
    if criterion not in one.means:
        return "–"
    low, high = one.spread.get(criterion, (None, None))
    apart = None if low is None else f"{low}" if low == high else f"{low}–{high}"
    return join(f"{one.means[criterion]:.1f}", h("small", f" {apart}") if apart else None)


def _reserve(one: RankedPlace) -> str:
    """Its place on the reserve list, as it was computed; where a panel changed the list, the list's own page has it."""
    stays = one.panel_standing in (None, one.standing) and one.panel_place is None
    return f" place {one.reserve}" if one.reserve and stays else ""


def ranking(places: Sequence[RankedPlace], rules: ReviewRules) -> Child:
    rows = [
        (join(f"{one.panel_place or one.place}. ", link(one.application, one.title)),
         format_percent(one.total),
         *(_values(one, each.id) for each in rules.criteria),
         join(recommended(one.panel_standing or one.standing), _reserve(one)),
         join(one.state.replace("-", " ").capitalize(), h("small", f" {one.against}") if one.against else None,
              h("small", f" The panel moved it: {one.panel_reason}") if one.panel_reason else None))
        for one in sorted(places, key=lambda one: one.panel_place or one.place)
    ]  # fmt: skip
    columns = ("Place", Column("Score", True), *(Column(each.title, True) for each in rules.criteria), "Ranking", "Now")
    return table(columns, rows) if rows else None
