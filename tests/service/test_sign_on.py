"""Who somebody is: passwords and their limits, a real OpenID provider, and officers' second factor."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ImproperlyConfigured
from django.test import Client, override_settings
from oidc_provider_mock import User, run_server_in_thread
from playwright.sync_api import Page

from hanse.service.access.models import LoginLink, Person
from hanse.service.access.people import OFFICERS
from hanse.service.runs.models import Event
from hanse.service.signon import options
from tests.codes import code_of
from tests.portal.seed import PASSWORD
from tests.reporting.browser import chromium, faults

pytestmark = pytest.mark.django_db
MFA = {"acr": options.REFEDS_MFA}


def officer(name: str = "olga") -> Person:
    made = Person.objects.create_user(name, "", PASSWORD)
    made.groups.add(Group.objects.get_or_create(name=OFFICERS)[0])
    return made


def signed_in(person: Person) -> Client:
    client = Client()
    assert client.post("/login/", {"login": person.username, "password": PASSWORD}).status_code == 302
    return client


@pytest.fixture
def strict() -> Iterator[None]:
    with override_settings(OFFICERS_NEED_SECOND_FACTOR=True):
        yield


@pytest.mark.django_db(transaction=True)
def test_an_officer_sets_up_a_second_factor_before_any_page_opens_and_is_then_asked_for_it(strict: None) -> None:
    olga = officer()
    client = signed_in(olga)
    for path in ("/", "/applications/", "/admin/", "/tokens/"):
        assert client.get(path)["Location"].startswith("/account/factor/totp/activate/"), path
    refused = client.get("/api/v1/runs")
    assert refused.status_code == 403 and "second factor" in refused.json()["what"]

    page = client.get("/account/factor/totp/activate/").content.decode()
    secret = re.search(r"<code>([A-Z2-7]+)</code>", page)
    assert secret is not None and "<svg" in page
    wrong = client.post("/account/factor/totp/activate/", {"code": "000000"})
    assert wrong.status_code == 200 and "error" in wrong.content.decode()
    done = client.post("/account/factor/totp/activate/", {"code": code_of(secret.group(1))}, follow=True)
    codes = re.findall(r"^(?:<pre[^>]*>)?(\d{8})$", done.content.decode(), re.MULTILINE)
    assert len(codes) == 10, "recovery codes are shown"
    assert client.get("/applications/").status_code == 200

    again = Client()
    asked = again.post("/login/", {"login": "olga", "password": PASSWORD, "next": "/applications/"})
    assert asked["Location"].startswith("/account/factor/authenticate/")
    assert again.get("/applications/")["Location"].startswith("/login/"), "a password alone signs nobody in"
    assert again.post("/account/factor/authenticate/", {"code": codes[0]}).status_code == 302
    assert again.get("/applications/").status_code == 200
    third = Client()
    third.post("/login/", {"login": "olga", "password": PASSWORD})
    assert third.post("/account/factor/authenticate/", {"code": codes[0]}).status_code == 200, "a code lets in once"


@pytest.mark.django_db(transaction=True)
def test_a_password_or_a_link_alone_neither_sees_nor_changes_a_factor_that_is_set_up(strict: None) -> None:
    olga = officer()
    first = signed_in(olga)
    page = first.get("/account/factor/totp/activate/").content.decode()
    secret = re.search(r"<code>([A-Z2-7]+)</code>", page)
    assert secret is not None
    first.post("/account/factor/totp/activate/", {"code": code_of(secret.group(1))})
    by_link = Client()
    assert by_link.get(f"/in/{LoginLink.issue(olga)[0]}/").status_code == 302
    by_link.post("/account/confirm/", {"password": PASSWORD})
    for path in ("recovery-codes/", "recovery-codes/download/", "recovery-codes/generate/", "totp/deactivate/", ""):
        for answer in (by_link.get(f"/account/factor/{path}"), by_link.post(f"/account/factor/{path}")):
            assert answer["Location"].startswith("/account/factor/reauthenticate/"), path
    for path in ("/account/password/", "/account/provider/", "/admin/", "/tokens/"):
        assert by_link.get(path)["Location"].startswith("/account/factor/reauthenticate/"), path
    assert first.get("/account/factor/recovery-codes/").status_code == 200, "who has shown it sees them"


def test_the_admin_has_no_way_in_of_its_own() -> None:
    assert Client().get("/admin/login/?next=/admin/")["Location"] == "/login/?next=/admin/"
    tried = Client().post("/admin/login/", {"username": "olga", "password": "guess"})
    assert tried.status_code == 302 and "sessionid" not in tried.cookies


def test_who_is_no_officer_needs_no_second_factor(strict: None) -> None:
    ida = Person.objects.create_user("ida", "", PASSWORD)
    assert signed_in(ida).get("/").status_code == 200


def test_passwords_cannot_be_guessed_one_after_the_other() -> None:
    Person.objects.create_user("ida", "", PASSWORD)
    client = Client()
    said = [client.post("/login/", {"login": "ida", "password": f"guess {n}"}).content.decode() for n in range(7)]
    assert "Name and password do not belong together" in said[0]
    assert "Too many tries" in said[-1]
    assert "Too many tries" in client.post("/login/", {"login": "ida", "password": PASSWORD}).content.decode()


def test_nobody_makes_an_account_by_a_form() -> None:
    assert "Nobody signs up here" in Client().get("/account/signup/").content.decode()
    Client().post("/account/signup/", {"username": "eve", "password1": PASSWORD, "email": "e@example.eu"})
    assert not Person.objects.filter(username="eve").exists()


PEOPLE = [
    User(sub="s-1", claims={"preferred_username": "ida", "name": "Ida Berg", "email": "ida@norrlyd.example"}),
    User(sub="s-2", claims=MFA | {"preferred_username": "olga", "name": "Olga Lind"}),
]


@pytest.fixture
def provider() -> Iterator[str]:
    """A real OpenID provider of our own: discovery, keys, authorisation code with PKCE, tokens, userinfo."""
    with run_server_in_thread(user_claims=PEOPLE) as server:
        url = f"http://localhost:{server.server_port}"
        given = options.settings(
            {
                "HANSE_OIDC_SERVER": url, "HANSE_OIDC_CLIENT_ID": "hanse", "HANSE_OIDC_CLIENT_SECRET": "secret",
                "HANSE_OIDC_NAME": "MyAccessID",
            }, embedded=False, behind_proxy=False,
        )  # fmt: skip
        from django.conf import settings

        policy = {"DIRECTIVES": settings.CONTENT_SECURITY_POLICY["DIRECTIVES"] | {"form-action": ["'self'", url]}}
        with override_settings(**given, CONTENT_SECURITY_POLICY=policy):
            yield url


def come_in(page: Page, home: str, sub: str) -> None:
    page.goto(f"{home}/login/?next=/runs/")
    page.get_by_role("button", name="Sign in with MyAccessID").click()
    page.locator("input[name=sub]").fill(sub)
    page.get_by_role("button", name="Authorize").click()


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_people_sign_in_through_their_organisation(
    provider: str, live_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    Person.objects.create_user("ida", "ida@norrlyd.example", PASSWORD)  # of the same name and address: not hers
    officers = Group.objects.get_or_create(name=OFFICERS)[0]
    with chromium() as browser:
        assert faults(browser.new_page(), f"{live_server.url}/login/") == []
        page = browser.new_context().new_page()
        come_in(page, live_server.url, "s-1")
        page.wait_for_url(f"{live_server.url}/runs/")
        assert "Ida Berg" in page.locator("header").inner_text()

        page = browser.new_context().new_page()
        come_in(page, live_server.url, "s-2")
        page.wait_for_url(f"{live_server.url}/runs/")
        Person.objects.get(username="olga").groups.add(officers)
        page.goto(f"{live_server.url}/applications/")
        assert page.url.endswith("/applications/"), "the provider vouched for her second factor"

        page = browser.new_context().new_page()
        page.goto(f"{live_server.url}/login/")
        page.get_by_role("button", name="Sign in with MyAccessID").click()
        page.get_by_role("button", name="Deny").click()
        page.wait_for_url(f"{live_server.url}/**")
        assert "You are not signed in" in page.inner_text("h1")
    strangers = Person.objects.filter(email="ida@norrlyd.example").order_by("pk")
    assert len(strangers) == 2 and not strangers[1].has_usable_password(), "an address alone opens nobody's account"
    assert [event.reason for event in Event.objects.filter(name="user:session:begun")] == ["by provider", "by provider"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"HANSE_OIDC_SERVER": "https://id.example.eu"}, "HANSE_OIDC_CLIENT_ID and HANSE_OIDC_CLIENT_SECRET"),
        ({"HANSE_OIDC_SERVER": "http://id.example.eu"} | dict.fromkeys(
            ("HANSE_OIDC_CLIENT_ID", "HANSE_OIDC_CLIENT_SECRET"), "x"), "must be an https:// address"),
    ],
)  # fmt: skip
def test_a_provider_that_is_named_in_part_is_refused_at_the_start(given: dict[str, str], says: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=says):
        options.provider(given)
