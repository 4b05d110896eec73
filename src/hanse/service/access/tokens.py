"""Bearer tokens of persons and agents, and links that sign a person in once. Only hashes are kept.

A token is 256 random bits behind a prefix that secret scanners can recognise; its SHA-256 needs no salt.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Any

from django.db import models, transaction

from hanse.contracts.base import now
from hanse.service.access.people import Person
from hanse.service.runs.events import Event
from hanse.service.runs.machines import MACHINE_CONTRACTS

USED_PRECISION = timedelta(minutes=1)
AGENT_TOKEN_LIFE = timedelta(days=90)
OVERLAP = timedelta(hours=24)
RENEWED = ", renewed "
LINK_LIFE = timedelta(minutes=10)


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


class ApiToken(models.Model):
    """Opens the API as one person, or the agent API as one machine."""

    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    person = models.ForeignKey(Person, on_delete=models.CASCADE, null=True, blank=True, related_name="tokens")
    machine = models.ForeignKey("runs.Machine", on_delete=models.CASCADE, null=True, blank=True, related_name="tokens")
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        app_label = "access"
        verbose_name = "API token"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(person__isnull=True) ^ models.Q(machine__isnull=True), name="token_of_one"
            )
        ]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def issue(
        cls,
        name: str,
        *,
        by: str,
        person: Person | None = None,
        machine: Any = None,
        expires_at: datetime | None = None,
    ) -> str:
        """A new token's text: this is the only time it is known."""
        secret = f"hanse_{'a' if machine else 'u'}_{secrets.token_urlsafe(32)}"
        subject = machine.public_id if machine else f"person-{person.pk}" if person else ""
        with transaction.atomic():
            cls.objects.create(name=name, digest=digest(secret), person=person, machine=machine, expires_at=expires_at)
            Event.record("service:token:issued", subject, by=by, token=name)
        return secret

    @classmethod
    def find(cls, secret: str) -> ApiToken | None:
        """The token, if it may still be used. Notes its use, at most once a minute."""
        named = cls.objects.select_related("person", "machine__site__organisation").filter(digest=digest(secret))
        # Who asks is a matter of every request; what a machine is like, of few.
        token = named.defer(*(f"machine__{name}" for name in MACHINE_CONTRACTS)).first()
        at = now()
        if token is None or token.revoked_at or (token.expires_at and token.expires_at <= at):
            return None
        if token.person is not None and not token.person.is_active:
            return None
        if token.last_used_at is None or at - token.last_used_at > USED_PRECISION:
            cls.objects.filter(pk=token.pk).update(last_used_at=at)
        return token

    @classmethod
    def ended(cls, secret: str) -> ApiToken | None:
        """An agent's token that was good once and is no longer."""
        token = cls.objects.select_related("machine").filter(digest=digest(secret), machine__isnull=False).first()
        over = token is not None and (token.revoked_at or (token.expires_at and token.expires_at <= now()))
        return token if over else None

    def note_refused(self) -> str:
        """What became of it, in words; written down once an hour however often it is shown."""
        what = "revoked" if self.revoked_at else "expired"
        when = (self.revoked_at or self.expires_at or now()).strftime("%Y-%m-%d %H:%M UTC")
        said = f"this agent's token was revoked on {when}" if self.revoked_at else f"this agent's token ended on {when}"
        Event.note("agent:token:refused", self.machine.public_id, by=self.machine.actor, reason=said, token=what)
        return said

    def renew(self, *, by: str) -> tuple[str, datetime]:
        """A successor for its machine; this one stays good for a day, in case the answer is lost."""
        at = now()
        with transaction.atomic():
            cls = type(self)
            stem = self.name.partition(RENEWED)[0][:60]
            unused = cls.objects.filter(
                machine=self.machine, name__startswith=f"{stem}{RENEWED}", last_used_at=None, revoked_at=None
            )  # answers that were lost: nobody has those
            unused.exclude(pk=self.pk).update(revoked_at=at)
            expires_at = at + AGENT_TOKEN_LIFE
            secret = cls.issue(
                f"{stem}{RENEWED}{at:%Y-%m-%d}", by=by, machine=self.machine, expires_at=expires_at
            )  # fmt: skip
            until = at + OVERLAP
            if self.expires_at is None or self.expires_at > until:
                cls.objects.filter(pk=self.pk).update(expires_at=until)
        return secret, expires_at

    def revoke(self, *, by: str, reason: str = "") -> None:
        with transaction.atomic():
            if type(self).objects.filter(pk=self.pk, revoked_at=None).update(revoked_at=now()):
                subject = self.machine.public_id if self.machine else f"person-{self.person_id}"
                Event.record("service:token:revoked", subject, by=by, reason=reason, token=self.name)


class LoginLink(models.Model):
    """Signs its person in, once, within ten minutes."""

    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="login_links")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        app_label = "access"

    def __str__(self) -> str:
        return f"link of {self.person}"

    @classmethod
    def issue(cls, person: Person) -> tuple[str, datetime]:
        secret, expires_at = secrets.token_urlsafe(32), now() + LINK_LIFE
        with transaction.atomic():
            cls.objects.create(person=person, digest=digest(secret), expires_at=expires_at)
            Event.record("service:login-link:issued", f"person-{person.pk}", by=person.username)
        return secret, expires_at

    @classmethod
    def use(cls, secret: str) -> Person | None:
        """Its person, the first time and in time; None ever after."""
        at = now()
        open_links = cls.objects.filter(digest=digest(secret), used_at=None, expires_at__gt=at, person__is_active=True)
        with transaction.atomic():
            link = open_links.select_related("person").first()
            # The UPDATE names no other table: with a join PostgreSQL would not look at used_at again after a wait.
            if link is None or not cls.objects.filter(pk=link.pk, used_at=None).update(used_at=at):
                return None
            Event.record("user:login-link:used", f"person-{link.person_id}", by=link.person.username)
        return link.person
