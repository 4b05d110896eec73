"""An imported award in the browser: a file, its preview, a second officer's word, and hours its people can use."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hanse.cli.main import app
from hanse.service.access.models import Allocation
from hanse.service.imports.batches import Batch
from tests.awarding.world import Programme
from tests.imports.rows import a_file
from tests.imports.test_pages import NOW
from tests.portal.test_portal_in_browser import signed_in
from tests.reporting.browser import chromium, faults

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
SHOTS = os.environ.get("HANSE_TEST_SCREENSHOTS", "")
SPEC = """\
name: delivery-notes
command: {run: echo trained}
where: {machines: [local], nodes: 1, wall_time_s: 600, max_gpu_hours: 1}
"""


@pytest.fixture(autouse=True)
def _playwright_beside_django(monkeypatch: pytest.MonkeyPatch) -> None:
    """Playwright runs a loop in this thread; the queries of these tests are still made one at a time."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")


def shot(page: Any, name: str) -> None:
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}-wide.png", full_page=True)
        page.set_viewport_size({"width": 390, "height": 800})
        page.screenshot(path=Path(SHOTS) / f"{name}-390.png", full_page=True)
        page.set_viewport_size({"width": 1280, "height": 800})


def the_file(tmp_path: Path) -> Path:
    """One award that is new, one of a near name, one that cannot be read."""
    file = tmp_path / "eurohpc-november.csv"
    named = {"contact_email": "nora@norrlyd.example", "names_may_be_published": "yes"}
    file.write_text(a_file(
        NOW | named, NOW | {"reference": "b", "organisation": "Brick AI GmbH", "title": "Bricks"},
        NOW | {"reference": "c", "amount": "40.000"},
    ))  # fmt: skip
    return file


def test_an_award_decided_elsewhere_becomes_hours_that_its_people_can_use(
    shared_programme: Programme, live_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, world = live_server.url, shared_programme.world
    with chromium() as browser:
        first, second = (signed_in(browser, url, one).new_page() for one in (world.officer, shared_programme.second))
        first.goto(f"{url}/awards/")
        first.get_by_role("link", name="Awards decided elsewhere").click()
        shot(first, "imports-empty")
        first.get_by_label("File", exact=True).set_input_files(the_file(tmp_path))
        first.get_by_role("button", name="Look at it").click()
        first.get_by_text("3 rows: 1 new, 1 to be told apart, 1 refused.").wait_for()
        first.get_by_text("40.000 can be read as 40.000 or as 40000.").wait_for()
        shot(first, "import-prepared")
        first.get_by_label("Organisation", exact=True).select_option(world.organisation.public_id)
        first.get_by_role("button", name="Say so").click()
        first.get_by_text("3 rows: 2 new, 1 refused.").wait_for()
        assert first.get_by_role("button", name="Bring it in").count() == 0, "another officer confirms it"
        assert not Allocation.objects.filter(award__imported__isnull=False).exists()

        batch = Batch.objects.get()
        there = f"{url}/awards/imports/{batch.public_id}/"
        second.goto(f"{url}/awards/imports/")
        second.get_by_role("link", name="eurohpc-november.csv").click()
        shot(second, "import-to-confirm")
        second.get_by_role("button", name="Bring it in").click()
        second.get_by_text("It is brought in.").wait_for()
        link = second.locator("dt", has_text="nora@norrlyd.example").locator("xpath=following-sibling::dd[1]")
        invited = link.inner_text()
        shot(second, "import-confirmed")
        for path in ("/awards/imports/", f"/awards/imports/{batch.public_id}/"):
            assert faults(second, url + path) == [], path

        nora = browser.new_context().new_page()
        nora.goto(invited)
        nora.get_by_label("User name").fill("nora")
        nora.get_by_label("Password").first.fill("a long password of hers")
        nora.get_by_role("button", name="Make it and join").click()
        nora.goto(f"{url}/")
        nora.get_by_text("5,000 GPU-hours are left").wait_for()
        shot(nora, "imported-home")
        held = Allocation.objects.get(award__imported__reference="EHPC-AIF-2026FL01-012")
        nora.goto(f"{url}/allocations/{held.public_id}/")
        nora.get_by_text("hanse launch train.yaml").wait_for()
        nora.goto(f"{url}/applications/{held.award.application.public_id}/")
        nora.get_by_text("Decided elsewhere, by eurohpc, and brought in here.").wait_for()
        shot(nora, "imported-application")
        nora.goto(f"{url}/register/")
        nora.get_by_text("Norrlyd").first.wait_for()
        second.goto(there)
        assert second.get_by_text("Confirmed", exact=True).count() == 1

    spec = tmp_path / "train.yaml"
    spec.write_text(SPEC)
    monkeypatch.setenv("HANSE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    owner = held.project.organisation.memberships.get(role="owner").person
    env = {"HANSE_URL": url, "HANSE_TOKEN": world.token(owner), "COLUMNS": "120"}
    prepared = CliRunner().invoke(app, ["launch", "train.yaml", "--dry-run"], env=env)
    assert prepared.exit_code == 0, prepared.output
    assert "Without --dry-run this is launched." in prepared.output
