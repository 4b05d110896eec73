"""Enrolling an agent: an operator of the site gets a token for one machine, or a code that the agent exchanges for one.

A code works once, within the hour, for its machine. Only its hash is kept.
"""

from __future__ import annotations

import secrets
from datetime import timedelta

from django.db import models, transaction

from hanse.client.answers import CodeRequest, EnrolRequest, NewCode, NewToken, RedeemRequest
from hanse.contracts.base import now
from hanse.contracts.errors import PolicyError, UsageError
from hanse.service.access.people import Person
from hanse.service.access.tokens import AGENT_TOKEN_LIFE, ApiToken, digest
from hanse.service.runs.events import Event
from hanse.service.runs.machines import Machine, Site

CODE_LIFE = timedelta(hours=1)
KEEP_USED = timedelta(days=30)
_LETTERS = "ABCDEFGHJKMNPQRSTVWXYZ23456789"
"""Without those that are read as another."""


class EnrolCode(models.Model):
    """Makes whoever has it the agent of its machine, once."""

    machine = models.ForeignKey("runs.Machine", on_delete=models.CASCADE, related_name="codes")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    made_by = models.CharField(max_length=150)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        app_label = "access"

    def __str__(self) -> str:
        return f"code of {self.machine}"

    @classmethod
    def issue(cls, machine: Machine, *, by: str) -> NewCode:
        """A new code's text: this is the only time it is known. Earlier ones that nobody used are void."""
        code = "-".join("".join(secrets.choice(_LETTERS) for _ in range(5)) for _ in range(5))
        at = now()
        with transaction.atomic():
            cls.objects.filter(machine=machine, used_at=None, expires_at__gt=at).update(expires_at=at)
            cls.objects.filter(expires_at__lt=at - KEEP_USED).delete()
            made = cls.objects.create(machine=machine, digest=digest(code), made_by=by, expires_at=at + CODE_LIFE)
            Event.record("user:enrol-code:issued", machine.public_id, by=by)
        return NewCode(code=code, machine=machine.public_id, expires_at=made.expires_at)


def enrol_agent(person: Person, asked: EnrolRequest) -> NewToken:
    """Raises PolicyError to whoever does not operate the site, and where the machine is another site's."""
    with transaction.atomic():
        machine = _own_machine(person, asked.site, asked.machine)
        token = ApiToken.issue(asked.name, by=person.username, machine=machine)
    return NewToken(token=token, name=asked.name, expires_at=None)


def make_code(person: Person, asked: CodeRequest) -> NewCode:
    """Raises PolicyError to whoever does not operate the site, and where the machine is another site's."""
    with transaction.atomic():
        return EnrolCode.issue(_own_machine(person, asked.site, asked.machine), by=person.username)


def redeem(given: str, asked: RedeemRequest) -> NewToken:
    """The token for a code, the first time and in time. Raises UsageError ever after; which it is, is not told."""
    at = now()
    fresh = EnrolCode.objects.filter(
        digest=digest(given.strip().upper()), machine__public_id=asked.machine, used_at=None, expires_at__gt=at
    )
    with transaction.atomic():
        code = fresh.select_related("machine").first()
        # The UPDATE names no other table: with a join PostgreSQL would not look at used_at again after a wait.
        if code is None or not EnrolCode.objects.filter(pk=code.pk, used_at=None).update(used_at=at):
            _note_in_vain(asked.machine)
            token = None
        else:
            expires_at = at + AGENT_TOKEN_LIFE
            token = ApiToken.issue("agent", by=code.made_by, machine=code.machine, expires_at=expires_at)
            Event.record("agent:machine:enrolled", asked.machine, by=code.made_by)
    if token is None:
        raise UsageError(
            f"the code is not good for {asked.machine}: used, older than an hour, mistyped or of another machine",
            where="code",
            fix="ask the site's operator for a new one",
        )
    return NewToken(token=token, name="agent", expires_at=expires_at)


def renew(machine: Machine, token: ApiToken) -> NewToken:
    """A successor of the token the agent speaks with."""
    secret, expires_at = token.renew(by=machine.actor)
    return NewToken(token=secret, name=token.name, expires_at=expires_at)


def _note_in_vain(machine: str) -> None:
    if Machine.objects.filter(public_id=machine).exists():
        Event.note("agent:enrol-code:refused", machine, by="anonymous", reason="a code was tried in vain")


def _own_machine(person: Person, site_id: str, machine_id: str) -> Machine:
    """The machine, made if it is new. Needs a transaction."""
    site = Site.objects.select_related("organisation").filter(public_id=site_id).first()
    if site is None or not person.operates(site.organisation):
        raise PolicyError(
            f"you do not operate a site {site_id}", where="site", fix="ask an administrator to make you its operator"
        )
    machine, new = Machine.objects.get_or_create(public_id=machine_id, defaults={"site": site})
    if machine.site_id != site.pk:
        raise UsageError(
            f"machine {machine_id} belongs to {machine.site}", where="machine", fix="choose another id for yours"
        )
    if new:
        Event.record("user:machine:registered", machine.public_id, by=person.username, site=site.public_id)
    return machine
