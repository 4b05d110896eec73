"""The run report: one HTML document that stands alone, made from one RunRecord, for the screen and for A4.

`render` is the whole document, which needs no script and loads nothing. `article` is the same report
without the shell, for pages that bring their own.
"""

from __future__ import annotations

import base64

from hanse.contracts.record import RunRecord
from hanse.reporting import sections
from hanse.reporting.bars import hatch
from hanse.reporting.document import document
from hanse.reporting.markup import Html, h, join
from hanse.reporting.sentences import opening
from hanse.reporting.words import RUN_LOOKS, ZONE_NAME, badge, plain_date

_EMBEDDED_ROWS = 1000


def render(record: RunRecord) -> str:
    """The whole document."""
    main = article(record, _aside(record))
    return document(f"Run report {record.run.name}", "Run report", main, f"Times are {ZONE_NAME} time.")


def article(record: RunRecord, aside: Html | None = None) -> Html:
    """Head and numbered sections; `aside` stands under the opening sentence."""
    run = record.run
    crumbs = f"Run report · project {run.project} · made {plain_date(record.made_at)}"
    head = h(
        "div",
        h("p", crumbs, class_="crumbs"),
        h("div", h("h1", run.name), badge(RUN_LOOKS[run.state], large=True), class_="row"),
        h("p", opening(record), class_="lede"),
        aside,
        class_="head",
    )
    return h("article", h("p", h("b", "Hanse"), class_="print-only"), hatch(), head, body(record))


def body(record: RunRecord) -> Html:
    """The numbered sections."""
    return join(
        sections.predicted_and_measured(record),
        sections.used(record),
        sections.attempts(record),
        sections.gate(record),
        sections.origin(record),
    )


def _aside(record: RunRecord) -> Html:
    """The data itself, as a link that needs neither a server nor a script."""
    rows = record.telemetry
    step = -(-len(rows) // _EMBEDDED_ROWS) or 1
    kept = rows if step == 1 else (*rows[:-1:step], rows[-1])
    data = record.model_copy(update={"telemetry": kept}).model_dump_json(exclude_none=True, exclude_defaults=True)
    said = "" if step == 1 else f", {len(kept):,} of {len(rows):,} step rows"
    link = h(
        "a",
        f"Download the data (JSON, {len(data) / 1000:,.0f} kB{said})",
        href="data:application/json;base64," + base64.b64encode(data.encode()).decode(),
        download=f"{record.run.id}.json",
    )
    return h("p", link, " · Print this page to keep it as PDF.", class_="small no-print")
