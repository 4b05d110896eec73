"""Who comes into an organisation and who leaves it: invitations, roles, and that an owner is always left."""

from __future__ import annotations

import re
import threading
from datetime import timedelta
from urllib.parse import quote

import pytest
from django.db import connection
from django.test import Client, override_settings

from hanse.contracts.application import TeamMember, WholeForm
from hanse.contracts.base import now
from hanse.contracts.errors import HanseError, PolicyError, UsageError
from hanse.service.access.models import Membership, Organisation, Person
from hanse.service.notices import invitations, own_data
from hanse.service.notices.invitations import Invitation, set_roles
from hanse.service.notices.models import Mail
from hanse.service.runs.models import Event
from tests.portal import seed
from tests.portal.test_pages import read

pytestmark = pytest.mark.django_db
MAIL = {"MAIL_ON": True, "PUBLIC_URL": "https://hanse.example"}


@pytest.fixture
def firm() -> Organisation:
    return seed.organisation()


@pytest.fixture
def ida(firm: Organisation) -> Person:
    return seed.person("ida", organisation=firm)


def client_of(person: Person) -> Client:
    client = Client()
    client.force_login(person)
    return client


def invited(ida: Person, firm: Organisation, email: str = "new@norrlyd.example", role: str = "member") -> Invitation:
    return Invitation.invite(ida, firm, email=email, role=role)


@override_settings(**MAIL)
def test_an_owner_invites_by_mail_and_somebody_new_makes_an_account_and_joins_once(
    ida: Person, firm: Organisation
) -> None:
    page = client_of(ida)
    people = f"/organisations/{firm.public_id}/people/"
    assert "Invite somebody" in read(page, people).text
    page.post(f"{people}invite/", {"email": "new@norrlyd.example", "role": "operator"})
    mail = Mail.objects.get()
    assert mail.to == "new@norrlyd.example"
    link = re.search(r"https://hanse\.example(/invitations/\S+)", mail.body)
    assert link is not None
    guest = Client()
    assert "ida invites you to Norrlyd as operator" in read(guest, link[1]).text
    weak = guest.post(link[1], {"username": "nova", "password": "password"}).content.decode()
    assert "too common" in weak and not Person.objects.filter(username="nova").exists()
    taken = guest.post(link[1], {"username": "IDA", "password": seed.PASSWORD}).content.decode()
    assert "goes by that name" in taken
    odd = guest.post(link[1], {"username": "no spaces", "password": seed.PASSWORD}).content.decode()
    assert 'id="username-error"' in odd
    assert guest.post(link[1], {"username": "nova", "password": seed.PASSWORD}, follow=True).status_code == 200
    nova = Person.objects.get(username="nova")
    assert nova.email == "new@norrlyd.example" and nova.operates(firm)
    assert Client().get(link[1]).status_code == 404, "the link opens once"
    assert "nova" in read(page, people).text
    assert Event.objects.filter(name="user:membership:added", actor="nova").exists()


def test_without_mail_the_owner_gets_the_link_to_hand_over_and_somebody_known_joins_with_it(
    ida: Person, firm: Organisation
) -> None:
    page, kai = client_of(ida), seed.person("kai")
    said = page.post(
        f"/organisations/{firm.public_id}/people/invite/", {"email": "k@x.example", "role": "member"}, follow=True
    )
    link = re.search(r"http://testserver(/invitations/[^\s<]+)", said.content.decode())
    assert link is not None
    assert f"/login/?next={quote(link[1])}" in Client().get(link[1]).content.decode()
    assert "Join as kai" in read(client_of(kai), link[1]).text
    client_of(kai).post(link[1])
    assert kai.belongs_to(firm)


def test_a_link_that_is_revoked_late_replaced_or_forged_opens_nothing(ida: Person, firm: Organisation) -> None:
    first = invited(ida, firm)
    second = invited(ida, firm)
    assert Client().get(first.path).status_code == 404, "a second invitation to the same address replaces the first"
    assert Client().get(second.path).status_code == 200
    client_of(ida).post(f"/organisations/{firm.public_id}/invitations/{second.public_id}/revoke/")
    assert Client().get(second.path).status_code == 404
    third = invited(ida, firm)
    Invitation.objects.filter(pk=third.pk).update(expires_at=now() - timedelta(seconds=1))
    assert Client().get(third.path).status_code == 404
    assert Client().get(f"/invitations/{third.public_id}:forged/").status_code == 404
    with pytest.raises(HanseError, match="used, revoked"):
        third.accept(ida)


@pytest.mark.django_db(transaction=True)
def test_of_two_who_use_a_link_at_once_one_comes_in(ida: Person, firm: Organisation) -> None:
    made = invited(ida, firm)
    people = [seed.person(name) for name in ("kai", "lea")]
    refused: list[str] = []

    def join(person: Person) -> None:
        try:
            Invitation.objects.select_related("organisation", "invited_by").get(pk=made.pk).accept(person)
        except HanseError as error:
            refused.append(error.what)
        finally:
            connection.close()

    threads = [threading.Thread(target=join, args=[person]) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1
    assert Membership.objects.filter(organisation=firm, person__in=people).count() == 1


def test_only_owners_invite_and_only_with_an_address_and_a_role_that_exist(ida: Person, firm: Organisation) -> None:
    mate = seed.person("mate")
    Membership.objects.create(person=mate, organisation=firm, role="member")
    with pytest.raises(PolicyError, match="only its owners"):
        invited(mate, firm)
    for wrong in ({"email": "nobody"}, {"role": "king"}):
        with pytest.raises(UsageError):
            invited(ida, firm, **wrong)
    page = client_of(mate)
    assert "Invite somebody" not in read(page, f"/organisations/{firm.public_id}/people/").text
    assert page.post(f"/organisations/{firm.public_id}/people/invite/", {"email": "a@b.example"}).status_code == 403
    assert client_of(seed.person("kai")).get(f"/organisations/{firm.public_id}/people/").status_code == 404
    refused = client_of(ida).post(f"/organisations/{firm.public_id}/people/invite/", {"email": "x", "role": "owner"})
    assert "x is no e-mail address" in refused.content.decode()


def test_no_account_becomes_a_way_to_send_mail_to_everybody(ida: Person, firm: Organisation) -> None:
    for number in range(invitations.MOST_OPEN):
        invited(ida, firm, f"p{number}@norrlyd.example")
    with pytest.raises(PolicyError, match="are open"):
        invited(ida, firm, "one@more.example")


def test_roles_change_and_people_leave_but_never_the_last_owner(ida: Person, firm: Organisation) -> None:
    page, mate = client_of(ida), seed.person("mate")
    Membership.objects.create(person=mate, organisation=firm, role="member")
    where = f"/organisations/{firm.public_id}/people"
    said = page.post(f"{where}/{ida.pk}/", {"remove": ""}, follow=True).content.decode()
    assert "ida is the only owner of Norrlyd" in said and ida.belongs_to(firm)
    page.post(f"{where}/{mate.pk}/", {"role": ["owner", "operator"]})
    assert mate.operates(firm)
    page.post(f"{where}/{ida.pk}/", {"remove": ""})
    assert not ida.belongs_to(firm) and page.get(f"{where}/").status_code == 404
    assert Event.objects.filter(name__startswith="user:membership:").count() == 2
    with pytest.raises(PolicyError, match="only owner"):
        set_roles(mate, firm, mate, frozenset({"member"}))


def test_the_team_an_application_names_is_invited_in_one_click(ida: Person, firm: Organisation) -> None:
    team = (
        TeamMember(name="Nova Lind", email="nova@norrlyd.example"), TeamMember(name="Ida", email="ida@norrlyd.example"),
    )  # fmt: skip
    seed.application(ida, whole=WholeForm(team=team))
    page, people = client_of(ida), f"/organisations/{firm.public_id}/people/"
    assert "Nova Lind (nova@norrlyd.example)" in read(page, people).text
    page.post(f"{people}invite-team/")
    assert [one.email for one in Invitation.open_ones()] == ["nova@norrlyd.example"]
    page.post(f"{people}invite-team/")
    assert Invitation.objects.count() == 1
    assert own_data.only_owner_of(ida) == []
