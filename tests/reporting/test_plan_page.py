"""The page of a plan: whole, self-contained, every class known, readable at every width."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.contracts.layout import Layout
from hanse.contracts.plan import Expense
from hanse.machines import catalogue
from hanse.reporting.document import stylesheet
from hanse.reporting.logplot import log_ticks
from hanse.reporting.plan_page import render
from tests.planning import plans
from tests.reporting import browser

LEONARDO = catalogue.load("leonardo-booster")
LAYOUTS = {"small": plans.SMALL, "hybrid": plans.HYBRID, "pipelined": plans.PIPELINED, "expert": plans.EXPERT}


def page(layout: Layout, *, rich: bool = True, **changes) -> str:
    plan = plans.plan(layout, rich=rich, **changes)
    if not rich:
        return render(plan, LEONARDO)
    return render(plan, LEONARDO, options=plans.options(), scaling=(plans.strong(),), names={"lumi-g": "LUMI-G"})


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_page_stands_alone_and_says_all_figures(name: str) -> None:
    text = page(LAYOUTS[name])
    assert "<script" not in text and "style=" not in text
    assert not re.search(r'(?:src|href)="(?!#)', text)
    for said in ("10.7 s", "52.0 of 61.0", "42", "With twice the batch", "18,432 layouts", "LUMI-G"):
        assert said in text.replace("\N{NO-BREAK SPACE}", " "), said


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_class_of_a_page_is_in_the_stylesheet(name: str) -> None:
    body = page(LAYOUTS[name]).split("</style>", 1)[1]
    used = {one for names in re.findall(r'class="([^"]*)"', body) for one in names.split()}
    assert {one for one in used if not re.search(rf"\.{re.escape(one)}(?![\w-])", stylesheet())} == set()


def test_a_plan_of_which_little_is_known_has_a_page_without_holes() -> None:
    text = page(plans.SMALL, rich=False)
    assert "None" not in text
    assert "What would change it" not in text and "Other machines" not in text
    unknown = "unknown: the machine&#x27;s power is not published"
    assert unknown not in text  # nobody has worked it out
    assert unknown in page(plans.SMALL, rich=False, expense=Expense())


@given(st.floats(1e-3, 1e12), st.floats(1, 1e9), st.integers(4, 8))
def test_logarithmic_ticks_enclose_the_range_and_are_few(low: float, factor: float, most: int) -> None:
    found = log_ticks(low, low * factor, most)
    assert len(found) <= most + 1
    assert found[0] <= low * 1.001 and found[-1] >= low * factor * 0.998
    assert list(found) == sorted(set(found)) and len(found) >= 1


@pytest.mark.browser
def test_pages_are_sound_on_phones_and_desks(tmp_path: Path) -> None:
    with browser.chromium() as chrome:
        for name, layout in LAYOUTS.items():
            path = tmp_path / f"{name}.html"
            path.write_text(page(layout), encoding="utf-8")
            assert browser.faults(chrome.new_page(), path.as_uri()) == [], name
