"""A report nobody handed in, in a browser: reminded, overdue, in the way of the next application, out of it."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from hanse.contracts.base import now
from hanse.service.access.models import Application
from hanse.service.awarding import chores
from hanse.service.awarding.models import Duty
from hanse.service.notices import inbox
from tests.awarding.world import Programme
from tests.forms import room
from tests.portal.test_portal_in_browser import signed_in
from tests.reporting.browser import chromium, faults

pytestmark = pytest.mark.browser


def the_day_is(report: Duty, due: date) -> None:
    """As if the report's day were this one: what the tick does then, it does now."""
    Duty.objects.filter(pk=report.pk).update(due=due)
    chores.run(now())
    inbox.tell()


def test_an_overdue_report_blocks_the_next_application_until_it_is_handed_in(
    shared_programme: Programme, live_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    url, world, today = live_server.url, shared_programme.world, now().date()
    shared_programme.award()
    report = Duty.objects.get(name="final-report")
    room.publish()
    draft = room.kept(world.founder, room.ready(organisation=world.organisation.name))
    with chromium() as browser:
        founder, officer = (signed_in(browser, url, one).new_page() for one in (world.founder, world.officer))
        the_day_is(report, today + timedelta(days=7))
        founder.goto(f"{url}/notices/")
        founder.get_by_text("An obligation of Delivery notes is due").first.wait_for()
        the_day_is(report, today - timedelta(days=1))
        for page in (founder, officer):
            page.goto(f"{url}/notices/")
            page.get_by_text("An obligation of Delivery notes is overdue").first.wait_for()
        officer.goto(f"{url}/awards/")
        officer.get_by_text("Overdue").first.wait_for()

        founder.goto(f"{url}/drafts/{draft.public_id}/check/")
        founder.get_by_role("button", name="Send the application").click()
        founder.get_by_text("owes something of an earlier award: final-report").first.wait_for()
        assert Application.objects.filter(call__call_id="fast-lane").count() == 0
        draft.refresh_from_db()
        assert draft.state == "open", "what was written for it is kept"

        founder.goto(f"{url}/notices/")
        founder.get_by_role("button", name="Open it: An obligation of Delivery notes is overdue").click()
        founder.get_by_text("it is overdue").first.wait_for()
        assert faults(founder.context.new_page(), founder.url) == []
        founder.get_by_label("Summary").fill("The notes are read in eleven languages.")
        founder.get_by_role("button", name="Send it").click()
        founder.get_by_text("A report needs its results").first.wait_for()
        assert founder.get_by_label("Summary").input_value() == "The notes are read in eleven languages."
        founder.get_by_label("Results").fill("93 of 100 lines are read right.")
        founder.get_by_role("button", name="Send it").click()
        founder.get_by_text("It is sent; an officer reads it.").wait_for()

        founder.goto(f"{url}/drafts/{draft.public_id}/check/")
        founder.get_by_role("button", name="Send the application").click()
        founder.get_by_text("It is sent.").first.wait_for()
        assert Application.objects.get(call__call_id="fast-lane").state == "sent"

        officer.goto(f"{url}/awards/duties/{report.public_id}/")
        officer.get_by_text("93 of 100 lines are read right.").wait_for()
        officer.get_by_label("Reason").fill("It says what was promised and what came of it.")
        officer.get_by_role("button", name="Accept it").click()
        officer.get_by_text("Your word on it is kept.").wait_for()
    report.refresh_from_db()
    assert report.state == "accepted" and not report.overdue
