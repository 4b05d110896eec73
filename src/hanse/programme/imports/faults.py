"""What is wrong with a row that a schema cannot see: a mode nobody knows, a number whose digits do not check."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import NamedTuple

from hanse.contracts.imports import AwardRow
from hanse.programme import calls, formats


class Fault(NamedTuple):
    column: str
    what: str
    fix: str


def faults(row: AwardRow) -> Iterator[Fault]:
    """In the order of the columns."""
    modes = calls.patterns()
    if row.mode not in modes:
        near = get_close_matches(row.mode, modes, n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        yield Fault("mode", f"there is no mode {row.mode}", f"{hint}Known: {', '.join(modes)}.")
    if row.vat_number:
        try:
            formats.vat(row.vat_number, row.country)
        except ValueError as error:
            yield Fault("vat_number", str(error).rstrip("."), "Correct it, or leave it empty.")


def vat_of(row: AwardRow) -> str:
    """As it is compared: with the country's letters, without spaces; empty where the row names none."""
    return formats.vat(row.vat_number, row.country) if row.vat_number else ""
