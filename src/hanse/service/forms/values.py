"""Between what a draft holds and what a person types: numbers in the field's unit, rows, the group of enterprises.

What cannot be read is told in a sentence and given back as it was typed; it is never dropped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext as _
from pydantic import ValidationError

from hanse.contracts.application import Draft
from hanse.rules import gate
from hanse.service.forms import group
from hanse.service.forms.fields import GROUP, SECTIONS, Field

YES_NO = {"yes": True, "no": False}
MOST_ROWS = 200


class NotRead(ValueError):  # noqa: N818 - it states what is so
    """What was typed cannot be that; the message is for the person who typed it."""


@dataclass(slots=True)
class Read:
    """A section as it was posted: the draft with it, and what of it cannot be read."""

    draft: Draft
    unread: dict[str, Any] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


def typed(one: Field, held: Any) -> str:
    """A value as it stands in its input."""
    if held is None:
        return ""
    if one.kind == "yes-no":
        return "yes" if held else "no"
    if one.path == "year":
        return str(held)
    if one.kind in ("words", "lines"):
        return (", " if one.kind == "words" else "\n").join(held)
    if one.kind in ("scaled", "whole") and not isinstance(held, str):
        shown = Decimal(str(held)) / Decimal(str(one.scale))
        if one.scale >= 60:
            shown = Decimal(f"{shown:.6g}")
        return f"{shown.normalize():,f}" if shown == shown.to_integral() else f"{shown:f}".rstrip("0").rstrip(".")
    return str(held)


def value_of(one: Field, text: str) -> Any:
    """What was typed, as the contract keeps it; None where nothing stands there. Raises NotRead."""
    text = text.replace("\0", "").strip()  # PostgreSQL keeps no NUL
    if not text:
        return () if one.kind in ("words", "lines") else None
    if one.kind == "yes-no":
        return YES_NO.get(text)
    if one.kind == "choice":
        if text not in {key for key, _label in one.choices}:
            raise NotRead(_("Choose one of those that are offered."))
        return text
    if one.kind in ("words", "lines"):
        parts = re.split(r"[,;\n]" if one.kind == "words" else r"\n", text)
        return tuple(part.strip() for part in parts if part.strip())
    if one.kind == "date":
        try:
            return date.fromisoformat(text).isoformat()
        except ValueError:
            raise NotRead(_("Write the date as 2027-01-29.")) from None
    if one.kind in ("whole", "scaled"):
        return _number(one, text)
    return text


def _number(one: Field, text: str) -> int | float:
    bare = re.sub(r"[\s_’']", "", text)
    if re.fullmatch(r"\d{1,3}(,\d{3})+(\.\d+)?", bare):
        bare = bare.replace(",", "")
    elif re.fullmatch(r"\d+,\d+", bare) and one.kind == "scaled":
        bare = bare.replace(",", ".")
    elif one.kind == "whole" and re.fullmatch(r"\d{1,3}(\.\d{3})+", bare):
        bare = bare.replace(".", "")
    try:
        number = Decimal(bare) * Decimal(str(one.scale))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number < 0 or number > 10**24:
        raise NotRead(_("Write a number, as 1,500."))
    if one.kind == "whole" and number != number.to_integral():
        raise NotRead(_("Write a whole number, as 1,500."))
    if one.scale >= 60:  # seconds and bytes are kept whole
        return round(number)
    return int(number) if number == number.to_integral() and one.scale != 0.01 else float(number)


def at(data: Any, path: str) -> Any:
    """What stands at a path of plain data; None where nothing does."""
    for part in path.split("."):
        data = data.get(part) if isinstance(data, Mapping) else None
    return data


def put(data: dict[str, Any], path: str, value: Any) -> None:
    """Set it there, with the mappings it needs on the way."""
    *way, last = path.split(".")
    for part in way:
        if not isinstance(data.get(part), dict):
            data[part] = {}
        data = data[part]
    data[last] = value


def plain(draft: Draft) -> dict[str, Any]:
    """The draft as data, with its group as the form asks for it."""
    data: dict[str, Any] = json.loads(draft.model_dump_json())
    if at(data, GROUP):
        put(data, GROUP, group.asked(draft.whole.organisation.group))
    return data


def read(section: str, draft: Draft, unread: Mapping[str, Any], posted: QueryDict, *, as_of: date) -> Read:
    """The draft with the section as it was posted, in which only what can be read took its place."""
    data = plain(draft) if section == "organisation" else json.loads(draft.model_dump_json())
    written = {one.path for one in SECTIONS[section] if _posted(one, posted)}
    kept = {path: held for path, held in unread.items() if path not in written}
    made = Read(draft=draft, unread=kept)
    if section == "questions":
        return _answers(data, posted, made, as_of)
    before = {one.path: at(data, one.path) for one in SECTIONS[section]}
    for one in SECTIONS[section]:
        if one.path not in written:
            continue
        if one.kind == "rows":
            _rows(one, data, posted, made)
        elif posted[one.path].strip() != typed(one, before[one.path]):
            try:
                put(data, one.path, value_of(one, posted[one.path]))
            except NotRead as problem:
                made.unread[one.path] = posted[one.path].replace("\0", "")
                made.problems[one.path] = str(problem)
    return _built(section, data, before, posted, made)


def _posted(one: Field, posted: QueryDict) -> bool:
    """Whether the form that was posted held this field at all; what it did not hold stays."""
    return one.path in posted or (one.kind == "rows" and any(key.startswith(f"{one.path}.") for key in posted))


def _answers(data: dict[str, Any], posted: QueryDict, made: Read, as_of: date) -> Read:
    for question in gate.questions(as_of):
        said = posted.get(f"answers.{question.id}")
        if said in YES_NO:
            data["answers"][question.id] = YES_NO[said]
        elif said is not None:
            data["answers"].pop(question.id, None)
    made.draft = made.draft.model_copy(update={"answers": data["answers"]})
    return made


def _rows(one: Field, data: dict[str, Any], posted: QueryDict, made: Read) -> None:
    """The rows of a list; where one of them cannot be read, all stay as they were typed."""
    raw, found, problem = posted_rows(one, posted), [], ""
    for number, row in enumerate(raw, start=1):
        values: dict[str, Any] = {}
        for cell in one.rows:
            try:
                values[cell.path] = value_of(cell, row.get(cell.path, ""))
            except NotRead as error:
                problem = problem or _("Row %(number)s, %(name)s: %(problem)s") % {
                    "number": number, "name": cell.label, "problem": error
                }  # fmt: skip
        found.append({key: value for key, value in values.items() if value is not None})
    if problem:
        made.unread[one.path], made.problems[one.path] = raw, problem
    else:
        put(data, one.path, found)


def posted_rows(one: Field, posted: QueryDict) -> list[dict[str, str]]:
    """The rows in which something stands, as typed."""
    numbers: set[int] = set()
    for key in posted:
        match = re.fullmatch(re.escape(one.path) + r"\.(\d{1,3})\.\w+", key)
        if match:
            numbers.add(int(match[1]))
    rows = []
    for number in sorted(numbers)[:MOST_ROWS]:
        row = {
            cell.path: posted.get(f"{one.path}.{number}.{cell.path}", "").replace("\0", "").strip() for cell in one.rows
        }
        chosen = {cell.path for cell in one.rows if cell.kind == "choice"}
        if any(text for name, text in row.items() if name not in chosen):
            rows.append(row)
    return rows


def _built(section: str, data: dict[str, Any], before: Mapping[str, Any], posted: QueryDict, made: Read) -> Read:
    """Validate; what the contract refuses goes back to what stood there, and is kept as it was typed."""
    fields = {one.path: one for one in SECTIONS[section]}
    for _try in range(len(fields) + 1):
        try:
            made.draft = Draft.model_validate(_whole(data, made.draft))
            return made
        except group.NotWhole as error:
            refused = [(error.path, _(error.message) % error.values)]
        except ValidationError as error:
            refused = []
            for one in error.errors(include_url=False):
                place = ".".join(str(part) for part in one["loc"])
                path = next((path for path in fields if place == path or place.startswith(path + ".")), None)
                path = path or (f"{GROUP}.enterprises" if place.startswith(GROUP) else None)
                if path is None:
                    raise
                refused.append((path, _told(fields[path], one["loc"])))
        for path, message in refused:
            one = fields[path]
            made.problems.setdefault(path, message)
            made.unread[path] = (
                posted_rows(one, posted) if one.kind == "rows" else posted.get(path, "").replace("\0", "")
            )
            put(data, path, before[path])
            if path.startswith(GROUP):
                other = f"{GROUP}.{'ties' if path.endswith('enterprises') else 'enterprises'}"
                made.unread[other] = posted_rows(fields[other], posted)
                put(data, other, before[other])
    raise AssertionError("a section that was put back is as it was")


def _whole(data: dict[str, Any], draft: Draft) -> dict[str, Any]:
    rows = at(data, GROUP)
    if rows is None or "applicant" in rows:
        return data
    made = json.loads(json.dumps(data))
    put(made, GROUP, group.made(rows, draft.whole.organisation.group))
    return made  # type: ignore[no-any-return]


def _told(one: Field, loc: tuple[Any, ...]) -> str:
    """One sentence for what the contract refused."""
    if one.kind == "rows":
        number = next((part for part in loc if isinstance(part, int)), 0) + 1
        name = next((cell.label for cell in one.rows if cell.path == loc[-1]), one.label)
        return _("Row %(number)s: %(name)s is missing or cannot be so.") % {"number": number, "name": name}
    if one.kind in ("whole", "scaled"):
        return _("This number cannot be so: it has to be above zero, and a share at most 100 %.")
    if one.path == "country":
        return _("Write two capital letters, as DE.")
    return _("This cannot stand here: use lower-case letters, digits and hyphens, as in the list of machines.")
