"""A Grand Challenge in a browser: 94 entries, four win, one gives up, and the first of the reserve follows."""

from __future__ import annotations

from typing import Any

import pytest

from hanse.contracts.awarding import AwardTerms
from hanse.contracts.base import now
from hanse.contracts.decision import Decision
from hanse.programme import calls
from hanse.service.access.models import Allocation, Application, Award, Call, Membership, Person
from hanse.service.awarding.models import Proposal
from hanse.service.compliance.models import Screening
from hanse.service.review import orders, rounds, tables
from hanse.service.review.models import Assignment, Letter
from tests.portal import seed
from tests.portal.test_portal_in_browser import signed_in
from tests.reporting.browser import chromium, faults
from tests.review.test_stories import _playwright_beside_django, shot  # noqa: F401 - a fixture for every test here
from tests.review.world import CUT_OFF, DUE, an_officer, entries, reviewers, score

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
ENTRIES, WINNERS, SMALLER = 94, 4, 800_000


def entered(officer: Person) -> list[Application]:
    """Everybody who entered, scored so that the nth stands in place n for the first twenty and the rest fails."""
    seed.machine()
    call = Call.publish(calls.load("large-ai-grand-challenge"), by=officer.username)
    made = entries(ENTRIES, call=call)
    for one in made:
        one.form = one.form.model_copy(update={"gpu_hours": 2_000_000, "duration_months": 12})
    Application.objects.bulk_update(made, ["form"])
    allowed = [
        Decision(subject=one.public_id, verdict="allow", findings=(), decided_at=now(), decided_by="gate")
        for one in made
    ]
    Screening.objects.bulk_create(
        Screening(application=one, decision=said) for one, said in zip(made, allowed, strict=True)
    )
    reviewers(8, officer)
    given = rounds.assign(call.call_id, CUT_OFF, due_on=DUE, by=officer)
    assert len(given.given) == 2 * ENTRIES and not given.short
    place = {one.pk: number for number, one in enumerate(made)}
    for sheet in Assignment.objects.select_related("application__call", "reviewer__person"):
        score(sheet, 5 if place[sheet.application.pk] < 10 else 4 if place[sheet.application.pk] < 20 else 2)
    return made


def awarded(one: Application, officer: Person, second: Person) -> None:
    held = Application.objects.select_related("call", "organisation", "screening").get(pk=one.pk)
    Proposal.propose(held, officer, "grant", AwardTerms(reason="One of the four best.")).confirm(second)


def test_four_of_94_win_and_the_first_of_the_reserve_follows_one_who_gives_up(live_server: Any) -> None:
    url, officer, second = live_server.url, an_officer(), an_officer("otto")
    made = entered(officer)
    call, stamp = made[0].call.call_id, tables.stamp(CUT_OFF)
    winners, follower, after = made[:WINNERS], made[WINNERS], made[WINNERS + 1]
    nora = seed.person("nora")
    Membership.objects.create(person=nora, organisation=follower.organisation, role="owner")
    the_round, places = f"{url}/review/rounds/{call}/{stamp}/", f"{url}/review/rounds/{call}/{stamp}/places/"
    page_of = {one.pk: f"{url}/applications/{one.public_id}/" for one in made}
    with chromium() as browser:
        olga, otto, applicant = (signed_in(browser, url, one).new_page() for one in (officer, second, nora))
        olga.goto(the_round)
        assert not olga.get_by_label("Places").count(), "the call says that four win"
        olga.get_by_role("button", name="Close the round").click()
        olga.get_by_text("The round is closed; its ranking stands.").wait_for()
        ranking = olga.locator("section[aria-labelledby=rank]")
        badges = {
            name: ranking.locator(".badge", has_text=name).count() for name in ("Recommended", "Reserve", "Below")
        }
        assert badges == {"Recommended": WINNERS, "Reserve": 16, "Below": 74}
        for one in winners:
            awarded(one, officer, second)

        olga.goto(page_of[follower.pk])
        olga.get_by_text("It is on the reserve list, and all 4 places are held.").wait_for()
        olga.goto(places)
        olga.get_by_text("4 of 4 places are held").wait_for()
        olga.get_by_label("Award").select_option(winners[1].public_id)
        olga.get_by_label("What the winner said").fill("It trains on a machine of its own instead.")
        olga.get_by_role("button", name="Free the place").click()
        olga.get_by_text("the next on the reserve list can be awarded").wait_for()
        shot(olga, "places")
        assert faults(olga.context.new_page(), places) == []
        assert [one.kind for one in orders.missing(after, "grant")] == ["reserve"], "the list has its order"

        olga.get_by_role("heading", name="Award the next on the reserve list").wait_for()
        olga.locator("section[aria-labelledby=next]").get_by_role("link", name="Model 4").click()
        olga.get_by_label("GPU-hours to grant").fill(str(SMALLER))
        olga.get_by_label("Reason", exact=True).fill("First of the reserve, after a winner gave up.")
        olga.get_by_role("button", name="Propose the award").click()
        otto.goto(page_of[follower.pk])
        otto.get_by_role("button", name="Confirm it").click()
        otto.get_by_text("Confirmed: it is done.").wait_for()
        olga.goto(page_of[follower.pk])
        olga.get_by_role("button", name="Draft the letter").click()
        olga.get_by_role("button", name="Send the letter").click()
        olga.get_by_text("The letter is sent.").wait_for()

        applicant.goto(page_of[follower.pk])
        applicant.get_by_role("link", name="Letter with the decision").click()
        applicant.get_by_text("800,000 GPU-hours").first.wait_for()
        assert faults(applicant.context.new_page(), applicant.url) == []
        olga.goto(places)
        olga.get_by_text("4 of 4 places are held").wait_for()
    states = [Application.objects.get(pk=one.pk).state for one in (*winners, follower, after)]
    assert states == ["granted"] * 5 + ["in-review"] and Letter.objects.get().state == "sent"
    hours = {one.application_id: one.gpu_hours for one in Award.objects.all()}
    assert hours[follower.pk] == SMALLER and len(hours) == 5
    given_up = Allocation.objects.get(award__application=winners[1])
    assert Allocation.locked(given_up.public_id).free_accelerator_seconds == 0
