"""Gate, watch and desk in a browser: a passer-by asks, a start-up shows and states, an officer answers and decides."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from hanse.cli import documents
from hanse.contracts.base import now
from hanse.service.access.apply import submit
from hanse.service.compliance import chores
from hanse.service.compliance.models import Condition, Permit, Question, RunChange
from hanse.service.compliance.rescreen import rescreen
from tests.compliance.parts import grant
from tests.compliance.test_watch import admitted, reach, under_way
from tests.reporting import records
from tests.reporting.browser import chromium, faults
from tests.reviewed import reviewed
from tests.service.fixtures import a_spec, make_world
from tests.service.test_programme import a_form, against
from tests.service.test_rescreen import with_rule

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _playwright_beside_django(monkeypatch: pytest.MonkeyPatch) -> None:
    """Playwright runs a loop in this thread; the queries of this test are still made one at a time."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")


def signed_in(browser: Any, url: str, person: Any) -> Any:
    client = Client()
    client.force_login(person)
    context = browser.new_context()
    context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": url}])
    return context.new_page()


def test_a_start_up_meets_the_gate_an_officer_answers_and_documents_say_what_is_not_known(
    live_server: Any, tmp_path: Path
) -> None:
    world = grant(make_world()).world
    sent = reviewed(submit(world.founder, against(a_form(), personal_data=True)), world.officer)
    page_of = f"{live_server.url}/applications/{sent.public_id}/"
    documents.write(records.finished(), {}, tmp_path)
    with chromium() as browser:
        start_up, officer = (signed_in(browser, live_server.url, one) for one in (world.founder, world.officer))
        start_up.goto(page_of)
        assert start_up.get_by_text("A person decides").first.is_visible(), "the gate's own word, before any officer's"
        assert not start_up.get_by_role("button", name="Decline it").count()
        assert faults(officer, page_of) == []
        assert officer.get_by_label("Why the gate's findings do not stand").is_visible()
        officer.get_by_label("Reason", exact=True).fill("The duties of high risk are not met yet.")
        officer.get_by_role("button", name="Decline it").click()
        officer.get_by_text(re.compile("is declined; the applicant sees|You proposed to decline")).wait_for()
        document = browser.new_page()
        document.goto((tmp_path / "model-documentation.html").as_uri())
        assert document.get_by_role("heading", level=1).is_visible()
        assert document.get_by_text("Not known yet").first.is_visible()
        document.get_by_role("link", name="result.tokens").first.click()
        assert document.url.endswith("record.json"), "each figure links to the record it came from"


def test_a_passer_by_a_start_up_and_an_officer_walk_through_gate_watch_and_desk(live_server: Any) -> None:
    url = live_server.url
    granted = grant(make_world())
    world, application = granted.world, f"/applications/{granted.application.public_id}/"
    run = under_way(granted, parameters=10**11, tokens=10**11, purpose="Sort letters")
    reach(run, 140 * 10**9)
    chores.run(now())
    admitted(granted, a_spec(purpose="Sort people"))
    rescreen(rules=with_rule())
    with chromium() as browser:
        passer_by = browser.new_page(java_script_enabled=False)
        passer_by.goto(f"{url}/desk/")
        passer_by.get_by_role("link", name="ask one").click()
        assert not passer_by.locator(".trap").bounding_box() or passer_by.locator(".trap").bounding_box()["width"] < 2
        passer_by.get_by_label("Your question").fill("Too short")
        passer_by.get_by_role("button", name="Send the question").click()
        assert passer_by.get_by_label("Your question").get_attribute("aria-invalid") == "true"
        passer_by.get_by_label("Your question").fill("Is a chess program of ours a system of high risk?")
        passer_by.get_by_label("may be shown to all").check()
        passer_by.get_by_role("button", name="Send the question").click()
        passer_by.get_by_text("the answer will stand here").wait_for()
        kept = passer_by.url
        for path in ("/desk/ask/", "/desk/questions/", kept.removeprefix(url)):
            assert faults(browser.new_page(), url + path) == [], path

        start_up = signed_in(browser, url, world.founder)
        start_up.goto(url + application)
        start_up.get_by_role("link", name="Publish the tokenizer.").click()
        start_up.get_by_label("What shows that it is met").fill("https://hub.example/tokenizer")
        start_up.get_by_role("button", name="Show this").click()
        start_up.get_by_text("An officer will look at what you showed.").wait_for()
        start_up.get_by_role("link", name="State a permit").click()
        for label, value in (
            ("Number", "HDAB-2026-7"), ("Given by", "A health data access body"), ("Purpose", "Research on letters"),
            ("Datasets", "records"), ("Where they may be processed", "local"), ("Valid until", "2099-01-31"),
        ):  # fmt: skip
            start_up.get_by_label(label, exact=True).fill(value)
        start_up.get_by_role("button", name="State it").click()
        start_up.get_by_text("The permit is on file").wait_for()
        one = Condition.objects.get(award=granted.award, kind="officer")
        stated, changed = Permit.objects.get(), RunChange.objects.filter(state="noted")[0]
        for path in (
            application,
            f"/conditions/{one.public_id}/",
            f"{application}permits/new/",
            f"/runs/{run.public_id}/",
        ):
            assert faults(start_up.context.new_page(), url + path) == [], path

        officer = signed_in(browser, url, world.officer)
        (again,) = granted.application.screening.rescreenings.all()
        asked = Question.objects.get()
        for path in (
            "/watch/", f"/conditions/{one.public_id}/", f"/permits/{stated.public_id}/",
            f"/changes/{changed.public_id}/", f"/rescreenings/{again.pk}/",
            f"/desk/questions/{asked.public_id}/answer/",
        ):  # fmt: skip
            assert faults(officer.context.new_page(), url + path) == [], path
        officer.goto(f"{url}/watch/")
        officer.get_by_role("link", name="HDAB-2026-7").click()
        officer.get_by_label("Reason").fill("Seen the letter of the body.")
        officer.get_by_role("button", name="Confirm it").click()
        officer.get_by_text("The permit is now: confirmed.").wait_for()
        officer.goto(f"{url}/changes/{changed.public_id}/")
        officer.get_by_label("Reason").fill("Not what was granted.")
        officer.get_by_role("button", name="Do not accept it").click()
        officer.get_by_text("The change is now: not accepted.").wait_for()
        officer.goto(f"{url}/rescreenings/{again.pk}/")
        officer.get_by_label("Reason").fill("The new rule does not reach letters.")
        officer.get_by_role("button", name="It stands", exact=True).click()
        officer.get_by_text("The grant stands.").wait_for()
        officer.goto(f"{url}/desk/questions/{asked.public_id}/answer/")
        officer.get_by_label("Answer", exact=True).fill("Not by itself: Annex III names no games.")
        officer.get_by_role("button", name="Answer it and show it to all").click()
        officer.get_by_text("Answered, and shown to all.").wait_for()

        passer_by.goto(kept)
        passer_by.get_by_text("Annex III names no games").wait_for()
        passer_by.goto(f"{url}/desk/questions/")
        passer_by.get_by_label("Words to look for").fill("chess")
        passer_by.get_by_role("button", name="Search").click()
        passer_by.get_by_text("1 answer with").wait_for()
        passer_by.emulate_media(media="print")
        assert not passer_by.get_by_role("button", name="Search").is_visible(), "what is printed has no controls"
        assert passer_by.get_by_text("Annex III names no games").is_visible()
