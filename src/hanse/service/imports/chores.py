"""Its timed work, idempotent; called by the tick: an award's contact, once they are here, stands as who filed it."""

from __future__ import annotations

from datetime import datetime

from hanse.service.access.models import Application, Person
from hanse.service.imports.kept import ImportedAward
from hanse.service.notices.invitations import Invitation


def run(at: datetime) -> int:  # noqa: ARG001
    """How many came."""
    found = 0
    for one in ImportedAward.objects.filter(contact_joined=False).select_related("award__application__organisation"):
        application = one.award.application
        person = _joined(application)
        if person is not None:
            Application.objects.filter(pk=application.pk).update(applicant=person)
            found += ImportedAward.objects.filter(pk=one.pk, contact_joined=False).update(contact_joined=True)
    return found


def _joined(application: Application) -> Person | None:
    email, organisation = application.form.contact_email, application.organisation
    taken = Invitation.objects.filter(organisation=organisation, email__iexact=email, accepted_by__isnull=False)
    if (latest := taken.select_related("accepted_by").first()) is not None:
        return latest.accepted_by
    return Person.objects.filter(email__iexact=email, memberships__organisation=organisation).order_by("pk").first()
