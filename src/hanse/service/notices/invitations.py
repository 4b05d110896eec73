"""Inviting somebody into an organisation by e-mail, and who stands in it with which role.

The link is signed, opens once, within two weeks, and can be revoked; what it opens is kept here and not in the link.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core import signing
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import models, transaction
from django.urls import reverse

from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, PolicyError, UsageError
from hanse.service import policy
from hanse.service.access.models import Application, Membership, Organisation, Person
from hanse.service.notices.inbox import Preference
from hanse.service.notices.outbox import Mail
from hanse.service.records import PublicIdField
from hanse.service.runs.events import Event

LIFE = timedelta(days=14)
MOST_OPEN = 50
"""Of one organisation at a time: an owner's account must not become somebody's way to send mail."""
ROLES = tuple(role for role, _ in Membership.ROLES)
_SALT = "hanse.invitation"
_GONE = "this invitation is used, revoked or older than two weeks"


class Invitation(models.Model):
    """Makes whoever has its link a member, once."""

    public_id = PublicIdField(prefix="inv")
    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="invitations")
    email = models.EmailField(max_length=254)
    role = models.CharField(max_length=10, choices=Membership.ROLES)
    invited_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    made_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    accepted_by = models.ForeignKey(Person, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        app_label = "notices"
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.public_id} into {self.organisation}"

    @classmethod
    def open_ones(cls) -> Any:
        return cls.objects.filter(accepted_at=None, revoked_at=None, expires_at__gt=now())

    @classmethod
    def invite(cls, by: Person, organisation: Organisation, *, email: str, role: str) -> Invitation:
        """A new invitation with its mail. One that is open to the same address is revoked.

        Raises:
            PolicyError: not an owner, or too many are open.
            UsageError: no e-mail address, or no such role.
        """
        policy.require(by, "organisation:change-people", organisation)
        return cls.write(by, organisation, email=email, role=role)

    @classmethod
    def write(cls, by: Person, organisation: Organisation, *, email: str, role: str) -> Invitation:
        """As `invite`, for who may bring its people in by another right than an owner's."""
        email = _address(email)
        _require_role(role)
        with transaction.atomic():
            Organisation.objects.select_for_update().get(pk=organisation.pk)
            mine, at = cls.open_ones().filter(organisation=organisation), now()
            mine.filter(email__iexact=email).update(revoked_at=at)
            if mine.count() >= MOST_OPEN:
                raise PolicyError(
                    f"{MOST_OPEN} invitations of {organisation} are open", where=organisation.public_id,
                    fix="revoke those that nobody will take up",
                )  # fmt: skip
            made = cls.objects.create(
                organisation=organisation, email=email, role=role, invited_by=by, expires_at=at + LIFE
            )
            Event.record("user:invitation:sent", organisation.public_id, by=by.username, role=role, id=made.public_id)
            Mail.write(
                made.public_id, kind="invitation", to=email, language=Preference.of(by).language, by=by.display_name,
                organisation=organisation.name, role=role, until=made.expires_at, path=made.path,
            )  # fmt: skip
        return made

    @property
    def path(self) -> str:
        return reverse("notices:invitation", args=[signing.dumps(self.public_id, salt=_SALT)])

    @classmethod
    def behind(cls, link: str) -> Invitation:
        """The open invitation of a link. Raises UsageError for any other; which it is, is not told."""
        try:
            public_id = signing.loads(link, salt=_SALT)
        except signing.BadSignature as error:
            raise UsageError(_GONE, where="link", fix="ask who invited you for a new one") from error
        found = cls.open_ones().select_related("organisation", "invited_by").filter(public_id=public_id).first()
        if found is None:
            raise UsageError(_GONE, where="link", fix="ask who invited you for a new one")
        return found

    def accept(self, person: Person) -> Membership:
        """Raises Conflict where somebody used it first."""
        at = now()
        with transaction.atomic():
            still = Invitation.objects.filter(pk=self.pk, accepted_at=None, revoked_at=None, expires_at__gt=at)
            if not still.update(accepted_at=at, accepted_by=person):
                raise Conflict(_GONE, where=self.public_id, fix="ask who invited you for a new one")
            membership, _ = Membership.objects.get_or_create(
                person=person, organisation=self.organisation, role=self.role
            )
            Event.record(
                "user:membership:added", self.organisation.public_id, by=person.username, role=self.role,
                to=person.username, invited_by=self.invited_by.username,
            )  # fmt: skip
        return membership

    def accept_as_new(self, username: str, password: str) -> Person:
        """A new person, who accepts it. Their address is known to be theirs: the link went there.

        Raises:
            UsageError: the name is taken, or the password too easy to guess.
        """
        if Person.objects.filter(username__iexact=username).exists():
            raise UsageError("somebody goes by that name already", where="username", fix="choose another")
        person = Person(username=username, email=self.email)
        try:
            Person._meta.get_field("username").clean(username, person)
            validate_password(password, person)
        except ValidationError as error:
            where = "password" if Person.username_validator.regex.match(username) else "username"
            raise UsageError(" ".join(error.messages), where=where) from error
        with transaction.atomic():
            person.set_password(password)
            person.save()
            self.accept(person)
        return person

    def revoke(self, by: Person) -> None:
        policy.require(by, "organisation:change-people", self.organisation)
        with transaction.atomic():
            if Invitation.objects.filter(pk=self.pk, accepted_at=None, revoked_at=None).update(revoked_at=now()):
                Event.record("user:invitation:revoked", self.organisation.public_id, by=by.username, id=self.public_id)


def set_roles(by: Person, organisation: Organisation, person: Person, roles: frozenset[str]) -> None:
    """The roles a person has in an organisation from now on; none: they stand in it no more.

    Raises:
        PolicyError: not an owner, or nobody would be left who is one.
    """
    policy.require(by, "organisation:change-people", organisation)
    for role in roles:
        _require_role(role)
    with transaction.atomic():
        Organisation.objects.select_for_update().get(pk=organisation.pk)
        held = set(Membership.objects.filter(person=person, organisation=organisation).values_list("role", flat=True))
        if not held or held == roles:
            return
        others = Membership.objects.filter(organisation=organisation, role="owner").exclude(person=person)
        if "owner" in held - roles and not others.filter(person__is_active=True).exists():
            raise PolicyError(
                f"{person.display_name} is the only owner of {organisation}", where=organisation.public_id,
                fix="make somebody else an owner first",
            )  # fmt: skip
        Membership.objects.filter(person=person, organisation=organisation).exclude(role__in=roles).delete()
        for role in roles - held:
            Membership.objects.create(person=person, organisation=organisation, role=role)
        Event.record(
            "user:membership:changed" if roles else "user:membership:removed", organisation.public_id,
            by=by.username, to=person.username, roles=", ".join(sorted(roles)),
        )  # fmt: skip


def team_of(organisation: Organisation) -> dict[str, str]:
    """Whom the organisation's applications name as their team and who neither stands in it nor is invited: address to
    name."""
    known = {m.person.email.lower() for m in organisation.memberships.select_related("person")}
    known |= {one.email.lower() for one in Invitation.open_ones().filter(organisation=organisation)}
    named: dict[str, str] = {}
    for application in Application.objects.filter(organisation=organisation).only("form"):
        for member in application.form.whole.team if application.form.whole else ():
            if "@" in member.email and member.email.lower() not in known:
                named.setdefault(member.email.lower(), member.name)
    return named


def invite_team(by: Person, organisation: Organisation) -> list[Invitation]:
    """Everybody of `team_of`, as members."""
    return [Invitation.invite(by, organisation, email=email, role="member") for email in team_of(organisation)]


def _address(email: str) -> str:
    email = email.strip()
    try:
        validate_email(email)
    except ValidationError as error:
        raise UsageError(f"{email or 'nothing'} is no e-mail address", where="email", fix="enter one") from error
    return email


def _require_role(role: str) -> None:
    if role not in ROLES:
        raise UsageError(f"there is no role {role}", where="role", fix=f"choose one of {', '.join(ROLES)}")
