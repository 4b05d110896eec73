"""An application as a page to print or attach: every section with what stands in it, months and scaling with figures.

The page stands alone; a browser's print makes the PDF. The same as JSON is the draft itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Any

from hanse.contracts.applying import SECTIONS
from hanse.contracts.base import Contract
from hanse.contracts.units import format_bytes, format_percent, format_seconds, significant
from hanse.reporting.document import document
from hanse.reporting.logplot import Curve, LogPlot, log_plot
from hanse.reporting.markup import Child, Html, h, join
from hanse.reporting.scale import Axis
from hanse.reporting.tables import Column, facts, section, table

if TYPE_CHECKING:
    from hanse.contracts.application import Draft, ScalingPoint
    from hanse.contracts.programme import CallTerms

NOT_SAID = "not said yet"
NAMES = {
    "duration_months": "Months", "case": "Case", "in_eu_project": "Belongs to the EU project", "email": "E-mail",
    "vat_number": "VAT number", "pic": "PIC", "ai_pact": "AI Pact signed",
    "code_of_practice": "Code of practice signed",
    "gpu_hours": "GPU-hours", "arithmetic": "How they come about", "nodes_largest": "Nodes of the largest job",
    "nodes_average": "Nodes of an average job", "wall_time_s": "Wall time of a job", "at_once": "Jobs at once",
    "count": "Jobs in all", "memory_bytes_average": "Memory of an average job", "io_strategy": "Input and output",
    "memory_bytes_largest": "Memory of the largest job", "checkpoint_every_s": "A checkpoint every",
    "scratch_bytes": "Storage", "scratch_files": "Files", "work_bytes": "Project storage", "archive_bytes": "Archive",
    "transfer_bytes": "Brought in before", "why": "Why", "scaling_kind": "Scaling study",
    "scaling_evidence": "Evidence that it scales", "personal": "Personal data",
}  # fmt: skip
OWN_TABLES = frozenset({"by_month", "scaling", "group"})


def render(draft: Draft, terms: CallTerms | None) -> str:
    """The whole page."""
    whole = draft.whole
    title = whole.project.title or "Application"
    call = f"{terms.title}, version {terms.version}" if terms else draft.call or NOT_SAID
    head = h(
        "div",
        h("h1", title),
        facts(
            ("Call", call), ("Organisation", draft.organisation or NOT_SAID), ("Country", draft.country or NOT_SAID),
            ("Answers go to", draft.contact_email or NOT_SAID),
        ),
        class_="head",
    )  # fmt: skip
    wanted = terms.sections if terms else ()
    parts = [_section(name, heading, getattr(whole, name), name in wanted) for name, heading in SECTIONS.items()]
    answers = [(key.replace("-", " ").capitalize(), _said(key, held)) for key, held in draft.answers.items()]
    gate = section("gate", "Answers to the gate's questions", facts(*answers)) if answers else None
    return document(title, "Application", join(head, *parts, gate, _changed(draft)))


def _changed(draft: Draft) -> Html | None:
    """What a plan had said otherwise: reviewers see both."""
    from hanse.programme import filling

    rows = [[_name(one.path.split(".")[-1]), one.value, one.source] for one in filling.changed(draft)]
    return (
        section("changed", "Changed since the plan", table(("Value", "The plan said", "Plan"), rows)) if rows else None
    )


def _section(name: str, heading: str, held: Any, wanted: bool) -> Html | None:
    if isinstance(held, tuple):
        rows = [[one.name, one.role, one.organisation or "", one.country or "", one.email] for one in held]
        if not rows:
            return section(name, heading, h("p", NOT_SAID)) if wanted else None
        return section(name, heading, table(("Name", "Role", "Organisation", "Country", "E-mail"), rows))
    pairs = list(_pairs(held))
    if not pairs and not wanted:
        return None
    more: list[Child] = []
    if name == "compute":
        more = [_months(held), _scaling(held.scaling)]
    if name == "organisation":
        more = [_size(held)]
    return section(name, heading, facts(*pairs) if pairs else h("p", NOT_SAID), *more)


def _pairs(held: Contract) -> Iterator[tuple[str, Child]]:
    """Names and values of a section, nested ones in their order."""
    for key in type(held).model_fields:
        value = getattr(held, key)
        if value in (None, (), "") or key in OWN_TABLES:
            continue
        if isinstance(value, Contract):
            yield from _pairs(value)
        else:
            yield _name(key), _said(key, value)


def _name(key: str) -> str:
    return NAMES.get(key) or key.replace("_", " ").capitalize()


def _said(key: str, value: Any) -> Child:
    """A value with its unit, in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return "; ".join(_one(each) for each in value)
    if isinstance(value, date):
        return f"{value.day} {value:%B %Y}"
    if "bytes" in key and isinstance(value, int):
        return format_bytes(value)
    if key.endswith("_s"):
        return format_seconds(value)
    if "share" in key and isinstance(value, float):
        return format_percent(value)
    if isinstance(value, int):
        return f"{value:,}"
    return [h("p", line) for line in str(value).splitlines()] if "\n" in str(value) else str(value)


def _one(each: Any) -> str:
    if isinstance(each, Contract):
        values = [getattr(each, key) for key in type(each).model_fields]
        return ", ".join(format_percent(one) if isinstance(one, float) else str(one) for one in values if one)
    return str(each)


def _months(compute: Any) -> Html | None:
    if not compute.by_month:
        return None
    rows = [[str(one.month), f"{one.gpu_hours:,}", one.milestone] for one in compute.by_month]
    total = sum(one.gpu_hours for one in compute.by_month)
    columns = ("Month", Column("GPU-hours", number=True), "Then reached")
    return join(h("h3", "Use by month"), table(columns, rows, foot=["All", f"{total:,}", ""]))


def _scaling(points: tuple[ScalingPoint, ...]) -> Html | None:
    if not points:
        return None
    columns = (
        Column("Nodes", number=True), Column("Accelerators", number=True), Column("Tokens a second", number=True),
        Column("Speed-up", number=True), Column("Efficiency", number=True),
    )  # fmt: skip
    rows = [
        [f"{one.nodes:,}", f"{one.accelerators:,}", significant(one.tokens_per_s), significant(one.speed_up),
         format_percent(one.efficiency)]
        for one in points
    ]  # fmt: skip
    return join(h("h3", "Scaling"), _plot(points), table(columns, rows))


def _plot(points: tuple[ScalingPoint, ...]) -> Html | None:
    """Throughput by accelerators beside perfect scaling, where there is more than one size."""
    if len({one.accelerators for one in points}) < 2:
        return None
    drawn = tuple((float(one.accelerators), one.tokens_per_s) for one in points)
    (x, y), last = drawn[0], points[-1]
    kept = format_percent(last.efficiency)
    finding = f"On {last.accelerators:,} accelerators {kept} of the throughput per accelerator is kept"
    plot = LogPlot(
        finding=f"{finding}. The table below holds the figures.",
        x=Axis("Accelerators"),
        y=Axis("Throughput", "tokens per second"),
        curves=(
            Curve(label="expected", points=drawn),
            Curve(label="perfect", points=tuple((each, y * each / x) for each, _ in drawn), kind="reference"),
        ),
    )
    caption = "Both axes are logarithmic; dotted is perfect scaling."
    return h("figure", h("strong", finding, class_="figure-title"), log_plot(plot), h("figcaption", caption))


def _size(organisation: Any) -> Html | None:
    group = organisation.group
    if group is None or not any(one.accounts for one in group.enterprises if one.id == group.applicant):
        return None
    from hanse.programme import enterprise

    result = enterprise.assess(group)
    columns = (
        "Step", Column("Year", number=True), Column("Persons", number=True), Column("Turnover, EUR", number=True),
        Column("Balance sheet, EUR", number=True), "Rule",
    )  # fmt: skip
    rows = [
        [
            step.text,
            str(step.year or ""),
            *map(_figure, (step.staff, step.turnover_eur, step.balance_sheet_eur)),
            step.rule,
        ]
        for step in result.steps
    ]
    return join(h("h3", "Size by the figures given"), table(columns, rows))


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:,.10g}" if value < 1e5 else f"{value:,.0f}"
