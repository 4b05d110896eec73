"""The pages as a browser shows them: every width, light and dark, and a live page that follows its run."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from hanse.contracts.base import now
from hanse.service.access.models import ApiToken, Membership
from hanse.service.runs.models import Attempt, Machine, Run, StepRow
from tests.portal import moved, seed
from tests.portal.test_federation import a_state
from tests.reporting import records
from tests.reporting.browser import chromium, faults

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _playwright_beside_django(monkeypatch: pytest.MonkeyPatch) -> None:
    """Playwright runs a loop in this thread; the queries of these tests are still made one at a time."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")


def signed_in(browser: Any, url: str, person: Any) -> Any:
    client = Client()
    client.force_login(person)
    context = browser.new_context()
    context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": url}])
    return context


def test_pages_fit_every_screen_in_both_modes_and_load_nothing_from_elsewhere(live_server: Any) -> None:
    ida = seed.person("ida", organisation=seed.organisation())
    newcomer = seed.person("new", organisation=seed.organisation("Fresh"))
    done, going, hostile = (seed.run(make(), ida) for make in (records.interrupted, records.under_way, records.hostile))
    granted = done.legs.get().allocation
    went, olli = moved.run(ida), seed.person("olli")
    machine = done.legs.get().machine
    Membership.objects.create(person=olli, organisation=machine.site.organisation, role="operator")
    Machine.objects.filter(pk=machine.pk).update(state=a_state(), policy=["At most 16 nodes a job."])
    Attempt.objects.filter(leg__run=hostile).update(state="unknown", job_id="4711")
    ApiToken.issue("laptop with a name that is long enough to need two lines", by="ida", person=ida)
    paths = [
        "/", "/runs/", "/applications/", "/tokens/", f"/runs/{going.public_id}/", f"/runs/{hostile.public_id}/",
        f"/runs/{done.public_id}/log/", f"/runs/{done.public_id}/report/", f"/runs/{going.public_id}/stop/",
        f"/allocations/{granted.public_id}/", f"/applications/{granted.award.application.public_id}/",
        "/federation/", f"/runs/{went.public_id}/", f"/runs/{went.public_id}/log/", "/register/",
    ]  # fmt: skip
    with chromium() as browser:
        operated = ["/federation/", f"/operator/{machine.public_id}/"]
        for person, asked in ((ida, paths), (newcomer, ["/"]), (olli, operated)):
            context = signed_in(browser, live_server.url, person)
            for path in asked:
                page = context.new_page()
                assert faults(page, live_server.url + path) == [], path
                page.close()
        page = browser.new_page()
        assert faults(page, f"{live_server.url}/login/") == []


def test_the_run_page_follows_its_run_to_the_end_without_being_loaded_again(live_server: Any) -> None:
    ida = seed.person("ida", organisation=seed.organisation())
    run = seed.run(records.under_way(), ida)
    with chromium() as browser:
        page = signed_in(browser, live_server.url, ida).new_page()
        page.goto(f"{live_server.url}/runs/{run.public_id}/")
        page.evaluate("window.stayed = true")
        assert page.locator("#state").inner_text() == "Running"
        attempt = Attempt.objects.get()
        StepRow.store(attempt, records.rows(97, records.STEPS))
        Attempt.objects.update(state="finished", last_step=records.STEPS, ended_at=now(), sequence=9)
        Run.objects.update(state="finished", ended_at=now(), result=records.result())
        page.locator("#state", has_text="Finished").wait_for(timeout=15_000)
        assert page.locator("#said").inner_text() == "The run is now finished."
        assert page.get_by_role("heading", name="Read the report").is_visible()
        assert page.locator("text=unigram entropy 6.02").first.is_visible()
        assert page.locator("[hx-get]").count() == 0
        assert page.evaluate("window.stayed") is True


def test_the_whole_way_from_signing_in_to_stopping_a_run_works_by_keyboard(live_server: Any) -> None:
    ida = seed.person("ida", organisation=seed.organisation())
    run = seed.run(records.under_way(), ida)
    with chromium() as browser:
        page = browser.new_page(java_script_enabled=False)
        page.goto(f"{live_server.url}/runs/{run.public_id}/")
        page.get_by_label("Username").press_sequentially("ida")
        page.keyboard.press("Tab")
        page.keyboard.type(seed.PASSWORD)
        page.keyboard.press("Enter")
        page.get_by_role("link", name="Stop run").press("Enter")
        page.get_by_label("Why").fill("the loss does not fall")
        page.get_by_role("button", name="Stop run").press("Enter")
        page.get_by_text("is being stopped. It saves a checkpoint first.").wait_for()
    run.refresh_from_db()
    assert run.state == "cancelling"
