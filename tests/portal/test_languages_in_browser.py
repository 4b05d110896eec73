"""German has the longest words: the pages with figures and forms still fit a phone, and no label leaves its chart."""

from __future__ import annotations

from typing import Any

import pytest

from tests.portal import seed
from tests.portal.test_portal_in_browser import signed_in
from tests.reporting import records
from tests.reporting.browser import chromium

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
_OUTSIDE = """() => {
  const texts = [...document.querySelectorAll('.chart text')].map(e => [e, e.getBoundingClientRect()]);
  const off = texts.filter(([_, box]) => box.width && (box.right > innerWidth || box.left < 0));
  const wide = document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll('body *')]
    .filter(e => e.getBoundingClientRect().right > innerWidth + 1).slice(-3).map(e => `${e.tagName} ${e.textContent}`);
  return [...wide, ...off.map(([e, _]) => e.textContent)];
}"""


def test_pages_in_german_and_french_fit_a_phone(live_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    ida = seed.person("ida", organisation=seed.organisation())
    run = seed.run(records.interrupted(), ida)
    held = run.legs.get().allocation
    paths = (
        "/", f"/runs/{run.public_id}/", f"/runs/{run.public_id}/report/", f"/allocations/{held.public_id}/",
        f"/allocations/{held.public_id}/requests/", f"/applications/{held.award.application.public_id}/", "/tokens/",
        "/notices/", "/my-data/",
    )  # fmt: skip
    with chromium() as browser:
        context = signed_in(browser, live_server.url, ida)
        page = context.new_page()
        for language in ("de", "fr"):
            context.add_cookies([{"name": "django_language", "value": language, "url": live_server.url}])
            for path in paths:
                page.goto(live_server.url + path)
                assert page.evaluate("document.documentElement.lang") == language
                for width in (320, 360):
                    page.set_viewport_size({"width": width, "height": 800})
                    assert page.evaluate(_OUTSIDE) == [], (language, path, width)
