"""Persons, the organisations they stand in, and who may do what.

A person sees what belongs to their organisations; officers see and decide every application; an operator of an
organisation runs its sites' machines.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AbstractUser, Group
from django.db import models
from django.utils.functional import cached_property

from hanse.contracts.errors import PolicyError
from hanse.service import policy
from hanse.service.records import PublicIdField

OFFICERS = "officers"
"""The group of those who decide applications."""


class Person(AbstractUser):
    """Someone with a name and a password, or a token."""

    class Meta:
        app_label = "access"
        verbose_name = "person"
        verbose_name_plural = "persons"

    @property
    def display_name(self) -> str:
        return self.get_full_name() or self.username

    @property
    def is_officer(self) -> bool:
        return self.is_active and (self.is_superuser or self._stands[0])

    @property
    def is_reviewer(self) -> bool:
        return self._stands[1]

    @classmethod
    def standing(cls) -> models.QuerySet[Person]:
        """Persons with whether each is among the officers, and among the reviewers."""
        officers = Group.objects.filter(user=models.OuterRef("pk"), name=OFFICERS)
        return cls.objects.annotate(
            among_officers=models.Exists(officers), among_reviewers=models.Q(reviewer__isnull=False)
        )

    def remember_standing(self) -> None:
        """Of one that `standing` read."""
        self.__dict__["_stands"] = (self.among_officers, self.among_reviewers)  # type: ignore[attr-defined]

    @cached_property
    def _stands(self) -> tuple[bool, bool]:
        """Among the officers, among the reviewers: a page asks many times, so it is read once for this object."""
        return Person.standing().filter(pk=self.pk).values_list("among_officers", "among_reviewers").first() or (
            False,
            False,
        )

    def refresh_from_db(self, *args: Any, **options: Any) -> None:
        self.forget_standing()
        super().refresh_from_db(*args, **options)

    def forget_standing(self) -> None:
        """The person's groups have changed."""
        self.__dict__.pop("_stands", None)

    def operates(self, organisation: Organisation) -> bool:
        return policy.may(self, "organisation:operate", organisation)

    def belongs_to(self, organisation: Organisation) -> bool:
        return bool(self.roles_in(organisation))

    def roles_in(self, organisation: Organisation) -> set[str]:
        """Asked anew each time, but on a page that has read its reader's memberships (`prefetch_related_objects`)."""
        if "memberships" in getattr(self, "_prefetched_objects_cache", {}):
            return {one.role for one in self.memberships.all() if one.organisation_id == organisation.pk}
        return set(self.memberships.filter(organisation=organisation).values_list("role", flat=True))

    def require_officer(self) -> None:
        """Raises PolicyError for anybody else."""
        policy.require(self, "programme:run")


class Organisation(models.Model):
    public_id = PublicIdField(prefix="org")
    name = models.CharField(max_length=200, unique=True)
    kind = models.CharField(max_length=20)
    country = models.CharField(max_length=2, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "access"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def of_applicant(cls, person: Person, *, name: str, kind: str, country: str) -> Organisation:
        """The organisation a person applies for: one they stand in, or a new one that they then own."""
        found = cls.objects.filter(name__iexact=name).first()
        if found is None:
            found = cls.objects.create(name=name, kind=kind, country=country)
            Membership.objects.create(person=person, organisation=found, role="owner")
        elif not person.belongs_to(found):
            raise PolicyError(
                f"{found.name} is already registered and you are not one of its members",
                where="organisation",
                fix="ask its owner to add you, or apply under your own organisation's name",
            )
        return found


class Membership(models.Model):
    ROLES = (("owner", "owner"), ("member", "member"), ("operator", "operator of its machines"))

    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="memberships")
    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=ROLES, default="member")

    class Meta:
        app_label = "access"
        constraints = [models.UniqueConstraint(fields=["person", "organisation", "role"], name="membership_once")]

    def __str__(self) -> str:
        return f"{self.person} · {self.organisation} · {self.role}"


class ProjectQuerySet(models.QuerySet):
    def seen_by(self, person: Person) -> Any:
        return self.filter(organisation__memberships__person=person).distinct()


class Project(models.Model):
    """What an organisation works on; allocations and runs belong to it."""

    public_id = PublicIdField(prefix="prj")
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="projects")
    name = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ProjectQuerySet.as_manager()

    class Meta:
        app_label = "access"
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.name
