"""Pages of what follows the scores, as a browser shows them: every width, light and dark, nothing from elsewhere."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from hanse.contracts.base import now
from hanse.service.access.models import Application, Person
from hanse.service.review import rounds
from hanse.service.review.models import Assignment, Letter, Panel, Redress, Reviewer, Round, StandIn
from tests.portal import seed
from tests.portal.test_portal_in_browser import signed_in
from tests.reporting.browser import chromium, faults
from tests.review.test_after_the_ranking import of
from tests.review.test_pages import of as of_round
from tests.review.test_stories import _playwright_beside_django, shot  # noqa: F401 - a fixture for every test here
from tests.review.world import AFTER, CUT_OFF, DUE, an_officer, scored_round

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def late_one(officer: Person, made: list[Application]) -> Assignment:
    """A review that is late, with the stand-in that was proposed for it."""
    late = Assignment.objects.filter(application=made[1])[0]
    Assignment.objects.filter(pk=late.pk).update(state="given", sent_at=None)
    other = Reviewer.enlist(seed.person("rev7"), organisation="University of Turku", keywords=(), by=officer)
    StandIn.objects.create(assignment=late, reviewer=other, due_on=DUE)
    return late


def apart(made: list[Application]) -> None:
    """Reviewers who do not agree."""
    for number, sheet in enumerate(Assignment.objects.filter(application__in=made).order_by("pk")):
        points = {
            name: max(0, min(5, value - (number + at) % 2)) for at, (name, value) in enumerate(sheet.points.items())
        }
        Assignment.objects.filter(pk=sheet.pk).update(points=points)


def test_pages_after_the_scores_fit_every_screen_and_load_nothing_from_elsewhere(live_server: Any) -> None:
    url, officer, otto = live_server.url, an_officer(), an_officer("otto")
    made = scored_round(officer, [5, 4, 4, 3, 1])
    apart(made)
    late = late_one(officer, made)
    with chromium() as browser:
        olga = signed_in(browser, url, officer)
        for path, name in (("/review/", "desk"), (f"/review/given/{late.public_id}/", "late-review")):
            page = olga.new_page()
            assert faults(page, url + path) == [], path
            shot(page, name)
        Assignment.objects.filter(pk=late.pk).update(state="sent", sent_at=now())
        rounds.close(made[0].call.call_id, CUT_OFF, by=officer, places=2, at=AFTER)
        Panel.convene(Round.objects.get(), officer, members=("rev7",), held_on=now().date()).move(
            made[2], officer, place=1, reason="The reviewers overlooked its data, which nobody else has."
        )
        Round.objects.update(reply_until=now() + timedelta(days=9))
        loser = made[-1]
        nora, answering = of(loser), of(made[1], "noel")
        said = {"state": "declined", "decided_at": now(), "reason": "Below the thresholds."}
        Application.objects.filter(pk=loser.pk).update(**said)
        loser.refresh_from_db()
        letter = Letter.draft(loser, officer)
        Redress.ask(loser, nora, grounds="The second table was misread.")
        for person, path, name in (
            (officer, of_round(made[0]), "ranking"), (officer, f"{of_round(made[0])}panel/", "panel"),
            (officer, f"/review/letters/{letter.public_id}/", "letter"),
            (otto, f"/review/redress/{loser.public_id}/", "judge"),
            (nora, f"/review/redress/{loser.public_id}/", "redress"),
            (answering, f"/review/replies/{made[1].public_id}/", "reply"),
            (officer, f"/applications/{made[1].public_id}/", "application"),
        ):  # fmt: skip
            page = signed_in(browser, url, person).new_page()
            assert faults(page, url + path) == [], path
            shot(page, name)
