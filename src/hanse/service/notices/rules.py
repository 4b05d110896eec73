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
    next: str | None = None
    """Only of a step after which it is the turn of this one."""


def _tell(who: Who, kind: str, *, mail: bool = True, next: str | None = None) -> tuple[Tell, ...]:
    return (Tell(who=who, kind=kind, mail=mail, next=next),)


RULES: Mapping[str, tuple[Tell, ...]] = {
    "application:sent": (*_tell("person", "application-sent"), *_tell("officers", "application-to-decide")),
    "application:in-review": _tell("person", "application-in-review", mail=False),
    "application:granted": _tell("person", "application-granted"),
    "application:declined": _tell("person", "application-declined"),
    "application:imported": _tell("people", "award-imported"),
    "allocation:restated": _tell("people", "allocation-restated"),
    "import:prepared": _tell("officers", "import-prepared"),
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
    "leg:lost": _tell("person", "leg-lost"),
    "attempt:stop-asked": _tell("person", "run-stopping"),
    "attempt:unknown": _tell("operators", "attempt-unknown", mail=False),
    "review:given": _tell("named", "review-assigned"),
    "review:declined": _tell("officers", "review-declined", mail=False),
    "review:reminded": _tell("named", "review-reminder"),
    "review:replaced": _tell("named", "review-replaced", mail=False),
    "stand-in:proposed": _tell("officers", "stand-in-proposed", mail=False),
    "reply:opened": _tell("person", "reply-opened"),
    "letter:sent": _tell("person", "letter-sent"),
    "redress:asked": _tell("officers", "redress-asked"),
    "redress:upheld": _tell("person", "redress-answered"),
    "redress:redone": _tell("person", "redress-answered"),
    "reserve:next": _tell("officers", "reserve-next"),
    "step:passed": _tell("operators", "step-technical", next="technical"),
    "step:failed": _tell("officers", "step-failed", mail=False),
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
    "condition:met": _tell("people", "condition-answered"),
    "condition:waived": _tell("people", "condition-answered"),
    "condition:evidence": _tell("officers", "condition-evidence", mail=False),
    "compute:near": (*_tell("people", "compute-near"), *_tell("officers", "compute-near")),
    "compute:crossed": (*_tell("people", "compute-crossed"), *_tell("officers", "compute-crossed")),
    "change:asked": (*_tell("people", "change-asked"), *_tell("officers", "change-asked")),
    "change:noted": _tell("officers", "change-noted", mail=False),
    "change:accepted": _tell("people", "change-answered"),
    "change:refused": _tell("people", "change-answered"),
    "permit:stated": _tell("officers", "permit-stated"),
    "permit:confirmed": _tell("people", "permit-answered"),
    "permit:withdrawn": _tell("people", "permit-answered"),
    "permit:ending": _tell("people", "permit-ending"),
    "permit:ended": (*_tell("people", "permit-ended"), *_tell("officers", "permit-ended")),
    "rescreening:stands": _tell("person", "rescreened"),
    "rescreening:falls": _tell("person", "rescreened"),
    "proposal:made": _tell("officers", "award-proposed"),
    "reminder:due": _tell("named", "review-reminder"),
    "question:asked": _tell("officers", "question-asked", mail=False),
    "draft:shared": _tell("people", "draft-shared", mail=False),
    "membership:added": _tell("named", "membership-added", mail=False),
    "membership:removed": _tell("named", "membership-removed"),
}
"""By `subject:action`; which source an event has does not matter."""
SILENT: Mapping[str, str] = {
    "application:withdrawn": "the applicant did it and sees it",
    "attempt:": "the run's page follows them, and the run's end is told",
    "leg:": "its key and its result belong to the run, whose end is told",
    "run:": "whoever acted on it sees it; its end is told",
    "parcel:": "the courier's own book",
    "machine:": "operators see it on their page",
    "node:": "operators see it on their page",
    "call:": "calls stand open to everybody",
    "code:": "the book of what was uploaded",
    "token:": "shown to who made or revoked it",
    "enrol-code:": "shown to who made it",
    "login-link:": "shown to who asked for it",
    "session:": "who signed in knows",
    "mail:": "officers see mail that did not leave on its page",
    "draft:": "whoever writes in it sees it; that it was shared is told",
    "invitation:": "a mail goes to who is invited",
    "person:": "who asked for it is told by its page",
    "duty:": "what is due and overdue is told; the rest is seen where it is done",
    "import:": "that one was prepared is told; who confirms or refuses it sees what came of it",
    "proposal:": "that one was made is told; who confirms it sees it",
    "request:": "answers are told; who withdraws it knows",
    "question:": "who asked reads the answer at the link they were given; nobody's address is kept",
    "allocation:": "opened with the award, which is told; ends, low hours and requests are told",
    "round:": "officers close it together with its page",
    "review:": "who sends it knows; officers see it in the round",
    "reviewer:": "an officer did it",
    "conflict:": "an officer answered it",
    "application:out-of-order": "kept beside the application",
    "application:refused": "who sent it read why at once",
    "screening:overruled": "kept with the decision, which is told",
    "application:reopened": "that the redress was answered is told",
    "letter:": "that it was sent is told; before that it is the officers' own",
    "step:reopened": "redress was upheld, which is read where it was asked for",
    "panel:": "officers convene and close it together",
    "place:": "officers see the reserve list of the round",
    "redress:": "who withdraws it knows; the rest is told",
    "reply:": "officers and reviewers read it beside the application",
    "stand-in:": "the new review is told to who gets it",
    "usage:": "the ledger; what it leads to is told",
    "capacity:": "an officer stated it",
    "price:": "an officer stated it; statements are told",
    "evaluation:": "who attached it sees it on the run",
    "release:": "who published it did it by hand",
    "membership:changed": "owners did it; who stands in it sees their role",
}
"""Events told to nobody, and why: by their name, or by their subject where the rest of it is silent."""
_NAMED_IN_DATA = ("run", "allocation", "award", "application", "organisation")


def of(name: str) -> tuple[Tell, ...]:
    return RULES.get(name.partition(":")[2], ())


def audience(event: Event) -> Iterable[tuple[Tell, list[Person]]]:
    """Each rule with the persons it tells; nobody is told what they did themselves, but that it was received."""
    thing = thing_of(event)
    for rule in of(event.name):
        if rule.next is not None and event.data.get("next") != rule.next:
            continue
        people = _people(rule.who, event, thing).filter(is_active=True)
        if rule.who not in ("person", "named"):
            people = people.exclude(username=event.actor)
        yield rule, list(people.distinct().order_by("pk"))


def context(event: Event) -> dict[str, Any]:
    """What the texts may name."""
    thing = thing_of(event)
    title = event.data.get("title") or _title(thing) or event.subject_id
    named: dict[str, Any] = {"title": title, "reason": event.reason, "data": event.data, "thing": thing}
    return named | {"path": str(event.data.get("path") or _path(thing, event)), "at": event.at}


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
        machine = _machine(thing)
        host = machine.site.organisation if machine else organisation
        return Person.objects.filter(memberships__organisation=host, memberships__role="operator")
    if organisation is None or who == "named":
        return Person.objects.none()
    stands = Person.objects.filter(memberships__organisation=organisation)
    if who == "people":
        return stands
    thing = (getattr(thing, "leg", None) and thing.leg.run) or getattr(thing, "application", thing)
    one = getattr(thing, "applicant_id", None) or getattr(thing, "created_by_id", None)
    return Person.objects.filter(pk=one) if one else stands.filter(memberships__role="owner")


def _machine(thing: Any) -> Any:
    """Where it runs, or is asked to run."""
    thing = getattr(thing, "application", thing)
    if (wanted := getattr(getattr(thing, "form", None), "machine", None)) is not None:
        from hanse.service.runs.models import Machine

        return Machine.objects.filter(public_id=wanted).first()
    return getattr(getattr(thing, "leg", thing), "machine", None)


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
    if name := getattr(thing, "name", "") or getattr(thing, "title", ""):
        return str(name)
    for further in ("project", "application", "award", "allocation"):
        if (nearer := getattr(thing, further, None)) is not None:
            return _title(nearer)
    return ""


_PAGES: Mapping[str, str] = {
    "application": "portal:application", "allocation": "portal:allocation", "run": "portal:run",
    "condition": "compliance:condition", "permit": "compliance:permit", "runchange": "compliance:change",
    "question": "compliance:answer", "assignment": "review:sheet", "duty": "awarding:duty",
    "keptdraft": "forms:opened", "letter": "review:letter",
}  # fmt: skip
"""Where a thing of that model is looked at."""


def _path(thing: Any, event: Event) -> str:
    if thing is None:
        return ""
    if hasattr(thing, "leg"):
        thing = thing.leg.run
    page = type(thing)._meta.model_name
    if page == "changerequest":
        return reverse("awarding:requests", args=[thing.allocation.public_id])
    if page == "step" and event.data.get("next"):
        return reverse("review:step", args=[thing.application.public_id, event.data["next"]])
    if page == "redress":
        return reverse("review:redress", args=[thing.application.public_id])
    if page == "standin":
        return reverse("review:given", args=[thing.assignment.public_id])
    if page in ("award", "proposal", "step"):
        thing, page = thing.application, "application"
    return reverse(_PAGES[page], args=[thing.public_id]) if page in _PAGES else ""
