"""Enrolling an agent: an operator of the site gets one token for one machine."""

from __future__ import annotations

from django.db import transaction

from hanse.client.answers import EnrolRequest, NewToken
from hanse.contracts.errors import PolicyError, UsageError
from hanse.service.access.models import ApiToken, Person
from hanse.service.runs.models import Event, Machine, Site


def enrol_agent(person: Person, asked: EnrolRequest) -> NewToken:
    """Raises PolicyError to whoever does not operate the site, and where the machine is another site's."""
    site = Site.objects.select_related("organisation").filter(public_id=asked.site).first()
    if site is None or not person.operates(site.organisation):
        raise PolicyError(
            f"you do not operate a site {asked.site}", where="site", fix="ask an administrator to make you its operator"
        )
    with transaction.atomic():
        machine, new = Machine.objects.get_or_create(public_id=asked.machine, defaults={"site": site})
        if machine.site_id != site.pk:
            raise UsageError(
                f"machine {asked.machine} belongs to {machine.site}", where="machine", fix="choose another id for yours"
            )
        if new:
            Event.record("user:machine:registered", machine.public_id, by=person.username, site=site.public_id)
        token = ApiToken.issue(asked.name, by=person.username, machine=machine)
    return NewToken(token=token, name=asked.name, expires_at=None)
