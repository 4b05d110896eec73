"""The words and shapes of states, and dates as people read them. Times are Brussels time, the programme's clock."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone, tzinfo
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hanse.contracts.decision import Verdict
from hanse.contracts.programme import ApplicationState
from hanse.contracts.run import AttemptState, RunState
from hanse.contracts.units import NBSP
from hanse.reporting.markup import Html, h

_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def _brussels() -> tuple[tzinfo, str]:
    try:
        return ZoneInfo("Europe/Brussels"), "Brussels"
    except ZoneInfoNotFoundError:  # a machine without time zone data
        return timezone(timedelta(0)), "UTC"


ZONE, ZONE_NAME = _brussels()


class Look(NamedTuple):
    """How a state is shown: the class carries shape and colour, the word says it."""

    class_: str
    word: str


RUN_LOOKS: dict[RunState, Look] = {
    RunState.QUEUED: Look("is-queued", "Queued"),
    RunState.RUNNING: Look("is-running", "Running"),
    RunState.CANCELLING: Look("is-cancelled", "Stopping"),
    RunState.FINISHED: Look("is-done", "Finished"),
    RunState.FAILED: Look("is-failed", "Failed"),
    RunState.CANCELLED: Look("is-cancelled", "Cancelled"),
}
ATTEMPT_LOOKS: dict[AttemptState, Look] = {
    AttemptState.PLANNED: Look("is-draft", "Planned"),
    AttemptState.QUEUED: Look("is-queued", "Queued"),
    AttemptState.RUNNING: Look("is-running", "Running"),
    AttemptState.UNKNOWN: Look("is-unknown", "Unknown"),
    AttemptState.FINISHED: Look("is-done", "Finished"),
    AttemptState.STOPPED: Look("is-done", "Stopped, saved"),
    AttemptState.FAILED: Look("is-failed", "Failed"),
    AttemptState.CANCELLED: Look("is-cancelled", "Cancelled"),
}
APPLICATION_LOOKS: dict[ApplicationState, Look] = {
    "draft": Look("is-draft", "Draft"),
    "sent": Look("is-sent", "Sent"),
    "in-review": Look("is-review", "In review"),
    "granted": Look("is-done", "Granted"),
    "declined": Look("is-declined", "Not granted"),
    "withdrawn": Look("is-cancelled", "Withdrawn"),
}
VERDICT_LOOKS: dict[Verdict, Look] = {
    "allow": Look("is-done", "Passed"),
    "condition": Look("is-outside", "With a condition"),
    "review": Look("is-unknown", "A person decides"),
    "deny": Look("is-declined", "Not allowed"),
}


def badge(look: Look, *, large: bool = False) -> Html:
    return h("span", look.word, class_=f"badge {look.class_}{' badge--l' if large else ''}")


def full_date(value: date | datetime) -> str:
    """Friday 29 January 2027; with the hour and the zone where there is one."""
    day = value.astimezone(ZONE) if isinstance(value, datetime) else value
    text = f"{_DAYS[day.weekday()]} {day.day}{NBSP}{_MONTHS[day.month - 1]} {day.year}"
    return f"{text}, {day:%H:%M} {ZONE_NAME}" if isinstance(day, datetime) else text


def plain_date(value: date | datetime) -> str:
    """29 January 2027."""
    day = value.astimezone(ZONE) if isinstance(value, datetime) else value
    return f"{day.day}{NBSP}{_MONTHS[day.month - 1]} {day.year}"


def short_time(value: datetime, *, seconds: bool = False) -> str:
    """29 Jan, 10:00."""
    local = value.astimezone(ZONE)
    clock = f"{local:%H:%M:%S}" if seconds else f"{local:%H:%M}"
    return f"{local.day}{NBSP}{_MONTHS[local.month - 1][:3]}, {clock}"


def when(value: datetime, *, seconds: bool = False, form: Literal["short", "full"] = "short") -> Html:
    """A moment as a <time> element."""
    shown = full_date(value) if form == "full" else short_time(value, seconds=seconds)
    return h("time", shown, datetime=value.astimezone(ZONE).isoformat(timespec="seconds"))


def plural(count: int, one: str, many: str | None = None) -> str:
    """1 node · 2 nodes."""
    return f"{count:,}{NBSP}{one if count == 1 else many or one + 's'}"


def sentence(text: str) -> str:
    """With a capital at the beginning and a full stop at the end."""
    stripped = text.strip()
    if not stripped:
        return ""
    return stripped[0].upper() + stripped[1:] + ("" if stripped[-1] in ".?!…" else ".")
