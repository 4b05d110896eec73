"""The service desk: open to everybody, a check that is a link, rules by article and by day."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from django.test import Client

from hanse.rules.check import check as evaluate
from hanse.service.portal.desk import _as_yaml
from tests.reporting.browser import chromium, faults
from tests.reporting.test_run_report import Reader

pytestmark = pytest.mark.django_db
PAGES = ("/desk/", "/desk/check/", "/desk/rules/", "/desk/timeline/", "/desk/documents/", "/desk/words/")
"""No page of the desk asks who is there."""


@pytest.mark.parametrize("path", PAGES)
def test_a_passer_by_reads_every_page_without_signing_in(path: str, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        response = Client().get(path)
    assert response.status_code == 200
    assert Reader(response.content.decode()).headings[0] == "h1"


def test_a_check_is_a_link_that_anybody_can_make_again() -> None:
    path = "/desk/check/?roles=provider&social-scoring=yes&as-of=2026-12-02&rest=harmless"
    response = Client().get(path)
    text = Reader(response.content.decode()).text
    assert "It may not go ahead" in text and "Art. 5" in text
    found = response.context["found"]
    lines = yaml.safe_load(_as_yaml(found))
    day = lines.pop("as-of")
    again = evaluate(lines, as_of=day)
    assert (again.outcome, again.obligations, again.because) == (found.outcome, found.obligations, found.because)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("social-scorin=yes", "Did you mean social-scoring"),
        ("social-scoring=perhaps", "neither yes nor no"),
        ("social-scoring=yes&as-of=2020-01-01", "before the law"),
        ("social-scoring=yes&as-of=soon", "is not a date"),
        ("social-scoring=%3Cscript%3E", "&lt;script&gt;"),
    ],
)
def test_what_cannot_be_answered_gets_one_clear_message(query: str, says: str) -> None:
    response = Client().get(f"/desk/check/?{query}")
    assert response.status_code == 400
    assert says in response.content.decode()


def test_rules_are_shown_as_of_any_day_and_roles_narrow_the_timeline() -> None:
    before, after = (Client().get(f"/desk/rules/?as-of={day}").context["count"] for day in ("2026-11-30", "2026-12-02"))
    assert after > before
    assert Client().get("/desk/rules/?as-of=1999-01-01").status_code == 400
    everybody = Client().get("/desk/timeline/").context["moments"]
    one = Client().get("/desk/timeline/?role=importer").context["moments"]
    assert sum(len(m["begins"]) for m in one) < sum(len(m["begins"]) for m in everybody)


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_a_passer_by_checks_a_system_in_a_browser(live_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    with chromium() as browser:
        for path in PAGES:
            assert faults(browser.new_page(), live_server.url + path) == [], path
        page = browser.new_page()
        page.goto(f"{live_server.url}/desk/")
        page.get_by_role("link", name="Check a system or model").click()
        for summary in page.locator("details > summary").all():
            if not summary.evaluate("e => e.parentElement.open"):
                summary.click()
        page.locator("input[name='social-scoring'][value='yes']").check()
        page.get_by_role("button", name="Check").click()
        page.get_by_role("heading", name="It may not go ahead").wait_for()
        assert "social-scoring=yes" in page.url
        assert page.locator("input[name='social-scoring'][value='yes']").is_checked(), "the answers stay"
