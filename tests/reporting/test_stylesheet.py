"""The one stylesheet: contrast of its colours in both modes, no loads, and no class that nobody defined."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import hanse
from hanse.reporting.document import stylesheet
from hanse.reporting.run_report import render
from tests.reporting import records

TEXT = [
    *((ink, paper) for ink in ("ink", "ink-2", "sea", "sea-deep", "brick", "bad") for paper in ("paper", "surface")),
    *((tone, f"{tone}-soft") for tone in ("ok", "busy", "wait", "bad", "off", "ask")),
    *(("ink", f"{tone}-soft") for tone in ("ok", "busy", "wait", "bad", "off", "ask", "sea")),
    *(("ink-2", soft) for soft in ("sunk", "sea-soft")),
    ("on-action", "action"), ("on-action", "action-hover"),
    ("on-bar", "bar"), ("on-bar-2", "bar"),
    ("series-1", "surface"), ("series-2", "surface"), ("series-1", "paper"), ("series-2", "paper"),
    ("series-1", "band"), ("wait", "wait-soft"), ("on-bar-fill", "bad"), ("on-bar-fill", "off"),
]  # fmt: skip
LINES = [
    ("line-strong", "surface"), ("line-strong", "paper"), ("focus", "paper"),
    ("focus", "surface"), ("bar-focus", "bar"),
    ("series-1", "surface"), ("series-2", "surface"), ("brick", "surface"), ("d1", "sunk"), ("bar-brick", "bar"),
]  # fmt: skip


def tokens(mode: str) -> dict[str, str]:
    """Colours by name; dark overrides light."""
    light, dark = stylesheet().split("@media screen and (prefers-color-scheme: dark)", 1)
    found = dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})", light))
    if mode == "dark":
        found |= dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})", dark.split("/* 2 base", 1)[0]))
    return found


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    brighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_text_stands_out_from_what_it_stands_on(mode: str) -> None:
    found = tokens(mode)
    weak = {pair: round(ratio, 2) for pair in TEXT if (ratio := contrast(found[pair[0]], found[pair[1]])) < 4.5}
    assert weak == {}


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_lines_and_the_focus_ring_can_be_seen(mode: str) -> None:
    found = tokens(mode)
    weak = {pair: round(ratio, 2) for pair in LINES if (ratio := contrast(found[pair[0]], found[pair[1]])) < 3}
    assert weak == {}


def test_the_stylesheet_loads_nothing_and_uses_no_unknown_token() -> None:
    sheet = stylesheet()
    assert "url(" not in sheet
    assert "@import" not in sheet
    defined = set(re.findall(r"(--[\w-]+):", sheet))
    assert set(re.findall(r"var\((--[\w-]+)", sheet)) <= defined


def test_the_stylesheet_is_whole() -> None:
    bare = re.sub(r"/\*.*?\*/", "", stylesheet(), flags=re.DOTALL)
    depth = 0
    for line in bare.splitlines():
        depth += line.count("{") - line.count("}")
        assert line.count("(") == line.count(")"), line
        assert 0 <= depth <= 2, line
    assert depth == 0


def test_no_class_of_the_stylesheet_is_left_over_from_a_page_that_is_gone() -> None:
    bare = re.sub(r"/\*.*?\*/", "", stylesheet(), flags=re.DOTALL)
    code = Path(hanse.__file__).parent
    pages = [*(code / "reporting").glob("*.py"), *(code / "service").rglob("*.html")]
    pages += (code / "service").rglob("*.py")
    written = "".join(page.read_text(encoding="utf-8") for page in pages)
    numbered = {"s1", "s2", "l1", "l2", "dot1", "dot2", "ask--1", "ask--2", "ask--3"}  # written as f"s{series}"
    classes = set(re.findall(r"\.([a-z][\w-]*)", bare)) - numbered
    assert {one for one in classes if not re.search(rf"(?<![\w-]){re.escape(one)}(?![\w-])", written)} == set()


@pytest.mark.parametrize("kind", records.ALL)
def test_every_class_of_a_report_is_in_the_stylesheet(kind: str) -> None:
    page = render(records.ALL[kind]()).split("</style>", 1)[1]
    used = {name for names in re.findall(r'class="([^"]*)"', page) for name in names.split()}
    missing = {name for name in used if not re.search(rf"\.{re.escape(name)}(?![\w-])", stylesheet())}
    assert missing == set()
