"""A section as its page shows it: every field with its value, marker, gap and rows; and what the summary says."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from django.utils.translation import gettext as _

from hanse.contracts.application import Draft, Filled
from hanse.contracts.errors import UsageError
from hanse.contracts.programme import CallTerms
from hanse.programme import completeness, enterprise
from hanse.programme.completeness import Gap
from hanse.rules import gate
from hanse.service.forms import fields, values
from hanse.service.forms.fields import GROUP, SECTIONS, TITLES, Field
from hanse.service.forms.say import say

EMPTY_ROWS = 1


@dataclass(slots=True, kw_only=True)
class Shown:
    """One field on its page."""

    field: Field
    value: str = ""
    gap: str = ""
    wrong: bool = False
    marker: str = ""
    """What a plan said, where it stands there still."""
    put_back: str = ""
    """What a plan said, where something else stands there now."""
    theirs: str | None = None
    """What another person saved there meanwhile."""
    rows: list[list[Shown]] = field(default_factory=list)
    name: str = ""

    @property
    def id(self) -> str:
        return self.name.replace(".", "-")


def section(
    name: str,
    draft: Draft,
    unread: Mapping[str, Any],
    *,
    gaps: Iterable[Gap] = (),
    problems: Mapping[str, str] | None = None,
    theirs: Draft | None = None,
) -> list[Shown]:
    """The fields of a section, in order."""
    data = values.plain(draft)
    other = values.plain(theirs) if theirs is not None else None
    by_path: dict[str, Gap] = {}
    for gap in gaps:
        for path in _paths(gap.field):
            by_path.setdefault(path, gap)
    filled = {f"whole.{one.path}": one for one in draft.whole.filled}
    made = []
    for one in SECTIONS[name]:
        held, gap = values.at(data, one.path), by_path.get(one.path)
        shown = Shown(field=one, name=one.path)
        shown.gap = (problems or {}).get(one.path, "") or (say(gap.message) if gap else "")
        shown.wrong = one.path in (problems or {}) or (gap is not None and gap.kind == "wrong")
        if one.path in unread and one.path not in (problems or {}):
            shown.gap, shown.wrong = _("This cannot be read yet."), True
        if one.kind == "rows":
            shown.rows = _rows(one, unread.get(one.path, held or []))
        else:
            shown.value = unread.get(one.path) if one.path in unread else values.typed(one, held)
        if one.path in filled:
            _mark(shown, filled[one.path], draft)
        if other is not None and (there := values.at(other, one.path)) != held:
            shown.theirs = _told(one, there)
        made.append(shown)
    return made


def _paths(path: str) -> tuple[str, ...]:
    return (f"{GROUP}.enterprises",) if path == GROUP else (path,)


def _rows(one: Field, held: Sequence[Mapping[str, Any]]) -> list[list[Shown]]:
    given = [*held, *({} for _n in range(EMPTY_ROWS))]
    return [
        [
            Shown(
                field=cell, name=f"{one.path}.{number}.{cell.path}",
                value=row[cell.path] if isinstance(row.get(cell.path), str) else values.typed(cell, row.get(cell.path)),
            )
            for cell in one.rows
        ]
        for number, row in enumerate(given)
    ]  # fmt: skip


def _told(one: Field, held: Any) -> str:
    """A value of another person's, in words."""
    if one.kind == "rows":
        lines = [
            "; ".join(f"{cell.label}: {values.typed(cell, row[cell.path])}" for cell in one.rows if row.get(cell.path))
            for row in held or ()
        ]
        return "\n".join(lines) or _("nothing")
    return values.typed(one, held) or _("nothing")


def _mark(shown: Shown, kept: Filled, draft: Draft) -> None:
    changed = any(one.path == kept.path for one in changed_since_plan(draft))
    if not changed:
        shown.marker = _("from %(source)s") % {"source": kept.source}
    elif shown.field.kind == "rows":
        shown.put_back = _("the plan’s rows")
    else:
        text = values.typed(shown.field, value_kept(shown.field, kept))
        shown.put_back = text if len(text) <= 60 else _("another text")


def changed_since_plan(draft: Draft) -> tuple[Filled, ...]:
    from hanse.programme import filling

    return filling.changed(draft)


def value_kept(one: Field, kept: Filled) -> Any:
    """A plan's value from the text it is kept as."""
    if one.kind == "rows":
        rows, rest, reader = [], kept.value, json.JSONDecoder()
        while rest:
            row, end = reader.raw_decode(rest)
            rows.append(row)
            rest = rest[end:].removeprefix("; ")
        return rows
    if one.kind == "yes-no":
        return kept.value == "True"
    if one.kind in ("whole", "scaled"):
        return float(kept.value) if "." in kept.value or "e" in kept.value else int(kept.value)
    return kept.value


def put_back(draft: Draft, path: str) -> Draft:
    """The draft with the plan's value at that path again. Raises UsageError where no plan filled it."""
    kept = next((one for one in draft.whole.filled if f"whole.{one.path}" == path), None)
    if kept is None or path not in fields.BY_PATH:
        raise UsageError("no plan filled this field", where=path)
    data = json.loads(draft.model_dump_json())
    values.put(data, path, value_kept(fields.BY_PATH[path], kept))
    return Draft.model_validate(data)


@dataclass(frozen=True, slots=True)
class Step:
    """A page of the form in the row of steps."""

    name: str
    title: Any
    wanted: bool
    open: int
    wrong: int


def steps(gaps: Iterable[Gap], unread: Mapping[str, Any], terms: CallTerms | None) -> list[Step]:
    """All pages, with how much is open and how much is wrong on each."""
    counted: dict[str, list[int]] = {name: [0, 0] for name in TITLES}
    for gap in gaps:
        counted[fields.section_of(gap.field)][gap.kind == "wrong"] += 1
    for path in unread:
        counted[fields.section_of(path)][1] += 1
    wanted = {*fields.ALWAYS, *(terms.sections if terms else ())}
    return [Step(name, title, name in wanted, *counted[name]) for name, title in TITLES.items()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question of the gate with its answer."""

    id: str
    text: str
    help: str
    depth: int
    answer: str


def questions(draft: Draft, as_of: date) -> list[Asked]:
    """The gate's questions; their words are those of the rules, in English."""
    found = {one.id: one for one in gate.questions(as_of)}
    made = []
    for one in found.values():
        depth, up = 0, one
        while up.follows in found:
            depth, up = depth + 1, found[up.follows]
        held = draft.answers.get(one.id)
        answer = "" if held is None else "yes" if held else "no"
        made.append(Asked(id=one.id, text=one.text, help=one.help, depth=min(depth, 3), answer=answer))
    return made


def size(draft: Draft) -> Any:
    """The size test by the figures given; None where there are none yet."""
    group = draft.whole.organisation.group
    if group is None:
        return None
    try:
        return enterprise.assess(group)
    except UsageError:
        return None


def gaps_of(draft: Draft, terms: CallTerms | None, *, trial: bool = False) -> tuple[Gap, ...]:
    """What it lacks; a trial's call may get versions under it without a word."""
    found = completeness.gaps(draft, terms)
    return tuple(gap for gap in found if not (trial and gap.field == "call_version"))
