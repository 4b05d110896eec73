"""The way from the calls to a sent application as a browser takes it, and every page by the rules of accessibility."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hanse.service.access.models import Application
from hanse.service.forms.models import KeptDraft
from hanse.service.forms.sketches import CallSketch
from tests.contracts.examples import EXAMPLES
from tests.forms import room
from tests.forms.test_drafts import group
from tests.portal import seed
from tests.portal.test_portal_in_browser import signed_in
from tests.programme.test_form import with_
from tests.reporting import records
from tests.reporting.browser import chromium, faults

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _playwright_beside_django(monkeypatch: pytest.MonkeyPatch) -> None:
    """Playwright runs a loop in this thread; the queries of these tests are still made one at a time."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")


def axe() -> str | None:
    """axe-core's script, from whichever package brings it."""
    for package, place in (("axe_playwright_python", "axe.min.js"), ("axe_core_python", "axe.min.js")):
        try:
            folder = Path(__import__(package).__file__ or "").parent
        except ImportError:
            continue
        return (folder / place).read_text("utf-8")
    return None


RUN = """async () => {
  const found = await axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']});
  return found.violations.map(one => one.id + ': ' + one.nodes.slice(0, 3).map(n => n.html.slice(0, 160)).join(' | '));
}"""


def test_a_start_up_goes_from_the_calls_to_a_sent_application_and_a_linked_enterprise_stops_it_first(
    live_server: Any, tmp_path: Path
) -> None:
    room.publish()
    ida = seed.person("ida", organisation=seed.organisation())
    plan = tmp_path / "plan.json"
    plan.write_text(
        json.dumps({
            "plan": json.loads(EXAMPLES["plan"].to_json()), "scaling": json.loads(EXAMPLES["scaling-table"].to_json())
        })
    )  # fmt: skip
    with chromium() as browser:
        page = signed_in(browser, live_server.url, ida).new_page()
        page.goto(f"{live_server.url}/calls/")
        page.get_by_label("GPU-hours").fill("40,000")
        page.get_by_label("What kind of organisation").select_option("sme")
        page.get_by_label("Country").fill("SE")
        page.get_by_role("button", name="Suggest a call").click()
        page.get_by_role("heading", name="Fast lane suits best").wait_for()
        page.get_by_role("button", name="Begin an application: Fast lane").click()
        page.get_by_role("heading", name="Project", exact=True).wait_for()
        title = page.get_by_label("Title", exact=True)
        with page.expect_response(lambda answer: answer.request.method == "POST"):
            title.press_sequentially("Nordic 30B")
        draft = KeptDraft.objects.get()
        page.locator("#revision[value='2']").wait_for(state="attached")
        assert KeptDraft.objects.get().title.startswith("Nordic")
        assert title.input_value() == "Nordic 30B", "what is typed is not touched by saving"
        page.goto(f"{live_server.url}/drafts/{draft.public_id}/compute/")
        page.get_by_label("File of the plan").set_input_files(plan)
        page.get_by_role("button", name="Fill from the plan").click()
        page.get_by_text("from plan").first.wait_for()
        page.goto(f"{live_server.url}/drafts/{draft.public_id}/organisation/")
        for name, text in group().items():
            field = page.locator(f"[name='{name.replace('__', '.')}']")
            if field.count():
                field.select_option(text) if name.endswith("kind") else field.fill(text)
            else:
                page.locator("button[value$='enterprises']").click()
                page.locator(f"[name='{name.replace('__', '.')}']").fill(text)
        page.locator("#size").get_by_text("It is a large enterprise.").first.wait_for()
        page.get_by_role("button", name="Save", exact=True).click()
        page.locator("#size").get_by_text("by these figures it is none").wait_for()
        page.goto("about:blank")
        kept = KeptDraft.objects.get()
        kept.replace(with_("whole.project.title", "Nordic 30B", room.ready()), seen=kept.revision, by=ida)
        page.goto(f"{live_server.url}/drafts/{draft.public_id}/check/")
        page.get_by_role("button", name="Send the application").click()
        page.get_by_text("It is sent.").wait_for()
    assert Application.objects.get().state == "sent"


def test_pages_fit_every_screen_and_every_page_keeps_the_rules_of_accessibility(live_server: Any) -> None:
    room.publish()
    ida, otto = seed.person("ida", organisation=seed.organisation()), room.officer()
    draft = room.kept(ida, room.ready())
    sketch = CallSketch.begin(room.terms(), by=otto)
    run = seed.run(records.interrupted(), ida)
    granted = run.legs.get().allocation
    base, ran = f"/drafts/{draft.public_id}/", f"/runs/{run.public_id}/"
    new = [
        "/", "/calls/", "/calls/fast-lane/", "/drafts/", base + "organisation/", base + "compute/", base + "questions/",
        base + "check/", "/calls/suggest/?gpu_hours=40000&organisation_kind=sme&country=SE",
    ]  # fmt: skip
    known = [
        "/runs/", "/applications/", "/tokens/", "/federation/", ran, ran + "log/", ran + "report/",
        f"/allocations/{granted.public_id}/", f"/applications/{granted.award.application.public_id}/",
        "/desk/", "/desk/check/", "/desk/timeline/",
    ]  # fmt: skip
    script, wrong = axe(), {}
    with chromium() as browser:
        visits = ((ida, new, True), (ida, known, False), (otto, [f"/officer/calls/{sketch.public_id}/"], True))
        for person, paths, ours in visits:
            page = signed_in(browser, live_server.url, person).new_page()
            for path in paths:
                found = faults(page, live_server.url + path) if ours else []
                if not ours and script is not None:
                    page.goto(live_server.url + path)
                if script is not None:
                    page.evaluate(script)
                    found += page.evaluate(RUN)
                if found:
                    wrong[path] = found
    assert wrong == {}
