"""Its pages as a browser shows them, at every width, light and dark."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hanse.contracts.awarding import CapacityOffer, ChangeAsked
from hanse.contracts.awarding import Price as PriceTerms
from hanse.service.awarding import capacity
from hanse.service.awarding.changes import ChangeRequest
from hanse.service.awarding.models import Duty, Price, Proposal, Statement
from hanse.service.runs.models import UsageEntry
from tests.awarding.world import Programme
from tests.portal.test_portal_in_browser import signed_in
from tests.reporting.browser import chromium, faults

pytestmark = pytest.mark.browser
SHOTS = os.environ.get("HANSE_TEST_SCREENSHOTS", "")


def test_award_pages_fit_every_screen_and_load_nothing_from_elsewhere(
    shared_programme: Programme, live_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    world, second = shared_programme.world, shared_programme.second
    for month in ("2027-01", "2027-02"):
        capacity.offer(CapacityOffer(machine="other", partition="big", month=month, gpu_hours=90_000), by=second)
    held = shared_programme.award()
    Price.state(
        PriceTerms(machine="local", from_day=datetime(2026, 1, 1, tzinfo=UTC).date(), cents_per_gpu_hour=150), by=second
    )
    UsageEntry.objects.create(
        allocation=held, kind="site", accelerator_seconds=7200, recorded_at=datetime(2026, 10, 1, tzinfo=UTC)
    )
    Statement.issue(world.organisation, "2026-10", by=second, at=datetime(2028, 1, 1, tzinfo=UTC))
    ChangeRequest.ask(held, world.founder, ChangeAsked(kind="supplement", gpu_hours=100, reason="More " * 40))
    waits = shared_programme.apply(title="Another")
    undecided = shared_programme.apply(title="A third")
    Proposal.propose(waits, world.officer, "grant", shared_programme.terms())
    duty = Duty.objects.get(name="final-report")
    requests, report = f"/allocations/{held.public_id}/requests/", f"/awards/duties/{duty.public_id}/"
    with chromium() as browser:
        asked = (
            (world.founder, [requests, report, f"/allocations/{held.public_id}/"]),
            (second, ["/awards/", "/awards/capacity/", "/awards/statements/", f"/applications/{waits.public_id}/",
                      f"/applications/{undecided.public_id}/"]),
        )  # fmt: skip
        for person, paths in asked:
            context = signed_in(browser, live_server.url, person)
            for path in paths:
                page = context.new_page()
                assert faults(page, live_server.url + path) == [], path
                if SHOTS:
                    name = f"{person.username}{path.replace('/', '_')}"
                    page.screenshot(path=Path(SHOTS) / f"{name}wide.png", full_page=True)
                    page.set_viewport_size({"width": 360, "height": 800})
                    page.emulate_media(color_scheme="dark")
                    page.screenshot(path=Path(SHOTS) / f"{name}narrow.png", full_page=True)
                page.close()
