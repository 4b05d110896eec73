"""The pages of notices, people and one's own data as a browser shows them, and an invitation's whole way."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hanse.contracts.application import TeamMember, WholeForm
from hanse.contracts.base import now
from hanse.service.access.models import Membership
from hanse.service.notices import inbox
from hanse.service.notices.invitations import Invitation
from hanse.service.notices.models import Mail
from hanse.service.runs.models import Event
from tests.portal import seed
from tests.portal.test_portal_in_browser import _playwright_beside_django, signed_in  # noqa: F401 - a fixture
from tests.reporting import records
from tests.reporting.browser import chromium, faults
from tests.service.test_sign_on import officer

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_its_pages_fit_every_screen_and_an_invitation_is_taken_up_by_keyboard(live_server: Any) -> None:
    firm = seed.organisation()
    ida, mate, olga = seed.person("ida", organisation=firm), seed.person("mate"), officer()
    Membership.objects.create(person=mate, organisation=firm, role="member")
    run = seed.run(records.finished(), ida)
    team = (TeamMember(name="Nova Lind with a long name", email="nova.with.a.long.address@norrlyd.example"),)
    sent = seed.application(ida, whole=WholeForm(team=team))
    Event.record("service:run:failed", run.public_id, by="service", reason="A node was lost three times.")
    inbox.tell()
    guest = Invitation.invite(ida, firm, email="guest@norrlyd.example", role="operator")
    Mail.objects.create(
        key="dead", to="gone@norrlyd.example", subject="Hanse: Tiny is finished", state="dead", tries=8,
        next_at=now() - timedelta(days=1), error="550 5.1.1 no such mailbox",
    )  # fmt: skip
    people = f"/organisations/{firm.public_id}/people/"
    with chromium() as browser:
        for person, paths in (
            (olga, (f"/applications/{sent.public_id}/", "/views/", "/mail/")),
            (ida, ("/", "/notices/", people, "/my-data/", "/views/")),
        ):
            context = signed_in(browser, live_server.url, person)
            for path in paths:
                page = context.new_page()
                assert faults(page, live_server.url + path) == [], path
                _keep(page, path)
                page.close()
        page = browser.new_page()
        assert faults(page, live_server.url + guest.path) == []
        _keep(page, "/invitation/")
        page.get_by_label("User name").fill("nova")
        page.keyboard.press("Tab")
        page.keyboard.type(seed.PASSWORD)
        page.keyboard.press("Enter")
        page.get_by_text("You stand in Norrlyd now").wait_for()
        assert "operator" in page.content()


def _keep(page: Any, path: str) -> None:
    """Pictures to look at, where a person asks for them."""
    folder = os.environ.get("HANSE_TEST_PICTURES")
    if folder:
        for width, mode in ((1280, "light"), (360, "dark")):
            page.emulate_media(color_scheme=mode)
            page.set_viewport_size({"width": width, "height": 900})
            name = path.strip("/").replace("/", "-") or "home"
            page.screenshot(path=str(Path(folder) / f"{name}-{width}.png"), full_page=True)
