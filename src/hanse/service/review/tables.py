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
         join(badge(STANDINGS[one.standing]), _left(one.working_days)),
         KINDS[one.next_step] if one.next_step else "Decision")
        for one in shown.waiting
    ]  # fmt: skip
    return table(("Application", "Organisation", "Sent", "Promise", "Next"), rows) if rows else None


def _left(working_days: int | None) -> str:
    if working_days is None:
        return ""
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


def rounds(shown: Iterable[RoundShown]) -> Child:
    rows = [
        (h("a", one.call, href=reverse("review:round", args=[one.call, stamp(one.cut_off)])), full_date(one.cut_off),
         f"{one.applications:,}", f"{one.reviews_sent:,} of {one.reviews:,}", f"{one.undecided:,}",
         badge(Look("is-done", "Closed") if one.state == "closed" else Look("is-running", "Open")))
        for one in shown
    ]  # fmt: skip
    columns = (
        "Call", "Cut-off", Column("Applications", True), Column("Reviews in", True), Column("Undecided", True), "Round",
    )  # fmt: skip
    return table(columns, rows) if rows else None


def queue(waiting: Sequence[tuple[Any, str]]) -> Child:
    rows = [
        (h("a", one.form.title, href=reverse("review:step", args=[one.public_id, kind])), str(one.organisation),
         KINDS[kind], *(plain_date(day) if day else "" for day in (one.sent_at, one.decide_by)))
        for one, kind in waiting
    ]  # fmt: skip
    return table(("Application", "Organisation", "Step", "Sent", "Answer by"), rows) if rows else None


def sheets(found: Iterable[Any], today: Any) -> Child:
    rows = [
        (h("a", one.application.form.title, href=reverse("review:sheet", args=[one.public_id])),
         one.application.call.terms.title, plain_date(one.due_on),
         badge(Look("is-failed", "Late") if one.state == "given" and one.due_on < today else SHEET_LOOKS[one.state]))
        for one in found
    ]  # fmt: skip
    return table(("Application", "Call", "Due", "State"), rows) if rows else None


def ranking(places: Sequence[RankedPlace], rules: ReviewRules) -> Child:
    rows = [
        (join(f"{one.panel_place or one.place}. ", link(one.application, one.title)),
         format_percent(one.total),
         *(f"{one.means[each.id]:.1f}" if each.id in one.means else "–" for each in rules.criteria),
         join(badge(RECOMMENDED[one.standing]), f" place {one.reserve}" if one.reserve else ""),
         join(one.state.replace("-", " ").capitalize(), h("small", f" {one.against}") if one.against else None,
              h("small", f" The panel moved it: {one.panel_reason}") if one.panel_reason else None))
        for one in places
    ]  # fmt: skip
    columns = ("Place", Column("Score", True), *(Column(each.title, True) for each in rules.criteria), "Ranking", "Now")
    return table(columns, rows) if rows else None
