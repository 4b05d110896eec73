"""The run report as a browser shows it: every width, light and dark, and on paper."""

from __future__ import annotations

from pathlib import Path

import pytest

from hanse.reporting.run_report import render
from tests.reporting import records
from tests.reporting.browser import chromium, faults

pytestmark = pytest.mark.browser


def test_reports_fit_every_screen_in_both_modes_and_load_nothing(tmp_path: Path) -> None:
    with chromium() as browser:
        for kind in ("finished", "interrupted", "under-way", "waiting", "command", "across", "hostile"):
            file = tmp_path / f"{kind}.html"
            file.write_text(render(records.ALL[kind]()), encoding="utf-8")
            page = browser.new_page()
            assert faults(page, file.as_uri()) == [], kind
            page.close()


def test_a_report_on_paper_is_light_and_keeps_its_charts(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(render(records.finished()), encoding="utf-8")
    with chromium() as browser:
        page = browser.new_page(color_scheme="dark")
        page.goto(file.as_uri())
        page.emulate_media(media="print", color_scheme="dark")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert not page.locator("header.bar").is_visible()
        shown = page.evaluate(
            "[...document.querySelectorAll('.chart')].filter(e => e.getBoundingClientRect().width).length"
        )
        assert shown == 4
        assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")
