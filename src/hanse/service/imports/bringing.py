"""Bringing rows in: an award with everything it has when it is granted here, or the change of one.

Called inside the transaction of a confirmation, with the machines locked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any

from hanse.contracts.application import Declarations, OrganisationDetails, TeamMember, WholeForm
from hanse.contracts.application import Project as ProjectForm
from hanse.contracts.base import now
from hanse.contracts.errors import HanseError
from hanse.contracts.imports import AwardRow, RowEffect
from hanse.contracts.programme import ApplicationForm
from hanse.contracts.units import SECONDS_PER_HOUR
from hanse.programme.imports.effects import Done
from hanse.programme.imports.faults import vat_of
from hanse.programme.imports.terms import call_of
from hanse.service.access.awards import Allocation, Award, machine_named
from hanse.service.access.models import Application, Call, Organisation, Person, Project, Review
from hanse.service.awarding import duties, elsewhere
from hanse.service.awarding.models import Duty
from hanse.service.compliance import conditions
from hanse.service.imports.kept import ImportedAward, ImportedPart, OrganisationNumber
from hanse.service.imports.looking import months_of
from hanse.service.notices.invitations import Invitation
from hanse.service.runs.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Officers:
    """Who prepared it and who confirms it, in which import; one and the same where one officer is enough."""

    prepared: Person
    confirmed: Person
    batch: str


def bring(rows: Sequence[Done], by: Officers) -> list[RowEffect]:
    """All rows of one award that do something; their effects as they came to be."""
    made = [one for one in rows if one.effect.effect == "create"]
    changed = [one for one in rows if one.effect.effect == "change"]
    found = [_change(one, by) for one in changed]
    if made:
        first = made[0].row
        imported = ImportedAward.objects.filter(source=first.source, reference=first.reference).first()
        if imported is None:
            found += _award(made, by)
        else:
            found += _add(imported, made, by)
    return found


def _award(made: Sequence[Done], by: Officers) -> list[RowEffect]:
    row = made[0].row
    organisation = _organisation(made[0])
    starts, ends = min(one.row.starts for one in made), max(one.row.ends for one in made)
    hours = sum(one.effect.gpu_hours for one in made)
    call = _call(row, by)
    application = Application.objects.create(
        call=call, organisation=organisation, applicant=by.prepared, state="granted",
        form=_form(row, call, organisation, hours, months_of(starts, ends)), decided_at=_decided(row),
        reason=f"Decided by {row.source}, reference {row.reference}.",
    )  # fmt: skip
    Review.objects.create(
        application=application, officer=by.confirmed, verdict="granted", reason=f"Brought in with {by.batch}."
    )
    award = Award.objects.create(
        application=application, project=Project.objects.create(organisation=organisation, name=row.title),
        gpu_hours=hours, conditions=list(row.conditions), starts=starts, duration_months=months_of(starts, ends),
        pays_per_use=row.pays_per_use, granted_by=by.confirmed,
    )  # fmt: skip
    conditions.open_for(award)
    imported = ImportedAward.objects.create(source=row.source, reference=row.reference, url=row.url, award=award)
    found = _open(imported, made, by)
    duties.open_for(award)
    late = Duty.objects.filter(award=award, due__lt=now().date())
    late.update(state="waived", reason=f"It was due before the award was brought in: {row.source} has it.")
    Event.record(
        "officer:application:imported", application.public_id, by=by.confirmed.username,
        reason=application.reason, award=award.public_id, batch=by.batch, prepared_by=by.prepared.username,
    )  # fmt: skip
    told = _invite(organisation, row, by)
    return [one.model_copy(update={"says": (*one.says, *told)}) for one in found]


def _add(imported: ImportedAward, made: Sequence[Done], by: Officers) -> list[RowEffect]:
    """Another machine, or another allocation, of an award that is here."""
    found = _open(imported, made, by)
    award = imported.award
    Award.objects.filter(pk=award.pk).update(gpu_hours=award.gpu_hours + sum(one.effect.gpu_hours for one in made))
    duties.moved(award, by=by.confirmed.username)
    return found


def _open(imported: ImportedAward, made: Sequence[Done], by: Officers) -> list[RowEffect]:
    found = []
    for one in made:
        row = one.row
        allocation = Allocation.open(
            award=imported.award, project=imported.award.project, machine=machine_named(row.machine),
            partition=row.partition, account=row.account, storage_bytes=row.storage_bytes, starts=row.starts,
            ends=row.ends, granted_accelerator_seconds=one.effect.gpu_hours * SECONDS_PER_HOUR,
            by=by.confirmed.username,
        )  # fmt: skip
        ImportedPart.objects.create(
            imported=imported, machine=row.machine, partition=row.partition, part=row.part, allocation=allocation,
            stated_gpu_hours=one.effect.gpu_hours, stated_starts=row.starts, stated_ends=row.ends,
        )  # fmt: skip
        found.append(one.effect.model_copy(update={"allocation": allocation.public_id}))
    return found


def _change(one: Done, by: Officers) -> RowEffect:
    kept = ImportedPart.objects.select_related("allocation").get(allocation__public_id=one.effect.allocation)
    elsewhere.restate(
        kept.allocation, more_gpu_hours=one.more_hours, ends=one.new_end, prepared_by=by.prepared, by=by.confirmed,
        reason=f"{one.row.source} changed the award {one.row.reference}.",
    )  # fmt: skip
    ImportedPart.objects.filter(pk=kept.pk).update(stated_gpu_hours=one.effect.gpu_hours, stated_ends=one.row.ends)
    return one.effect


def _organisation(one: Done) -> Organisation:
    row = one.row
    if one.organisation is not None:
        found = Organisation.objects.get(public_id=one.organisation.id)
    else:
        found = Organisation.objects.filter(name__iexact=row.organisation).first() or Organisation.objects.create(
            name=row.organisation, kind=row.organisation_kind, country=row.country
        )
    for kind, value in (("pic", row.pic), ("vat", vat_of(row))):
        if value:
            OrganisationNumber.objects.get_or_create(kind=kind, value=value, defaults={"organisation": found})
    return found


def _call(row: AwardRow, by: Officers) -> Call:
    """Published once: what a later version of Hanse knows of the mode binds later calls."""
    terms = call_of(row)
    known = Call.objects.filter(call_id=terms.id).order_by("-version").first()
    return known or Call.publish(terms, by=by.confirmed.username)


def _form(row: AwardRow, call: Call, organisation: Organisation, gpu_hours: int, months: int) -> ApplicationForm:
    return ApplicationForm(
        call=call.call_id, call_version=call.version, organisation=organisation.name,
        organisation_kind=row.organisation_kind, country=row.country, title=row.title,
        purpose=row.purpose or "As stated where it was decided.", machine=row.machine, gpu_hours=gpu_hours,
        duration_months=months, contact_email=row.contact_email,
        whole=WholeForm(
            project=ProjectForm(title=row.title, duration_months=months, starts=row.starts),
            organisation=OrganisationDetails(
                legal_name=row.organisation, vat_number=row.vat_number or None, pic=row.pic or None
            ),
            team=tuple(TeamMember(name=email, email=email) for email in row.members),
            declarations=Declarations(names_may_be_published=row.names_may_be_published),
        ),
    )  # fmt: skip


def _decided(row: AwardRow) -> datetime:
    return datetime.combine(row.decided_on, time(12), UTC) if row.decided_on else now()


def _invite(organisation: Organisation, row: AwardRow, by: Officers) -> list[str]:
    """The contact as owner where there is none, the others as members; those who are here or invited are left."""
    owned = organisation.memberships.filter(role="owner", person__is_active=True).exists()
    asked = [(row.contact_email, "member" if owned else "owner"), *((email, "member") for email in row.members)]
    told: list[str] = []
    for email, role in asked:
        here: Any = organisation.memberships.filter(person__email__iexact=email)
        open_ones = Invitation.open_ones().filter(organisation=organisation, email__iexact=email)
        if here.exists() or open_ones.exists():
            continue
        try:
            Invitation.write(by.confirmed, organisation, email=email, role=role)
        except HanseError as refused:
            told.append(f"{email} was not invited: {refused.what}.")
        else:
            told.append(f"{email} is invited as {role}.")
    return told
