"""Persons who review, with what they know of, and applications as the search for conflicts looks at them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.db.models.functions import Coalesce

from hanse.contracts import review_steps as contract
from hanse.contracts.errors import Conflict, PolicyError, UsageError
from hanse.programme.review import conflicts
from hanse.service.access.models import Application, Person
from hanse.service.runs.events import Event


class Reviewer(models.Model):
    person = models.OneToOneField(Person, on_delete=models.PROTECT, related_name="reviewer")
    organisation = models.CharField(max_length=200, blank=True)
    """Where they work; organisations they stand in here are known besides."""
    keywords = models.JSONField(default=list)
    active = models.BooleanField(default=True)
    """Asked for reviews; who is not keeps those they have."""

    class Meta:
        app_label = "review"
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.person.display_name

    @classmethod
    def enlist(
        cls, person: Person, *, organisation: str, keywords: tuple[str, ...], by: Person, active: bool = True
    ) -> Reviewer:
        """Make a person a reviewer, or put down anew what they know of. Raises PolicyError: not an officer."""
        by.require_officer()
        with transaction.atomic():
            known = sorted({conflicts.plain(one) for one in keywords} - {""})
            fields = {"organisation": organisation, "keywords": known, "active": active}
            found, _ = cls.objects.update_or_create(person=person, defaults=fields)
            Event.record(
                "officer:reviewer:enlisted", f"reviewer-{found.pk}", by=by.username, to=person.username, active=active
            )
        return found

    @classmethod
    def listed(cls) -> list[Reviewer]:
        """All who are asked for reviews, with what conflicts are found by."""
        rows = cls.objects.filter(active=True, person__is_active=True).select_related("person")
        return list(rows.prefetch_related("person__memberships__organisation").order_by("pk"))

    @classmethod
    def named(cls, username: str) -> Reviewer:
        """Raises UsageError: no such person reviews."""
        found = cls.objects.filter(person__username=username).select_related("person").first()
        if found is None:
            raise UsageError(f"no reviewer is called {username}", where="reviewer", fix="enlist them first")
        return found

    @classmethod
    def counted(cls) -> Any:
        """Rows for `contract`, each with how many reviews it holds."""
        waits = cls.objects.filter(pk=models.OuterRef("pk"), assignments__state="given").values("pk")
        count = models.Subquery(waits.annotate(count=models.Count("assignments")).values("count"))
        return cls.objects.select_related("person").annotate(holds=Coalesce(count, 0)).order_by("pk")

    def contract(self) -> contract.ReviewerShown:
        holds = getattr(self, "holds", None)
        return contract.ReviewerShown(
            person=self.person.username, name=str(self), email=self.person.email, organisation=self.organisation,
            keywords=tuple(self.keywords), active=self.active,
            open_reviews=self.assignments.filter(state="given").count() if holds is None else holds,  # type: ignore[attr-defined]
        )  # fmt: skip

    def seen(self, *, load: int = 0) -> conflicts.Reviewer:
        own = [one.organisation.name for one in self.person.memberships.all()]
        return conflicts.Reviewer(
            id=str(self.pk), name=self.person.display_name, email=self.person.email,
            organisations=(self.organisation, *own), keywords=frozenset(self.keywords), load=load,
        )  # fmt: skip


def entry(application: Application) -> conflicts.Entry:
    """What of an application conflicts are found by; the applicant counts as one of the team."""
    whole, applicant = application.form.whole, application.applicant
    team = [applicant.display_name, applicant.email]
    houses = [application.organisation.name]
    for one in whole.team if whole else ():
        team += [one.name, one.email]
        houses.append(one.organisation or "")
    known = whole.project.keywords if whole else ()
    return conflicts.Entry(
        id=application.public_id, organisations=tuple(houses), team=tuple(team),
        excluded=whole.reviewers.excluded if whole else (),
        keywords=frozenset(conflicts.plain(one) for one in known),
    )  # fmt: skip


def require_judge(person: Person, application: Application) -> None:
    """Nothing for an officer outside the organisation that applied; else PolicyError."""
    person.require_officer()
    if person.belongs_to(application.organisation) and not settings.HANSE_EMBEDDED:
        raise PolicyError(
            f"you stand in {application.organisation}, which applied",
            where=application.public_id,
            fix="another officer has to do this",
        )


def require_judge_of_all(person: Person, applications: Iterable[Application]) -> None:
    """The same of each, with one query for all of them."""
    person.require_officer()
    own = set(person.memberships.values_list("organisation_id", flat=True))
    for one in applications:
        if one.organisation_id in own:  # type: ignore[attr-defined]
            require_judge(person, one)


def opened(pk: Any) -> Application:
    """The application, locked; raises Conflict where it is no longer open for review."""
    held: Application = Application.objects.select_for_update(of=("self",)).select_related("call").get(pk=pk)
    if held.state not in ("sent", "in-review"):
        raise Conflict(f"the application is {held.state}", where=held.public_id, fix="look at it again")
    return held
