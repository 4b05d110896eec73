"""Headless Chromium for the tests of pages, and what is asked of every page at every width."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from tests import needs

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
VIEWS = ((320, "light"), (390, "dark"), (1280, "light"))

_WRONG = """() => {
  const wrong = [];
  const root = document.documentElement;
  if (root.scrollWidth > innerWidth) {
    const wide = [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1);
    wrong.push('wider than the screen: ' + wide.slice(0, 4).map(e => e.tagName + '.' + e.className).join(', '));
  }
  if (document.querySelectorAll('h1').length !== 1) wrong.push('not one h1');
  for (const landmark of ['main', 'footer', 'header'])
    if (document.querySelectorAll('body > ' + landmark).length !== 1) wrong.push('not one ' + landmark);
  if (!document.querySelector('a.skip[href="#main"]')) wrong.push('no skip link');
  if (document.documentElement.lang !== 'en') wrong.push('no language');
  for (const e of document.querySelectorAll('[style]')) wrong.push('inline style on ' + e.tagName);
  for (const text of document.querySelectorAll('.chart text')) {
    const box = text.getBoundingClientRect();
    if (box.width && (box.right > innerWidth || box.left < 0)) wrong.push('off the screen: ' + text.textContent);
  }
  for (const e of document.querySelectorAll('button, .btn, .tabs a, .bar nav a')) {
    const box = e.getBoundingClientRect();
    if (box.width && box.height < 43) wrong.push('too small to press: ' + e.textContent.trim() + ' ' + box.height);
  }
  return wrong;
}"""


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser of this machine's own; without one the test is skipped, and with CI=true it fails."""
    from playwright import sync_api

    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        needs.lacking("no Chromium on this machine (Debian: apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def faults(page: Any, url: str) -> list[str]:
    """Open `url` on a small and a common phone and on a desk, light and dark, and list whatever is wrong."""
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(f"console: {message.text}") if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("request", lambda request: wrong.append(f"request to {request.url}") if _leaves(request.url) else None)
    page.goto(url)
    for width, scheme in VIEWS:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        wrong += [f"{width} {scheme}: {fault}" for fault in page.evaluate(_WRONG)]
    return wrong


def _leaves(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("http", "https", "ws", "wss") and parts.hostname not in ("127.0.0.1", "localhost")
