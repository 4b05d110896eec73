"""Tables that become cards on a phone, definition lists and timelines: the pieces every page is built from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from hanse.reporting.markup import Child, Html, h, join
from hanse.reporting.words import when


class Column(NamedTuple):
    name: str
    number: bool = False


def table(
    columns: Sequence[str | Column],
    rows: Iterable[Sequence[Child]],
    *,
    foot: Sequence[Child] | None = None,
    keep: bool = False,
    caption: str | None = None,
) -> Html:
    """The first cell of a row is its heading. The ARIA roles stand because phones lay rows out as cards."""
    heads = [column if isinstance(column, Column) else Column(column) for column in columns]
    header = [h("th", c.name, scope="col", role="columnheader", class_="num" if c.number else None) for c in heads]
    return h(
        "table",
        h("caption", caption) if caption else None,
        h("thead", h("tr", header, role="row"), role="rowgroup"),
        h("tbody", [_row(heads, row) for row in rows], role="rowgroup"),
        h("tfoot", _row(heads, foot), role="rowgroup") if foot else None,
        class_="table table--keep" if keep else "table",
        role="table",
    )


def _row(heads: Sequence[Column], row: Sequence[Child]) -> Html:
    cells = [
        h(
            "td",
            h("span", cell) if cell not in (None, "") else None,
            role="cell",
            data_label=column.name,
            class_="num" if column.number else None,
        )
        for column, cell in zip(heads[1:], row[1:], strict=True)
    ]
    first = row[0]
    head = (
        first if isinstance(first, Html) and first.startswith("<th") else h("th", first, scope="row", role="rowheader")
    )
    return h("tr", head, cells, role="row")


def part_head(*children: Child) -> Html:
    """The heading of a row that is a part of the row above it."""
    return h("th", *children, scope="row", role="rowheader", class_="is-part")


def facts(*pairs: tuple[str, Child] | None) -> Html:
    """Names and values; a pair that is None, or whose value is None, is left out."""
    shown = [pair for pair in pairs if pair is not None and pair[1] is not None]
    return h("dl", [join(h("dt", name), h("dd", value)) for name, value in shown], class_="facts")


class Happening(NamedTuple):
    """One line of a timeline; `tone` is a class of hanse.css ('tone-bad') or empty."""

    at: datetime
    text: Child
    tone: str = ""


def timeline(happenings: Sequence[Happening], *, seconds: bool = False) -> Html:
    lines = [h("li", when(one.at, seconds=seconds), h("div", one.text), class_=one.tone or None) for one in happenings]
    return h("ol", lines, class_="timeline")


def section(id_: str, title: str, *children: Child) -> Html:
    return h("section", h("h2", title, id=id_), *children, aria_labelledby=id_)
