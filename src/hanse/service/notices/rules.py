"""Which event is told to whom, in which text: the one table.

Others only record events. An event names whom it is for in its data (`to`: usernames, with commas between), or what it
is about: by its own subject, or by `application`, `award`, `allocation`, `run` or `organisation` in its data. `path` in
its data is the page to open, `title` the name to call it by.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from django.urls import reverse

from hanse.service.access.people import OFFICERS, Organisation, Person
from hanse.service.notices import things
from hanse.service.runs.events import Event

Who = Literal["person", "people", "officers", "operators", "named"]
"""person: who launched or applied, and the owners; people: all of the organisation; named: only whom the data names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    who: Who
    kind: str
    """The text's name in texts/*.yaml."""
    mail: bool = True


def _tell(who: Who, kind: str, *, mail: bool = True) -> tuple[Tell, ...]:
    return (Tell(who=who, kind=kind, mail=mail),)


RULES: Mapping[str, tuple[Tell, ...]] = {
    "application:sent": (*_tell("person", "application-sent"), *_tell("officers", "application-to-decide")),
    "application:in-review": _tell("person", "application-in-review", mail=False),
    "application:granted": _tell("person", "application-granted"),
    "application:declined": _tell("person", "application-declined"),
    "application:changes-asked": _tell("person", "application-changes-asked"),
    "screening:changed": _tell("officers", "screening-changed", mail=False),
    "allocation:ending": _tell("people", "allocation-ending"),
    "allocation:ended": _tell("people", "allocation-ended"),
    "allocation:used-four-fifths": _tell("people", "hours-low"),
    "allocation:used-nineteen-twentieths": _tell("people", "hours-low"),
    "allocation:overshot": (*_tell("people", "hours-over"), *_tell("operators", "hours-over")),
    "allocation:suspended": _tell("people", "allocation-suspended"),
    "run:finished": _tell("person", "run-finished"),
    "run:failed": _tell("person", "run-failed"),
    "attempt:stop-asked": _tell("person", "run-stopping"),
    "attempt:unknown": _tell("operators", "attempt-unknown", mail=False),
    "review:assigned": _tell("named", "review-assigned"),
    "review:reminder": _tell("named", "review-reminder"),
    "review:late": _tell("officers", "review-late"),
    "award:proposed": _tell("officers", "award-proposed"),
    "obligation:due": _tell("people", "obligation-due"),
    "obligation:reminder": _tell("people", "obligation-due"),
    "obligation:overdue": (*_tell("people", "obligation-overdue"), *_tell("officers", "obligation-overdue")),
    "report:due": _tell("people", "report-due"),
    "report:reminder": _tell("people", "report-due"),
    "report:overdue": (*_tell("people", "report-overdue"), *_tell("officers", "report-overdue")),
    "application:proposed": _tell("officers", "award-proposed"),
    "allocation:resumed": _tell("people", "allocation-resumed"),
    "allocation:extension-asked": _tell("officers", "request-asked"),
    "allocation:supplement-asked": _tell("officers", "request-asked"),
    "allocation:transfer-asked": _tell("officers", "request-asked"),
    "allocation:machine-asked": _tell("officers", "request-asked"),
    "request:granted": _tell("people", "request-answered"),
    "request:declined": _tell("people", "request-answered"),
    "duty:reminded": _tell("people", "obligation-due"),
    "duty:overdue": (*_tell("people", "obligation-overdue"), *_tell("officers", "obligation-overdue")),
    "statement:issued": _tell("people", "statement-issued"),
    "condition:opened": _tell("people", "condition-opened"),
    "condition:due": _tell("people", "condition-due"),
    "condition:breached": (*_tell("people", "condition-breached"), *_tell("officers", "condition-breached")),
    "condition:evidence": _tell("officers", "condition-evidence", mail=False),
    "compute:near": (*_tell("people", "compute-near"), *_tell("officers", "compute-near")),
    "compute:crossed": (*_tell("people", "compute-crossed"), *_tell("officers", "compute-crossed")),
    "change:asked": (*_tell("people", "change-asked"), *_tell("officers", "change-asked")),
    "change:accepted": _tell("people", "change-answered"),
    "change:refused": _tell("people", "change-answered"),
    "permit:stated": _tell("officers", "permit-stated"),
    "permit:ending": _tell("people", "permit-ending"),
    "permit:ended": (*_tell("people", "permit-ended"), *_tell("officers", "permit-ended")),
    "rescreening:stands": _tell("person", "rescreened"),
    "rescreening:falls": _tell("person", "rescreened"),
    "proposal:made": _tell("officers", "award-proposed"),
    "reminder:due": _tell("named", "review-reminder"),
    "question:asked": _tell("officers", "question-asked", mail=False),
    "membership:added": _tell("named", "membership-added", mail=False),
    "membership:removed": _tell("named", "membership-removed"),
}
"""By `subject:action`; which source an event has does not matter."""
_NAMED_IN_DATA = ("run", "allocation", "award", "application", "organisation")


def of(name: str) -> tuple[Tell, ...]:
    return RULES.get(name.partition(":")[2], ())


def audience(event: Event) -> Iterable[tuple[Tell, list[Person]]]:
    """Each rule with the persons it tells; nobody is told what they did themselves, but that it was received."""
    thing = thing_of(event)
    for rule in of(event.name):
        people = _people(rule.who, event, thing).filter(is_active=True)
        if rule.who not in ("person", "named"):
            people = people.exclude(username=event.actor)
        yield rule, list(people.distinct().order_by("pk"))


def context(event: Event) -> dict[str, Any]:
    """What the texts may name."""
    thing = thing_of(event)
    title = event.data.get("title") or _title(thing) or event.subject_id
    named: dict[str, Any] = {"title": title, "reason": event.reason, "data": event.data, "thing": thing}
    return named | {"path": str(event.data.get("path") or _path(thing)), "at": event.at}


def thing_of(event: Event) -> Any:
    """What it is about: its subject, or what its data names."""
    named = (things.find(event.data.get(name)) for name in _NAMED_IN_DATA)
    subject = things.find(event.subject_id)
    if subject is None or _organisation(subject) is None:
        return next((one for one in named if one is not None), subject)
    return subject


def _people(who: Who, event: Event, thing: Any) -> Any:
    named = [name.strip() for name in str(event.data.get("to") or "").split(",") if name.strip()]
    if named:
        return Person.objects.filter(username__in=named)
    if who == "officers":
        return Person.objects.filter(groups__name=OFFICERS)
    organisation = _organisation(thing)
    if who == "operators":
        machine = getattr(getattr(thing, "leg", thing), "machine", None)
        host = machine.site.organisation if machine else organisation
        return Person.objects.filter(memberships__organisation=host, memberships__role="operator")
    if organisation is None or who == "named":
        return Person.objects.none()
    stands = Person.objects.filter(memberships__organisation=organisation)
    if who == "people":
        return stands
    thing = (getattr(thing, "leg", None) and thing.leg.run) or thing
    one = getattr(thing, "applicant_id", None) or getattr(thing, "created_by_id", None)
    return Person.objects.filter(pk=one) if one else stands.filter(memberships__role="owner")


def _organisation(thing: Any) -> Organisation | None:
    from hanse.service import policy

    found: Organisation | None = policy.organisation_of(thing)
    return found


def _title(thing: Any) -> str:
    if thing is None:
        return ""
    if hasattr(thing, "leg"):
        return str(thing.leg.run.name)
    if title := getattr(getattr(thing, "form", None), "title", ""):  # a permit's form has none
        return str(title)
    name = getattr(thing, "name", "")
    if not name and hasattr(thing, "project"):
        name = thing.project.name
    return str(name)


def _path(thing: Any) -> str:
    if thing is None:
        return ""
    if hasattr(thing, "leg"):
        thing = thing.leg.run
    if type(thing)._meta.model_name == "award":
        thing = thing.application
    page = type(thing)._meta.model_name
    return reverse(f"portal:{page}", args=[thing.public_id]) if page in ("application", "allocation", "run") else ""
