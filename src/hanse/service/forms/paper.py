"""An application on paper: a PDF with the form's sections, months and scaling as tables, and the scaling as a plot.

Text goes into Typst as data and never as markup, so that nothing an applicant types is a command. The fonts are those
that Typst brings; no network and no file is read.
"""

from __future__ import annotations

import json
from datetime import date, datetime
from functools import lru_cache
from importlib.resources import files
from typing import Any

from django.utils.translation import gettext as _

from hanse.contracts.application import Draft
from hanse.contracts.programme import CallTerms
from hanse.programme import enterprise
from hanse.reporting.words import full_date
from hanse.rules import gate
from hanse.service.forms import fields, values
from hanse.service.forms.fields import SECTIONS, Field


def render(
    draft: Draft, terms: CallTerms | None, *, state: str, id: str = "", sent_at: datetime | None = None
) -> bytes:
    """The PDF."""
    import typst

    data = json.dumps(content(draft, terms, state=state, id=id, sent_at=sent_at), ensure_ascii=False)
    made = typst.compile(template(), format="pdf", sys_inputs={"data": data}, ignore_system_fonts=True)
    assert isinstance(made, bytes)
    return made


@lru_cache
def template() -> bytes:
    return (files("hanse.service.forms") / "paper.typ.txt").read_bytes()


def content(
    draft: Draft, terms: CallTerms | None, *, state: str, id: str = "", sent_at: datetime | None = None
) -> dict[str, Any]:
    """What the page holds, as plain data."""
    data = values.plain(draft)
    wanted = {*fields.ALWAYS, *(terms.sections if terms else ())}
    sections = []
    for name, asked in SECTIONS.items():
        pairs, tables = [], []
        for one in asked:
            held = values.at(data, one.path)
            if one.kind == "rows":
                if held:
                    tables.append(_table(one, held))
            elif held not in (None, "", [], ()):
                pairs.append([str(one.label), _told(one, held)])
        if name == "questions":
            pairs = _answers(draft, (sent_at.date() if sent_at else None))
        if name == "organisation":
            tables += _size(draft)
        if pairs or tables or name in wanted:
            sections.append({"title": str(fields.TITLES[name]), "pairs": pairs, "tables": tables})
        if name == "compute":
            sections[-1]["plot"] = [[one.accelerators, one.tokens_per_s] for one in sorted(
                draft.whole.compute.scaling, key=lambda one: one.accelerators
            )]  # fmt: skip
    title = draft.whole.project.title or _("Application without a title")
    call = _("%(title)s, version %(version)s") % {"title": terms.title, "version": terms.version} if terms else ""
    sent = _("Sent %(when)s") % {"when": full_date(sent_at)} if sent_at else _("Draft, not sent")
    return {
        "title": title, "call": call, "organisation": draft.organisation or "", "id": id, "state": state, "sent": sent,
        "sections": sections, "nothing": _("Nothing is said here."),
        "axes": [_("Accelerators"), _("Tokens a second")],
        "plot_note": _("Solid: as stated. Dashed: perfect scaling from the smallest size. Both axes are logarithmic."),
        "page": _("Page"),
    }  # fmt: skip


def _told(one: Field, held: Any) -> str:
    if one.kind == "yes-no":
        return _("yes") if held else _("no")
    if one.kind == "choice":
        return str(dict(one.choices).get(held, held))
    if one.kind == "date":
        day = date.fromisoformat(held)
        return f"{day.isoformat()}"
    text = values.typed(one, held)
    return f"{text}\N{NO-BREAK SPACE}{one.unit}" if one.unit else text


def _table(one: Field, rows: Any) -> dict[str, Any]:
    shown = [cell for cell in one.rows if any(row.get(cell.path) is not None for row in rows)]
    return {
        "title": str(one.label),
        "numbers": [cell.kind in ("whole", "scaled") for cell in shown],
        "head": [f"{cell.label}{f', {cell.unit}' if cell.unit else ''}" for cell in shown],
        "rows": [[_cell(cell, row.get(cell.path)) for cell in shown] for row in rows],
    }


def _cell(one: Field, held: Any) -> str:
    if held is None:
        return ""
    return _told(one, held) if one.kind in ("yes-no", "choice") else values.typed(one, held)


def _answers(draft: Draft, as_of: date | None) -> list[list[str]]:
    from hanse.contracts.base import now

    texts = {one.id: one.text for one in gate.questions(as_of or now().date())}
    spoken = {True: _("yes"), False: _("no")}
    return [
        [texts.get(key, key.replace("-", " ").capitalize()), spoken[held] if isinstance(held, bool) else f"{held:,}"
         if isinstance(held, int | float) else str(held)]
        for key, held in draft.answers.items()
    ]  # fmt: skip


def _size(draft: Draft) -> list[dict[str, Any]]:
    from hanse.service.forms import shown
    from hanse.service.forms.say import say

    found = shown.size(draft)
    if found is None:
        return []
    rows = [
        [say(step.text), str(step.year or ""), *(("" if x is None else f"{x:,.10g}") for x in
                                               (step.staff, step.turnover_eur, step.balance_sheet_eur)), step.rule]
        for step in found.steps
    ]  # fmt: skip
    head = [_("Step"), _("Year"), _("Staff"), _("Turnover, EUR"), _("Balance sheet, EUR"), _("Rule")]
    return [{
        "title": _("Size by these figures: %(size)s") % {"size": say(enterprise.article(found.size))},
        "numbers": [False, True, True, True, True, False], "head": head, "rows": rows,
    }]  # fmt: skip
