"""A round in a browser: twelve applications, five reviewers, conflicts of interest, a ranking that stands."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from hanse.contracts.base import now
from hanse.contracts.decision import Decision
from hanse.contracts.programme import ReviewStep
from hanse.contracts.review_steps import StepWord
from hanse.service.access.models import Application, Membership, Person
from hanse.service.compliance.models import Screening
from hanse.service.review import steps, tables
from hanse.service.review.models import Assignment, Reviewer
from tests.portal import seed
from tests.portal.test_portal_in_browser import signed_in
from tests.reporting.browser import chromium, faults
from tests.review.world import CUT_OFF, NAMES, a_call, an_officer, entries, reviewers, score

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
SHOTS = os.environ.get("HANSE_TEST_SCREENSHOTS", "")
STEPS = (
    ReviewStep(kind="administrative"), ReviewStep(kind="technical", by="the site"),
    ReviewStep(kind="scientific", by="external experts"),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _playwright_beside_django(monkeypatch: pytest.MonkeyPatch) -> None:
    """Playwright runs a loop in this thread; the queries of these tests are still made one at a time."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    monkeypatch.setenv("HANSE_AWARDS_BY", "2")


def shot(page: Any, name: str) -> None:
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}-wide.png", full_page=True)
        page.set_viewport_size({"width": 360, "height": 800})
        page.emulate_media(color_scheme="dark")
        page.screenshot(path=Path(SHOTS) / f"{name}-narrow.png", full_page=True)
        page.emulate_media(color_scheme="light")
        page.set_viewport_size({"width": 1280, "height": 800})


def checked(made: list[Application], officer: Person, operator: Person) -> None:
    """Both checks before the reviews."""
    for one in made:
        steps.do(one, "administrative", officer, StepWord(passed=True))
        steps.do(one, "technical", operator, StepWord(passed=True, reason="Looked at with the applicant."))


def test_a_large_scale_round_of_twelve_goes_from_checks_over_a_conflict_to_decisions(live_server: Any) -> None:
    url, officer, second = live_server.url, an_officer(), an_officer("otto")
    machine = seed.machine()
    olli = seed.person("olli")
    Membership.objects.create(person=olli, organisation=machine.site.organisation, role="operator")
    call = a_call(title="Large scale access", order="ranking", review=STEPS, max_gpu_hours=None)
    made = entries(12, call=call)
    checked(made[1:], officer, olli)
    allowed = Decision(subject=made[0].public_id, verdict="allow", findings=(), decided_at=now(), decided_by="gate")
    Screening.objects.create(application=made[0], decision=allowed)
    people = reviewers(4, officer, rev0="Firm 3")
    Reviewer.enlist(seed.person("rev4"), organisation="Firm 5 AB", keywords=(), by=officer)
    the_round = f"{url}/review/rounds/{call.call_id}/{tables.stamp(CUT_OFF)}/"
    with chromium() as browser:
        olga, otto, site, reviewer = (
            signed_in(browser, url, one).new_page() for one in (officer, second, olli, people[1].person)
        )
        olga.goto(f"{url}/review/")
        olga.get_by_role("link", name="Model 0", exact=True).click()
        olga.get_by_role("button", name="It passes").click()
        olga.get_by_text("Administrative check of Model 0: passed").wait_for()
        site.goto(f"{url}/review/")
        site.get_by_role("link", name="Model 0", exact=True).click()
        shot(site, "step")
        site.get_by_label("Reason").fill("Its plan was gone through with the team.")
        site.get_by_role("button", name="It passes").click()
        site.get_by_text("Technical check of Model 0: passed").wait_for()

        olga.goto(the_round)
        olga.get_by_role("heading", name="rev4 and Model 5").wait_for()
        olga.get_by_label("Reason").fill("Firm 5 AB is another house.")
        olga.get_by_role("button", name="Clear it").click()
        olga.get_by_text("Your word is kept").wait_for()
        olga.get_by_label("Due on").fill("2099-01-29")
        olga.get_by_role("button", name="Give reviews").click()
        olga.get_by_text("24 reviews given.").wait_for()
        given = Assignment.objects.select_related("reviewer__person", "application")
        assert not given.filter(reviewer=people[0], application=made[3]).exists(), "who works at Firm 3"
        mine = given.filter(reviewer=people[1]).order_by("due_on", "pk").first()
        assert mine is not None

        reviewer.goto(f"{url}/review/")
        shot(reviewer, "mine")
        reviewer.goto(f"{url}/review/sheets/{mine.public_id}/")
        for name in NAMES:
            reviewer.locator(f"[name='points-{name}'][value='5']").check()
            reviewer.locator(f"[name='comment-{name}']").fill("Sound.")
        shot(reviewer, "sheet")
        assert faults(reviewer.context.new_page(), reviewer.url) == []
        reviewer.get_by_role("button", name="Send the review").click()
        reviewer.get_by_text("Your review is sent").wait_for()
        for sheet in given.filter(state="given"):
            first = sheet.application.pk in {one.pk for one in made[:6]} or sheet.application.pk == mine.application.pk
            score(sheet, 5 if first else 2)

        olga.goto(the_round)
        olga.get_by_label("Places").fill("5")
        shot(olga, "round")
        olga.get_by_role("button", name="Close the round").click()
        olga.get_by_text("The round is closed; its ranking stands.").wait_for()
        assert faults(olga.context.new_page(), the_round) == []
        assert faults(olga.context.new_page(), f"{url}/review/") == []
        assert faults(olga.context.new_page(), f"{url}/review/reviewers/") == []
        assert olga.get_by_text("Recommended").count() == 5 and olga.get_by_text("Below").count() >= 5
        shot(olga, "closed")
        ranked = olga.locator("section[aria-labelledby=rank] tbody tr th a").all_inner_texts()

        winner = Application.objects.get(public_id=made[0].public_id)
        olga.goto(f"{url}/applications/{winner.public_id}/")
        assert faults(olga.context.new_page(), olga.url) == []
        olga.get_by_label("Reason", exact=True).fill("First of its round.")
        if (gate := olga.get_by_label("Why the gate's findings do not stand")).count():
            gate.fill("Looked at with the applicant.")
        olga.get_by_role("button", name="Propose the award").click()
        otto.goto(olga.url)
        otto.get_by_role("button", name="Confirm it").click()
        otto.get_by_text("Confirmed: it is done.").wait_for()
        olga.goto(the_round)
        assert olga.get_by_text("Granted").first.is_visible()
        again = olga.locator("section[aria-labelledby=rank] tbody tr th a").all_inner_texts()
        assert again == ranked, "no decision moves anybody's place"
    winner.refresh_from_db()
    assert winner.state == "granted"
