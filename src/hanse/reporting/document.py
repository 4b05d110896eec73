"""The shell of a document that stands alone: head with the stylesheet inside, bar, main, foot. Nothing is loaded."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from hanse import __version__
from hanse.reporting.markup import Html, h

MARK_PATH = "M1 22V15h3v-4h3V7h3V3h4v4h3v4h3v4h3v7h-8v-6h-6v6z"


@cache
def stylesheet() -> str:
    """hanse.css, the one stylesheet of reports and portal."""
    return files("hanse.reporting").joinpath("static/hanse.css").read_text(encoding="utf-8")


def mark() -> Html:
    """The stepped gable of bricks that stands for Hanse."""
    return h("svg", h("path", d=MARK_PATH), viewBox="0 0 24 24", aria_hidden="true")


def document(title: str, kind: str, main: Html, *notes: str) -> str:
    """The whole text. `kind` stands in the bar, `notes` in the foot after the version."""
    head = h(
        "head",
        h("meta", charset="utf-8"),
        h("meta", name="viewport", content="width=device-width, initial-scale=1"),
        h("title", f"{title} · Hanse"),
        h("style", Html(stylesheet())),
    )
    brand = h("span", mark(), "Hanse", class_="brand")
    foot = [h("span", each) for each in (f"Hanse {__version__}", *notes)]
    body = h(
        "body",
        h("a", "Skip to content", class_="skip", href="#main"),
        h("header", h("div", brand, h("span", kind, class_="bar__who"), class_="bar__in"), class_="bar"),
        h("main", main, id="main", class_="page"),
        h("footer", h("div", *foot, class_="foot__in"), class_="foot"),
    )
    return "<!doctype html>\n" + h("html", head, body, lang="en") + "\n"
