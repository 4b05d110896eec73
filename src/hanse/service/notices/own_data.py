"""All that is kept about a person, to take away; and their erasure, which leaves a pseudonym in their place.

Every column that points at a person stands in `KEPT`, with what it holds in the export and what erasure does about it.
A test fails for a column that does not. The ledger, events and decisions stay: they then name the pseudonym.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import FieldDoesNotExist
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models, transaction
from django.db.models.functions import Cast

from hanse.contracts.application import Applicant
from hanse.contracts.base import Contract, now
from hanse.contracts.errors import PolicyError, UsageError
from hanse.service import policy
from hanse.service.access.models import Allocation, Application, Membership, Organisation, Person
from hanse.service.notices.mentions import Mentions
from hanse.service.runs.events import Event

Then = Literal["deleted", "kept under a pseudonym"]


class Kept(NamedTuple):
    """What stands in a column, in the person's words, and what erasure does about it."""

    what: str
    then: Then


def _deleted(what: str) -> Kept:
    return Kept(what, "deleted")


def _stays(what: str) -> Kept:
    return Kept(what, "kept under a pseudonym")


KEPT: Mapping[str, Kept] = {
    "access.Membership.person": _deleted("your roles in organisations"),
    "access.ApiToken.person": _deleted("your access tokens, as hashes"),
    "access.LoginLink.person": _deleted("links that signed you in, as hashes"),
    "access.Application.applicant": _stays("applications you sent"),
    "access.Award.granted_by": _stays("awards you granted"),
    "access.Review.officer": _stays("decisions you took"),
    "runs.Run.created_by": _stays("runs you launched"),
    "runs.CodeBundle.uploaded_by": _stays("code you sent"),
    "notices.Notice.person": _deleted("what you were told"),
    "notices.Mail.person": _deleted("mail to you"),
    "notices.Preference.person": _deleted("your language and wish for mail"),
    "notices.Invitation.invited_by": _stays("invitations you sent"),
    "notices.Invitation.accepted_by": _stays("invitations you took up"),
    "account.EmailAddress.user": _deleted("your addresses"),
    "socialaccount.SocialAccount.user": _deleted("your accounts at identity providers"),
    "mfa.Authenticator.user": _deleted("your second factors"),
    "admin.LogEntry.user": _stays("what you changed in the records"),
    "awarding.Capacity.stated_by": _stays("capacity you stated"),
    "awarding.ChangeRequest.asked_by": _stays("changes of an allocation you asked for"),
    "awarding.ChangeRequest.proposed_by": _stays("changes you proposed to grant"),
    "awarding.ChangeRequest.decided_by": _stays("changes you decided"),
    "awarding.Duty.sent_by": _stays("reports and evidence you sent"),
    "awarding.Price.stated_by": _stays("prices you stated"),
    "awarding.Proposal.proposed_by": _stays("decisions you proposed"),
    "awarding.Proposal.decided_by": _stays("proposals you confirmed or refused"),
    "awarding.Statement.issued_by": _stays("statements you issued"),
    "compliance.Permit.stated_by": _stays("permits you stated"),
    "compliance.Permit.confirmed_by": _stays("permits you confirmed"),
    "compliance.Question.answered_by": _stays("questions you answered"),
    "compliance.Release.published_by": _stays("releases you published"),
    "compliance.RescreeningAnswer.by": _stays("rescreenings you answered"),
    "compliance.RunEvaluation.attached_by": _stays("evaluations you attached"),
    "forms.CallSketch.saved_by": _stays("calls you wrote"),
    "forms.KeptDraft.owner": _deleted("applications you are writing"),
    "forms.KeptDraft.saved_by": _stays("drafts of others you wrote in"),
    "imports.Batch.prepared_by": _stays("imports of awards you prepared"),
    "imports.Batch.decided_by": _stays("imports of awards you confirmed or refused"),
    "review.Reviewer.person": _stays("that you review, and your reviews"),
    "review.Round.closed_by": _stays("rounds you closed"),
    "review.Panel.opened_by": _stays("panels you convened"),
    "review.Panel.closed_by": _stays("panels you closed"),
    "review.PanelMember.person": _stays("panels you were a member of"),
    "review.PanelMove.by": _stays("places you changed for a panel"),
    "review.Reply.by": _stays("answers to reviewers you sent"),
    "review.Letter.sent_by": _stays("letters with decisions you sent"),
    "review.Redress.asked_by": _stays("redress you asked for"),
    "review.Redress.answered_by": _stays("redress you answered"),
    "review.PlaceFreed.by": _stays("places you freed"),
    "review.StandIn.answered_by": _stays("stand-ins you confirmed or dismissed"),
    "review.Step.done_by": _stays("steps of review you did"),
    "review.OutOfOrder.by": _stays("reasons you gave for deciding out of order"),
    "review.ConflictAnswer.by": _stays("conflicts of interest you confirmed or cleared"),
}
"""By `app.Model.column`."""
NAMES: Mapping[str, str] = {
    "runs.Event": "actor", "access.EnrolCode": "made_by", "runs.NodeTrouble": "cleared_by", "notices.Viewing": "viewer",
    "compliance.RunChange": "decided_by", "compliance.Condition": "said_by",
}  # fmt: skip
"""Columns that hold a person's name as text."""
SECRET = frozenset({"password", "digest", "data", "ticket"})
"""Columns that are no part of an export: secrets, or hashes of them."""
FREE_TEXTS: Mapping[str, tuple[str, ...]] = {
    "notices.Mail": ("subject", "body"), "notices.Notice": ("title", "text"),
    "review.Panel": ("minutes",), "review.PanelMove": ("reason",), "review.Reply": ("text",),
    "review.Letter": ("text",), "review.Redress": ("grounds", "reason"), "review.PlaceFreed": ("reason",),
    "review.StandIn": ("reason",), "review.Step": ("reason",), "review.OutOfOrder": ("reason",),
    "review.ConflictAnswer": ("reason",),
    "review.Assignment": ("reason", "comments"), "access.Review": ("reason",), "access.Application": ("reason",),
    "awarding.Proposal": ("reason",), "runs.Event": ("reason",), "runs.Run": ("reason",), "runs.Attempt": ("reason",),
}  # fmt: skip
"""Texts that people wrote and that may name a person: mail that says «… invites you», minutes, letters, reasons. They
are kept, for what was decided has to be shown and defended (Art. 17(3)(b) and (e) GDPR); what names the person without
a doubt goes (mentions.py)."""
ERASED_DOMAIN = "erased.invalid"
"""RFC 2606: no such domain will ever be."""


def columns() -> Iterator[tuple[str, Any]]:
    """Every column of the database that points at a person, by its label."""
    for model in apps.get_models():
        for field in model._meta.get_fields():
            remote = getattr(field, "remote_field", None)
            if remote and remote.model is Person and field.concrete and not model._meta.auto_created:
                yield f"{model._meta.label}.{field.name}", field


def export(person: Person) -> dict[str, Any]:
    """All that is kept about the person, ready for JSON."""
    told: dict[str, Any] = {
        "made_at": now().isoformat(),
        "person": _row(person),
        "groups": sorted(person.groups.values_list("name", flat=True)),
    }
    for label, field in sorted(columns(), key=lambda each: each[0]):
        rows = models.QuerySet(field.model).filter(**{field.name: person}).order_by("pk")
        told[label] = [_row(row) for row in rows]
    for label, name in NAMES.items():
        model = apps.get_model(label)
        told[f"{label}.{name}"] = [_row(row) for row in models.QuerySet(model).filter(**{name: person.username})]
    about = models.QuerySet(Event).filter(subject_id=f"person-{person.pk}").order_by("pk")
    told["runs.Event about you"] = [_row(row) for row in about]
    seen = apps.get_model("notices.Viewing").objects.filter(subject_id=f"person-{person.pk}")
    told["notices.Viewing of you"] = [_row(row) for row in seen]
    return told


def encoder() -> type[DjangoJSONEncoder]:
    return _Encoder


class _Encoder(DjangoJSONEncoder):
    def default(self, o: Any) -> Any:
        return o.model_dump(mode="json") if isinstance(o, Contract) else super().default(o)


def _row(row: models.Model) -> dict[str, Any]:
    fields = (field for field in row._meta.concrete_fields if field.name not in SECRET)
    return {field.name: field.value_from_object(row) for field in fields}


def only_owner_of(person: Person) -> list[Organisation]:
    """Organisations with an open allocation that would be left without an owner."""
    owned = Organisation.objects.filter(memberships__person=person, memberships__role="owner")
    today = now().date()
    return [
        one
        for one in owned.distinct()
        if Allocation.objects.filter(project__organisation=one, ends__gte=today).exists()
        and not one.memberships.filter(role="owner", person__is_active=True).exclude(person=person).exists()
    ]


def erase(person: Person, *, by: Person, confirmed: str) -> str:
    """Erase the person for good; answers the pseudonym that stands in their place.

    Raises:
        PolicyError: somebody else's wish, or the person alone answers for an organisation with open allocations.
        UsageError: the name to confirm it with is another.
    """
    policy.require(by, "person:erase", person)
    if confirmed.strip() != person.username:
        raise UsageError(
            "the name is not the one of the account to erase", where="confirm", fix=f"type {person.username}"
        )
    with transaction.atomic():
        Person.objects.select_for_update().get(pk=person.pk)
        if left := only_owner_of(person):
            names = ", ".join(organisation.name for organisation in left)
            raise PolicyError(
                f"{person.display_name} is the only owner of {names}, which has compute open", where=left[0].public_id,
                fix="make somebody else an owner first, or wait until its allocations have ended",
            )  # fmt: skip
        pseudonym = f"erased-{secrets.token_hex(5)}"
        known = _mentions(person, pseudonym)
        _forms(person, known)
        _invitations(person, known)
        _delete(person)
        _rename(person, pseudonym)
        _texts(known)
        _letters(known)
        _blank(person, pseudonym)
        Event.record("user:person:erased", f"person-{person.pk}", by=pseudonym if by.pk == person.pk else by.username)
    return pseudonym


def _mentions(person: Person, pseudonym: str) -> Mentions:
    """What names the person anywhere, and what stands there from now on."""
    address = f"{pseudonym}@{ERASED_DOMAIN}"
    emails = apps.get_model("account.EmailAddress").objects.filter(user=person).values_list("email", flat=True)
    whole = bool(person.first_name and person.last_name)
    namesakes = Person.objects.filter(first_name=person.first_name, last_name=person.last_name).exclude(pk=person.pk)
    return Mentions(
        username=person.username, pseudonym=pseudonym,
        full_name=person.get_full_name() if whole and not namesakes.exists() else "",
        addresses=dict.fromkeys((one for one in (person.email, *emails) if one), address),
    )  # fmt: skip


def _delete(person: Person) -> None:
    for label, field in columns():
        if label in KEPT and KEPT[label].then == "deleted":
            models.QuerySet(field.model).filter(**{field.name: person}).delete()
    apps.get_model("notices.Mail").objects.filter(to__iexact=person.email or "-").delete()
    person.groups.clear()
    person.user_permissions.clear()


def _rename(person: Person, pseudonym: str) -> None:
    """Events are append-only; a name in them is changed here and nowhere else, and nothing but the name."""
    for label, name in NAMES.items():
        models.QuerySet(apps.get_model(label)).filter(**{name: person.username}).update(**{name: pseudonym})
    models.QuerySet(apps.get_model("notices.Viewing")).filter(viewer=pseudonym).update(address=None)
    models.QuerySet(apps.get_model("notices.Invitation")).filter(accepted_by=person).update(
        email=f"{pseudonym}@{ERASED_DOMAIN}"
    )
    entries = apps.get_model("admin.LogEntry").objects
    entries.filter(content_type=ContentType.objects.get_for_model(Person), object_id=str(person.pk)).update(
        object_repr=pseudonym, change_message=""
    )


def _forms(person: Person, known: Mentions) -> None:
    """Applications: the person's own particulars are emptied, their name and address replaced."""
    stands = Membership.objects.filter(person=person).values("organisation")
    theirs = models.Q(applicant=person) | models.Q(organisation__in=stands)
    for application in Application.objects.filter(theirs).only("form").iterator():
        form = application.form
        whole = form.whole
        if whole is not None and whole.applicant.email in known.addresses:
            whole = whole.model_copy(update={"applicant": Applicant(email=known.addresses[whole.applicant.email])})
        if whole is not None:
            team = tuple(
                member.model_copy(update={"name": known.pseudonym, "email": known.addresses[member.email]})
                if member.email in known.addresses else member
                for member in whole.team
            )  # fmt: skip
            whole = whole.model_copy(update={"team": team})
        email = known.addresses.get(form.contact_email, form.contact_email)
        changed = form.model_copy(update={"whole": whole, "contact_email": email})
        if changed != form:
            Application.objects.filter(pk=application.pk).update(form=changed)


def _invitations(person: Person, known: Mentions) -> None:
    """Mails «… invites you» begin with the name of who invited; of who gave no other it is the user name."""
    sent = apps.get_model("notices.Invitation").objects.filter(invited_by=person).values("public_id")
    begins = re.compile(rf"(?<!\w){re.escape(known.username)}(?!\w)")
    for mail in apps.get_model("notices.Mail").objects.filter(key__in=sent):
        mail.subject, mail.body = (begins.sub(known.pseudonym, text, count=1) for text in (mail.subject, mail.body))
        mail.save(update_fields=["subject", "body"])


def _texts(known: Mentions) -> None:
    """Names inside stored JSON: an event's data, a decision's «decided by»."""
    for model, name in _json_columns():
        all_names = name == "touched"  # of a draft: who touched which section
        for row in _holding(models.QuerySet(model), name, known).only("pk", name):
            before = _plain(getattr(row, name))
            after = known.in_json(before, naming=all_names)
            if after != before:
                models.QuerySet(model).filter(pk=row.pk).update(**{name: after})


def _letters(known: Mentions) -> None:
    """In each free text the pseudonym stands where the person was named; nothing else of it changes."""
    for label, names in FREE_TEXTS.items():
        rows = models.QuerySet(apps.get_model(label))
        for name in names:
            for key, text in list(_holding(rows, name, known).values_list("pk", name)):
                after = _renamed(text, known)
                if after != text:
                    rows.filter(pk=key).update(**{name: after})


def _holding(rows: Any, name: str, known: Mentions) -> Any:
    """Rows that may name the person in this column: as it stands there, for SQLite keeps JSON as escaped text."""
    stands = models.Q()
    for word in known.words():
        stands |= models.Q(_text__icontains=word) | models.Q(_text__icontains=json.dumps(word)[1:-1])
    return rows.alias(_text=Cast(name, models.TextField())).filter(stands)


def _renamed(value: Any, known: Mentions) -> Any:
    """A text, or the texts of a dictionary."""
    if isinstance(value, dict):
        return {key: _renamed(one, known) for key, one in value.items()}
    return known.replaced(value) if isinstance(value, str) else value


def _json_columns() -> Iterator[tuple[Any, str]]:
    for label, name in (
        ("imports.Batch", "asked"), ("imports.Batch", "outcome"),
        ("runs.Event", "data"), ("compliance.Screening", "decision"), ("compliance.Rescreening", "decision"),
        ("runs.Run", "admission"), ("compliance.RunChange", "decision"), ("forms.KeptDraft", "touched"),
    ):  # fmt: skip
        model = apps.get_model(label)
        try:
            model._meta.get_field(name)
        except FieldDoesNotExist:
            continue
        yield model, name


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, Contract) else value


def _blank(person: Person, pseudonym: str) -> None:
    person.username, person.email = pseudonym, ""
    person.first_name = person.last_name = ""
    person.is_active = person.is_staff = person.is_superuser = False
    person.last_login = None
    person.set_unusable_password()
    person.save()
