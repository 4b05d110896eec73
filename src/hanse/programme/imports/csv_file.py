"""A CSV file of awards as rows, and what in it could not be read, by line and column.

Semicolons, commas and tabs separate cells; a byte-order mark is taken off. A file is UTF-8: any other encoding is
refused, as names would be garbled without anybody seeing it.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final

from pydantic import ValidationError

from hanse.contracts.errors import UsageError
from hanse.contracts.imports import MOST_BYTES, MOST_ROWS, AwardRow, ImportAsked, RowError
from hanse.contracts.units import format_bytes
from hanse.programme.imports.columns import COLUMN_OF, COLUMNS
from hanse.programme.imports.faults import faults

SEPARATORS: Final = ";,\t"


def read(content: bytes, *, name: str, whole: bool = False, given: Mapping[str, str] | None = None) -> ImportAsked:
    """The file as an import. `given` fills the columns it names where a row leaves them empty, like its source.

    Raises:
        UsageError: it is no such file at all; where, and what to do.
    """
    text = _text(content, name)
    given = {_column(key): value for key, value in (given or {}).items() if value}
    header, separator = _header(text, name, given)
    rows: list[AwardRow] = []
    errors: list[RowError] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    next(reader)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            said = f"its quotation marks do not match ({error})"
            errors.append(RowError(line=line, what=said, fix="Close them; nothing below was read."))
            break
        if not any(cell.strip() for cell in cells):
            continue
        if len(rows) + len(errors) >= MOST_ROWS:
            raise UsageError(f"it has more than {MOST_ROWS:,} rows", where=name, fix="Bring it in in several files.")
        if len(cells) > len(header):
            said = f"it has {len(cells)} cells and the first line {len(header)}"
            errors.append(RowError(line=line, what=said, fix=f"Put cells with a {separator!r} into quotation marks."))
            continue
        made = _row(line, dict(zip(header, cells, strict=False)), given)
        if isinstance(made, AwardRow):
            rows.append(made)
        else:
            errors += made
    if not rows and not errors:
        raise UsageError("it has no rows", where=name, fix="Write one line for each allocation under the first line.")
    digest = hashlib.sha256(content).hexdigest()
    return ImportAsked(
        kind="csv", name=_plain(name), sha256=digest, rows=tuple(rows), unread=tuple(errors[:MOST_ROWS]), whole=whole
    )


def _text(content: bytes, name: str) -> str:
    if len(content) > MOST_BYTES:
        raise UsageError(
            f"it has {format_bytes(len(content))}, more than {format_bytes(MOST_BYTES)}", where=name,
            fix="Bring it in in several files.",
        )  # fmt: skip
    save = "Save it as «CSV UTF-8»."
    if content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise UsageError("it is a workbook, not a CSV file", where=name, fix=save)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UsageError(f"line {line} is not UTF-8", where=name, fix=save) from None
    if "\0" in text:
        raise UsageError("it is no text", where=name, fix=save)
    return text


def _header(text: str, name: str, given: Mapping[str, str]) -> tuple[list[str], str]:
    """The columns in order, and what separates them."""
    first = text.splitlines()[0] if text.strip() else ""
    best: tuple[list[str], str] = [], ","
    for separator in SEPARATORS:
        try:
            cells = [_column(cell) for cell in next(csv.reader([first], delimiter=separator), [])]
        except csv.Error:
            continue
        if len(set(cells) & set(COLUMNS)) > len(set(best[0]) & set(COLUMNS)):
            best = cells, separator
    header, separator = best
    where = f"{name}, line 1"
    if not header:
        raise UsageError(
            "its first line names no column", where=where, fix=f"Write them there: {', '.join(_needed())}, …"
        )
    for column in header:
        if column and column not in COLUMNS:
            near = get_close_matches(column, COLUMNS, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(COLUMNS)}."
            raise UsageError(f"there is no column {column[:60]}", where=where, fix=hint)
    twice = {column for column in header if column and header.count(column) > 1}
    if twice:
        raise UsageError(f"the column {min(twice)} stands there twice", where=where, fix="Take one out.")
    lacking = [column for column in _needed() if column not in header and column not in given]
    if lacking:
        raise UsageError(f"columns are missing: {', '.join(lacking)}", where=where, fix="Add them to the first line.")
    return header, separator


def _row(line: int, cells: Mapping[str, str], given: Mapping[str, str]) -> AwardRow | list[RowError]:
    """The row, or everything that is wrong with it."""
    read: dict[str, Any] = {"line": line}
    wrong: list[RowError] = []
    for name, column in COLUMNS.items():
        cell = cells.get(name, "").strip() or given.get(name, "")
        if not cell:
            if column.needed:
                wrong.append(RowError(line=line, column=name, what="it is empty", fix=column.about))
            continue
        try:
            read[column.field] = column.read(cell)
        except ValueError as error:
            what, _, fix = str(error).partition(": ")
            wrong.append(RowError(line=line, column=name, what=what, fix=_capital(fix) or column.about))
    if wrong:
        return wrong
    try:
        made = AwardRow(**read)
    except ValidationError as error:
        return [_misfit(line, one) for one in error.errors()]
    found = [RowError(line=line, column=one.column, what=one.what, fix=one.fix) for one in faults(made)]
    return found or made


def _misfit(line: int, error: Any) -> RowError:
    field = str(error["loc"][0]) if error["loc"] else ""
    said = str(error["msg"]).removeprefix("Value error, ")
    if not field and said.startswith("ends: "):
        field, said = "ends", said.removeprefix("ends: ")
    column = COLUMN_OF.get(field, field)
    about = COLUMNS[column].about if column in COLUMNS else ""
    value = str(error.get("input", ""))[:60]
    what = said if field == "ends" else f"{value} cannot stand here" if value else "it cannot stand so"
    return RowError(line=line, column=column, what=_plain(what), fix=about)


def _needed() -> list[str]:
    return [name for name, column in COLUMNS.items() if column.needed]


def _column(text: str) -> str:
    return re.sub(r"[\s-]+", "_", text.strip().lower())


def _plain(text: str) -> str:
    """Without what would move a terminal's cursor."""
    return "".join(letter for letter in text if letter.isprintable())[:200] or "a file"


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""
