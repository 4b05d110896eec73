"""Sentences that pure modules and records make, in the reader's language.

They speak English, with values inside: so they are stored, logged and answered by the API. Where a page shows one, it
is found again by its pattern, and its translation filled with the same values; what has no pattern stays English.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from django.utils.translation import get_language, gettext

from hanse.service.forms import figures
from hanse.service.forms.sentences import PATTERNS, WORDS
from hanse.service.portal import sentences

_SLOT = re.compile(r"%\((\w+)\)s")
_SENTENCES = re.compile(r"(?<=[.?!…”])[ \n](?=[A-Z0-9“])")
_ANY, _FIGURE, _WHEN = (
    r"(?:(?![.?!] [A-Z]).)+?",
    r"[+−-]?\d(?:(?![.?!] [A-Z]).)*?",
    r"(?:(?![.?!] [A-Z])[^;])*?\d(?:(?![.?!] [A-Z])[^;])*?",
)
_FIGURES = frozenset({
    "n", "a", "b", "c", "low", "high", "used", "held", "free", "granted", "share", "left", "gone", "step", "steps",
    "time", "nodes",
})  # fmt: skip
_TIMES = frozenset(("day", "when"))
_OPEN = frozenset(["figures", "reason", "text", "why", "finding", "estimates", "parts", "layout"])
"""Slots with these names hold figures, dates, and whole sentences; any other a part of one. So a person's own words
do not match what is made for figures, and no slot swallows the sentence that follows."""
_DEEPEST = 4
_AT_ONCE = 2000
"""Longer texts are somebody's own."""


def say(text: str) -> str:
    """The sentence in the language that is active."""
    language = (get_language() or "en")[:2]
    if language == "en" or not text or len(text) > _AT_ONCE:
        return text
    return _said(str(text), language, 0)


@lru_cache(maxsize=20_000)
def _said(text: str, language: str, deep: int) -> str:
    """Figures and words first, then a whole sentence, then sentence by sentence."""
    stripped = text.strip(" \n")
    if stripped != text and stripped:
        at = text.index(stripped)
        return text[:at] + _said(stripped, language, deep) + text[at + len(stripped) :]
    found = figures.said(text, language) or _word(text) or _sentence(text, language, deep)
    if found is not None:
        return found
    parts = _SENTENCES.split(text) if deep < _DEEPEST else [text]
    return text if len(parts) == 1 else " ".join(_said(part, language, deep + 1) for part in parts)


def _word(text: str) -> str | None:
    """A text of the list, also with a full stop more or fewer, or with another first letter."""
    known = _known()
    for given, ending in _forms(text):
        for first in (given, given[:1].lower() + given[1:], given[:1].upper() + given[1:]):
            if first in known:
                return _like(given, gettext(first), first) + ending
    return None


def _sentence(text: str, language: str, deep: int) -> str | None:
    if deep >= _DEEPEST:
        return None
    for given, ending in _forms(text):
        for first in dict.fromkeys((given, given[:1].lower() + given[1:])):
            for pattern, template, anchor in _compiled():
                if anchor in first and (found := pattern.fullmatch(first)):
                    values = {name: _said(value, language, deep + 1) for name, value in found.groupdict().items()}
                    return _like(given, gettext(template) % values, first) + ending
    return None


def _forms(text: str) -> Iterator[tuple[str, str]]:
    """As it stands, and without its full stop."""
    yield text, ""
    if text.endswith("."):
        yield text[:-1], "."


def _like(given: str, said: str, found: str) -> str:
    """With a capital where the text had one and the list has none, and the other way round."""
    if given[:1] == found[:1]:
        return said
    return said[:1].upper() + said[1:] if given[:1].isupper() else said


def _slot(name: str) -> str:
    return _FIGURE if name in _FIGURES else _WHEN if name in _TIMES else ".+?" if name in _OPEN else _ANY


@lru_cache
def _known() -> frozenset[str]:
    return WORDS | sentences.words()


@lru_cache
def _compiled() -> tuple[tuple[re.Pattern[str], str, str], ...]:
    """Pattern, template, and the longest part that has to stand in the text; the most telling patterns first."""
    made = []
    for template in (*PATTERNS, *sentences.patterns()):
        parts = _SLOT.split(template)
        literal = [part.replace("%%", "%") for part in parts[::2]]
        seen: set[str] = set()
        regex = ""
        for index, part in enumerate(parts):
            if index % 2 == 0:
                regex += re.escape(part.replace("%%", "%"))
            elif part in seen:
                regex += f"(?P={part})"
            else:
                seen.add(part)
                regex += f"(?P<{part}>{_slot(part)})"
        made.append((sum(map(len, literal)), re.compile(regex, re.DOTALL), template, max(literal, key=len)))
    made.sort(key=lambda one: -one[0])
    return tuple((pattern, template, anchor) for _, pattern, template, anchor in made)
