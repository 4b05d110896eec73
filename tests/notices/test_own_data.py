"""A person takes their data away, is erased, and sees who looked: nothing of them is left and nothing else is lost."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from django.db import models
from django.test import Client, override_settings
from django.urls import URLPattern, get_resolver

from hanse.contracts.application import Applicant, Declarations, TeamMember, WholeForm
from hanse.contracts.base import Contract, now
from hanse.contracts.errors import PolicyError, UsageError
from hanse.service.access.models import Allocation, ApiToken, Application, Membership, Person
from hanse.service.access.people import OFFICERS
from hanse.service.notices import inbox, own_data, viewings
from hanse.service.notices.invitations import Invitation
from hanse.service.notices.models import Mail, Viewing
from hanse.service.review.models import Assignment, Letter, Redress, Reply, Reviewer
from hanse.service.runs.models import Event, UsageEntry
from tests.portal import seed
from tests.portal.test_pages import read
from tests.reporting import records
from tests.service.test_sign_on import officer

pytestmark = pytest.mark.django_db
NAME, EMAIL = "quirina.oehlenschlaeger", "quirina.oehlenschlaeger@norrlyd.example"
CONFIDENTIAL = WholeForm(declarations=Declarations(any_part_confidential=True))


def client_of(person: Person) -> Client:
    client = Client()
    client.force_login(person)
    return client


@pytest.fixture
def quirina() -> Person:
    """An officer and applicant with a past: an application, a run, tokens, notices, mail, an invitation, looks."""
    made = seed.person(NAME, organisation=seed.organisation(), first_name="Quirina", last_name="Oehlenschlæger")
    made.groups.add(Group.objects.get_or_create(name=OFFICERS)[0])
    whole = WholeForm(
        applicant=Applicant(given_names="Quirina", family_name="Oehlenschlæger", email=EMAIL, phone="+45 1234"),
        team=(TeamMember(name="Quirina Oehlenschlæger", email=EMAIL), TeamMember(name="Kai", email="kai@x.example")),
    )
    sent = seed.application(made, whole=whole, contact_email=EMAIL)
    run = seed.run(records.finished(), made)
    Event.record("service:run:finished", run.public_id, by=NAME, to=f"kai, {NAME}", told=EMAIL)
    named = f"Quirina Oehlenschlæger ({NAME}, {EMAIL}) said so."
    Event.record("officer:place:freed", sent.public_id, by="kai", reason=named)
    Reply.objects.create(application=sent, text=named, by=made)
    Letter.objects.create(application=sent, decided_at=now(), decision="declined", language="en", text=named)
    Redress.objects.create(application=sent, decided_at=now(), grounds=named, reason=named, asked_by=made)
    reviewer = Reviewer.objects.create(person=seed.person("rev"), organisation="Elsewhere")
    Assignment.objects.create(application=sent, reviewer=reviewer, due_on=now().date(), comments={"impact": named})
    ApiToken.issue("laptop", by=NAME, person=made)
    with override_settings(MAIL_ON=True, PUBLIC_URL="https://hanse.example"):
        inbox.tell()
        Invitation.invite(made, seed.organisation(), email="kai@x.example", role="owner")
    client_of(made).get(f"/applications/{sent.public_id}/")
    return made


def test_every_column_that_points_at_a_person_is_classified() -> None:
    found = {label for label, _ in own_data.columns()}
    lacking = found - set(own_data.KEPT)
    assert not lacking, f"say in own_data.KEPT what erasure does about {sorted(lacking)}"
    gone = {label for label in set(own_data.KEPT) - found if apps.is_installed("hanse.service.notices")}
    assert not gone, f"own_data.KEPT names columns that are no more: {sorted(gone)}"


def test_a_person_takes_all_of_it_away_and_no_secret_with_it(quirina: Person) -> None:
    response = client_of(quirina).get("/my-data/hanse-my-data.json")
    assert "attachment" in response["Content-Disposition"]
    told = json.loads(response.content)
    assert told["person"]["username"] == NAME and told["groups"] == ["officers"]
    assert set(own_data.KEPT) <= set(told)
    for label in ("access.Application.applicant", "runs.Run.created_by", "notices.Notice.person", "runs.Event.actor",
                  "notices.Mail.person", "access.ApiToken.person", "notices.Invitation.invited_by",
                  "notices.Viewing.viewer"):  # fmt: skip
        assert told[label], label
    assert told["access.Application.applicant"][0]["form"]["whole"]["applicant"]["phone"] == "+45 1234"
    secrets = [quirina.password, *ApiToken.objects.values_list("digest", flat=True)]
    assert not [one for one in secrets if one in response.content.decode()]
    assert client_of(quirina).get("/api/v1/me/data").json()["person"]["email"] == EMAIL


def everything() -> dict[str, str]:
    """Every row of the database as text, by model and key."""

    def text(value: Any) -> str:
        plain = value.model_dump(mode="json") if isinstance(value, Contract) else value
        return json.dumps(plain, default=str, ensure_ascii=False)

    return {
        f"{model._meta.label} {row.pk}": " ".join(
            text(field.value_from_object(row)) for field in row._meta.concrete_fields
        )
        for model in apps.get_models()
        for row in models.QuerySet(model)
    }


def test_erasure_leaves_a_pseudonym_everywhere_and_loses_no_decision_and_no_hour(quirina: Person) -> None:
    Allocation.objects.update(ends=now().date() - timedelta(days=1))
    events, entries = Event.objects.count(), list(UsageEntry.objects.values_list("pk", "accelerator_seconds"))
    page = client_of(quirina)
    wrong = page.post("/my-data/erase/", {"confirm": "quirina"}).content.decode()
    assert f"type {NAME}" in wrong and Person.objects.filter(username=NAME).exists()
    assert "You are erased" in page.post("/my-data/erase/", {"confirm": NAME}).content.decode()
    assert page.get("/").status_code == 302, "and signed out"

    assert Letter.objects.get().text.endswith("said so."), "only the name goes"
    left = {where for where, row in everything().items() if NAME in row or "Oehlenschlæger" in row or "+45 1" in row}
    left -= {where for where in left if where.startswith("access.Organisation")}
    assert left == set()
    quirina.refresh_from_db()
    assert quirina.username.startswith("erased-") and not quirina.is_active and not quirina.is_officer
    assert not ApiToken.objects.filter(person=quirina).exists()
    assert Event.objects.count() == events + 1
    assert list(UsageEntry.objects.values_list("pk", "accelerator_seconds")) == entries
    sent = Application.objects.filter(applicant=quirina).order_by("pk").first()
    assert sent and sent.form.whole.team[1].name == "Kai", "others named in it stay"
    assert Event.objects.filter(name="user:application:sent", actor=quirina.username).exists()


def test_a_user_name_that_is_an_ordinary_word_goes_only_where_it_names_the_person() -> None:
    max_ = seed.person("max", organisation=seed.organisation(), first_name="Max", last_name="Muster")
    max_.email = "max@norrlyd.example"
    max_.save()
    sent = seed.application(seed.person("kai"))
    said = (
        "max 3 nodes, the max of all; @max agreed, so did Max Muster (max@norrlyd.example, Max@Norrlyd.example). "
        "Not climax@norrlyd.example, a.max@norrlyd.example, @maxim, Max Muster-Schmidt. Cancelled by max."
    )
    Event.record("officer:place:freed", sent.public_id, by="max", reason=said, to="kai, max", kind="max", title="max")
    reply = Reply.objects.create(application=sent, text=said, by=sent.applicant)
    with override_settings(MAIL_ON=True, PUBLIC_URL="https://hanse.example"):
        Invitation.invite(max_, seed.organisation(), email="x@y.example", role="owner")
    name = own_data.erase(max_, by=max_, confirmed="max")
    reply.refresh_from_db()
    assert reply.text == (
        f"max 3 nodes, the max of all; @{name} agreed, so did {name} ({name}@erased.invalid, {name}@erased.invalid). "
        f"Not climax@norrlyd.example, a.max@norrlyd.example, @maxim, Max Muster-Schmidt. Cancelled by {name}."
    )
    event = Event.objects.get(name="officer:place:freed")
    assert (event.actor, event.reason) == (name, reply.text)
    assert event.data == {"to": f"kai, {name}", "kind": "max", "title": "max"}
    assert Mail.objects.get(to="x@y.example").subject.startswith(f"Hanse: {name} invites you")


def test_a_full_name_that_another_person_has_too_stays_in_what_others_wrote() -> None:
    first = seed.person("anna1", organisation=seed.organisation(), first_name="Anna", last_name="Schmidt")
    seed.person("anna2", first_name="Anna", last_name="Schmidt")
    sent = seed.application(seed.person("kai"))
    reply = Reply.objects.create(application=sent, text="Anna Schmidt agreed.", by=sent.applicant)
    own_data.erase(first, by=first, confirmed="anna1")
    reply.refresh_from_db()
    assert reply.text == "Anna Schmidt agreed."


def test_who_gave_no_name_is_not_named_in_the_mails_they_invited_with() -> None:
    test = seed.person("test", organisation=seed.organisation("A test bench"))
    with override_settings(MAIL_ON=True, PUBLIC_URL="https://hanse.example"):
        Invitation.invite(test, test.memberships.get().organisation, email="x@y.example", role="owner")
    name = own_data.erase(test, by=test, confirmed="test")
    assert Mail.objects.get().subject == f"Hanse: {name} invites you to A test bench"


def test_the_only_owner_of_an_organisation_with_compute_is_not_erased_until_somebody_else_owns_it(
    quirina: Person,
) -> None:
    page = client_of(quirina)
    assert "Make somebody else an owner first" in read(page, "/my-data/").text
    said = page.post("/my-data/erase/", {"confirm": NAME}).content.decode()
    assert "is the only owner of Norrlyd, which has compute open" in said
    assert Person.objects.filter(username=NAME, is_active=True).exists()
    Membership.objects.create(person=seed.person("kai"), organisation=seed.organisation(), role="owner")
    own_data.erase(quirina, by=quirina, confirmed=NAME)


def test_an_administrator_erases_on_request_and_nobody_else_does(quirina: Person) -> None:
    Allocation.objects.all().update(ends=now().date() - timedelta(days=1))
    for other in (seed.person("kai"), officer()):
        with pytest.raises(PolicyError, match="only the person or an administrator"):
            own_data.erase(quirina, by=other, confirmed=NAME)
    root = Person.objects.create_superuser("root", "", seed.PASSWORD)
    with pytest.raises(UsageError, match="name"):
        own_data.erase(quirina, by=root, confirmed="root")
    own_data.erase(quirina, by=root, confirmed=NAME)
    assert Event.objects.filter(name="user:person:erased", actor="root").exists()


def test_every_look_at_an_application_is_kept_with_who_when_and_from_where(quirina: Person) -> None:
    Viewing.objects.all()._raw_delete("default")
    owner = seed.person("ida", organisation=seed.organisation())
    sent = seed.application(owner, whole=CONFIDENTIAL)
    olga = officer()
    page = client_of(olga)
    page.get(f"/applications/{sent.public_id}/", REMOTE_ADDR="192.0.2.7")
    page.get(f"/api/v1/applications/{sent.public_id}", REMOTE_ADDR="2001:db8::1")
    client_of(seed.person("kai")).get(f"/applications/{sent.public_id}/")
    rows = Viewing.objects.order_by("pk")
    assert [(one.viewer, one.how, one.address) for one in rows] == [
        ("olga", "page", "192.0.2.7"), ("olga", "API", "2001:db8::1"),
    ], "who was refused saw nothing"  # fmt: skip
    assert all(one.confidential and one.organisation == seed.organisation() for one in rows)
    with pytest.raises(TypeError, match="append-only"):
        Viewing.objects.all().delete()

    assert "192.0.2.7" in read(client_of(owner), "/views/").text, "the owner of the data sees it"
    assert "Nobody looked yet" in read(client_of(seed.person("lea")), "/views/").text
    assert "192.0.2.7" in read(page, f"/views/?about={sent.public_id}").text
    assert viewings.purge(now() + timedelta(days=729)) == 0
    assert viewings.purge(now() + timedelta(days=731)) == 2


@override_settings(HANSE_BEHIND_PROXY=True)
def test_behind_a_proxy_the_address_is_what_the_nearest_proxy_saw(rf: Any) -> None:
    request = rf.get("/", headers={"X-Forwarded-For": "203.0.113.9, 198.51.100.2"}, REMOTE_ADDR="127.0.0.1")
    assert viewings.address_of(request) == "198.51.100.2"
    forged = rf.get("/", headers={"X-Forwarded-For": "<script>"}, REMOTE_ADDR="127.0.0.1")
    assert viewings.address_of(forged) is None


NAMES = {"application_id", "draft_id", "document_id", "object_id", "person_id"}
SHOW_NOTHING = {
    "portal:decision", "notices:roles", "compliance:new-permit",  # posts that lead back
    *(f"review:{act}" for act in ("letter-draft", "out-of-order")),
    *(f"forms:{act}" for act in ("application-copy", "copy", "discard", "rebind", "restore", "send", "share")),
}  # fmt: skip


def test_every_address_that_names_an_application_a_draft_or_a_document_says_what_a_look_at_it_is() -> None:
    lacking = set()
    for name, pattern in addresses():
        takes = NAMES & set(pattern.pattern.converters)
        if takes and not name.startswith("admin:") and name not in {*viewings.SHOWN, *SHOW_NOTHING}:
            lacking.add(name)
    assert not lacking, f"put them into viewings.SHOWN, or into SHOW_NOTHING here: {sorted(lacking)}"


def addresses(patterns: Any = None, space: str = "") -> Any:
    for one in get_resolver().url_patterns if patterns is None else patterns:
        if isinstance(one, URLPattern):
            yield space + (one.name or ""), one
        else:
            yield from addresses(one.url_patterns, f"{space}{one.namespace}:" if one.namespace else space)
