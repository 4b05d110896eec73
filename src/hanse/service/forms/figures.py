"""Numbers and dates, written in English by the house, in another language's way: 1.234,5 h and 1 234,5 h."""

from __future__ import annotations

import re

from django.utils.dates import MONTHS, WEEKDAYS
from django.utils.translation import gettext

from hanse.contracts.units import NBSP
from hanse.reporting import words

THIN = "\N{NARROW NO-BREAK SPACE}"
_NUMBER = re.compile(r"[+−-]?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?")
_UNITS = frozenset({
    "%", "s", "ms", "µs", "h", "min", "kB", "MB", "GB", "TB", "B", "Wh", "kWh", "MWh", "J", "MW", "kW", "W", "€", "×",
})  # fmt: skip
_MEASURE = re.compile(rf"(?P<number>[+−-]?[\d.,]+)(?P<gap>[ {NBSP}])(?P<unit>\S+)")
_NAMES = {name: number for number, name in enumerate(words._MONTHS, 1)}
_SHORT = {name[:3]: number for name, number in _NAMES.items()}
_WEEK = {name: number for number, name in enumerate(words._DAYS)}
_DAY = re.compile(
    rf"(?:(?P<week>{'|'.join(_WEEK)}),? )?(?P<day>\d{{1,2}})[ {NBSP}](?P<month>{'|'.join(_NAMES)}) (?P<year>\d{{4}})"
    r"(?:,? (?P<clock>\d\d:\d\d)(?: (?P<zone>Brussels|UTC))?)?"
)
_MOMENT = re.compile(
    rf"(?P<day>\d{{1,2}})[ {NBSP}](?P<month>{'|'.join((*_NAMES, *_SHORT))})(?:,? (?P<clock>\d\d:\d\d(?::\d\d)?))"
    r"(?: (?P<zone>UTC))?"
)
_MINUTES = re.compile(rf"\d+{NBSP}min( \d+{NBSP}s)?")


def said(text: str, language: str) -> str | None:
    """The figure in that language; None of what is none."""
    if _NUMBER.fullmatch(text):
        return number(text, language)
    measure = _MEASURE.fullmatch(text)
    if measure and measure["unit"] in _UNITS and _NUMBER.fullmatch(measure["number"]):
        return f"{number(measure['number'], language)}{NBSP}{measure['unit']}"
    if _MINUTES.fullmatch(text):
        return text
    if found := _DAY.fullmatch(text):
        return _day(found, language)
    if found := _MOMENT.fullmatch(text):
        return _moment(found, language)
    return None


def number(text: str, language: str) -> str:
    """1,234.5 as 1.234,5 in German, as 1 234,5 in French."""
    group = "." if language == "de" else THIN
    return text.translate(str.maketrans({",": group, ".": ","}))


def _day(found: re.Match[str], language: str) -> str:
    day, month = _numbered(found["day"], language), MONTHS[_NAMES[found["month"]]]
    week = ""
    if found["week"]:
        week = f"{WEEKDAYS[_WEEK[found['week']]]}{',' if language == 'de' else ''} "
    text = f"{week}{day}{NBSP}{month} {found['year']}"
    if not found["clock"]:
        return text
    zone = f" ({gettext(found['zone'])})" if found["zone"] else ""
    return f"{text}, {found['clock']}{zone}"


def _moment(found: re.Match[str], language: str) -> str:
    month = _SHORT[found["month"][:3]]
    zone = " (UTC)" if found["zone"] else ""
    day = (
        f"{found['day']}.{month}." if language == "de" else f"{_numbered(found['day'], language)}{NBSP}{MONTHS[month]}"
    )
    return f"{day}, {found['clock']}{zone}"


def _numbered(day: str, language: str) -> str:
    return f"{day}." if language == "de" else "1er" if language == "fr" and day == "1" else day
