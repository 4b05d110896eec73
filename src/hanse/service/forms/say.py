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
from hanse.service.forms.spoken import Spoken
from hanse.service.portal import sentences

_SENTENCES = re.compile(r"(?<=[.?!…”])[ \n](?=[A-Z0-9“])")
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
            for each in _templates():
                if (found := each.found_in(first)) is not None:
                    values = {name: _said(value, language, deep + 1) for name, value in found.items()}
                    return _like(given, gettext(each.template) % values, first) + ending
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


@lru_cache
def _known() -> frozenset[str]:
    return WORDS | sentences.words()


@lru_cache
def _templates() -> tuple[Spoken, ...]:
    """The most telling first."""
    made = [Spoken.of(template) for template in (*PATTERNS, *sentences.patterns())]
    return tuple(sorted(made, key=lambda one: -one.telling))
