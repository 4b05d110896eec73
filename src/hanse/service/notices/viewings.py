"""Who looked at confidential data: what, when and from where, kept as rows.

The middleware writes them for the addresses of `SHOWN`; a page that shows such data in another way calls `keep`. A test
asks of every address that names an application, a draft, a document or a person whether it stands in the table.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import models
from django.http import HttpRequest, HttpResponse

from hanse.contracts.base import now
from hanse.service import policy
from hanse.service.access.models import Organisation, Person
from hanse.service.notices import things
from hanse.service.runs.events import AppendOnlyQuerySet

KEEP = timedelta(days=730)
"""Two years: long enough to answer a data subject's question, and no longer (docs/explanation/safety.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What an address shows: a word for it, and the name in the address of what it shows."""

    what: str
    names: str = ""


SHOWN: Mapping[str, Shown] = {
    "portal:application": Shown(what="application", names="application_id"),
    "api:application": Shown(what="application", names="id"),
    "api:applications": Shown(what="list of applications"),
    "forms:opened": Shown(what="draft", names="draft_id"),
    "forms:section": Shown(what="draft", names="draft_id"),
    "forms:check": Shown(what="draft", names="draft_id"),
    "forms:plan": Shown(what="draft", names="draft_id"),
    "forms:pdf": Shown(what="draft", names="draft_id"),
    "forms:json": Shown(what="draft", names="draft_id"),
    "forms:application-pdf": Shown(what="application", names="application_id"),
    "forms:application-json": Shown(what="application", names="application_id"),
    "review:sheet": Shown(what="application", names="review_id"),
    "review:step": Shown(what="application", names="application_id"),
    "review:given": Shown(what="application", names="review_id"),
    "review:reply": Shown(what="application", names="application_id"),
    "review:letter": Shown(what="application", names="letter_id"),
    "review:redress": Shown(what="application", names="application_id"),
    "review:places": Shown(what="list of applications"),
    "review:panel": Shown(what="list of applications"),
    "api:form": Shown(what="application", names="id"),
    "api:queue": Shown(what="list of applications"),
    "api:of_application": Shown(what="application", names="id"),
    "api:do": Shown(what="application", names="id"),
    "api:see_reply": Shown(what="application", names="id"),
    "api:letter": Shown(what="application", names="id"),
    "api:letters": Shown(what="list of applications"),
    "api:all_redress": Shown(what="list of applications"),
    "api:panels": Shown(what="list of applications"),
    "api:ranking": Shown(what="list of applications"),
    "review:round": Shown(what="list of applications"),
    "review:lane": Shown(what="list of applications"),
    "imports:batch": Shown(what="import of awards", names="batch_id"),
    "imports:csv": Shown(what="import of awards", names="batch_id"),
    "api:one_import": Shown(what="import of awards", names="id"),
    "notices:people": Shown(what="people of an organisation", names="organisation_id"),
    "notices:my-data-file": Shown(what="all data of a person"),
    "api:my_data": Shown(what="all data of a person"),
    "admin:access_application_change": Shown(what="application", names="object_id"),
    "admin:access_application_changelist": Shown(what="list of applications"),
    "admin:access_person_change": Shown(what="person", names="object_id"),
    "admin:access_person_changelist": Shown(what="list of persons"),
    "admin:compliance_screening_change": Shown(what="screening", names="object_id"),
}
"""By the name of the address."""


class ViewingQuerySet(AppendOnlyQuerySet):
    def seen_by(self, person: Person) -> Any:
        """All for officers; else those of the organisations the person owns, and those of the person's own data."""
        if policy.may(person, "service:see-views"):
            return self.all()
        owned = Organisation.objects.filter(memberships__person=person, memberships__role="owner")
        return self.filter(models.Q(organisation__in=owned) | models.Q(subject_id=subject_of(person)))


class Viewing(models.Model):
    """One look. The viewer is kept by name, as in events; nothing changes it, its age alone removes it."""

    viewer = models.CharField(max_length=150, db_index=True)
    what = models.CharField(max_length=40)
    subject_id = models.CharField(max_length=63, blank=True, db_index=True)
    organisation = models.ForeignKey(
        Organisation, on_delete=models.CASCADE, null=True, blank=True, related_name="viewings"
    )
    """Whose data it is; empty for lists and for a person's own."""
    confidential = models.BooleanField(default=False)
    """The applicant marked it so."""
    how = models.CharField(max_length=10)
    """page, API or records."""
    address = models.GenericIPAddressField(null=True, blank=True)
    at = models.DateTimeField(db_index=True)

    objects = ViewingQuerySet.as_manager()

    class Meta:
        app_label = "notices"
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.viewer} saw {self.what} {self.subject_id}"


def subject_of(person: Person) -> str:
    return f"person-{person.pk}"


def note(request: HttpRequest, response: HttpResponse) -> None:
    """Write down what the answer showed, if it showed something confidential."""
    match = request.resolver_match
    shown = SHOWN.get(match.view_name) if match else None
    if match is None or shown is None or response.status_code != 200 or request.method not in ("GET", "POST"):
        return
    person = getattr(request, "auth", None) or request.user
    if isinstance(person, Person):
        found = getattr(request, "shown", None)
        if found is None:
            found = _named(str(match.kwargs.get(shown.names, "")), match.view_name, person)
        keep(request, person, shown.what, found)


def showing(request: HttpRequest, thing: Any) -> None:
    """A page has looked up what its address names: it need not be looked up again for `note`."""
    request.shown = thing  # type: ignore[attr-defined]


def keep(request: HttpRequest, person: Person, what: str, thing: Any = None) -> Viewing:
    """One row: this person saw that of this thing, by this request."""
    space = request.resolver_match.namespace if request.resolver_match else ""
    form = getattr(thing, "form", None)
    marked = bool(form and form.whole and form.whole.declarations.any_part_confidential)
    named = subject_of(thing) if isinstance(thing, Person) else getattr(thing, "public_id", "")
    return Viewing.objects.create(
        viewer=person.username, what=what, subject_id=named, confidential=marked, at=now(),
        organisation=policy.organisation_of(thing) if not isinstance(thing, Person) else None,
        how={"api": "API", "admin": "records"}.get(space, "page"), address=address_of(request),
    )  # fmt: skip


def address_of(request: HttpRequest) -> str | None:
    """Where the request came from; behind a proxy, what the proxy nearest to us saw."""
    if settings.HANSE_BEHIND_PROXY:
        forwarded = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
        if forwarded:
            return _checked(forwarded)
    return _checked(request.META.get("REMOTE_ADDR", ""))


def purge(at: datetime) -> int:
    gone, _ = models.QuerySet(Viewing).filter(at__lt=at - KEEP).delete()
    return gone


def _checked(given: str) -> str | None:
    try:
        return str(ipaddress.ip_address(given))
    except ValueError:
        return None


def _named(name: str, view: str, person: Person) -> Any:
    """What the address names; admin's addresses name rows by their key."""
    if view.endswith(("my-data-file", "my_data")):
        return person
    if not name:
        return None
    if view.startswith("admin:"):
        return _row(view, name)
    return things.find(name)


def _row(view: str, key: str) -> Any:
    label, model, _ = view.removeprefix("admin:").split("_", 2)
    return apps.get_model(label, model).objects.filter(pk=key).first() if key.isdecimal() else None
