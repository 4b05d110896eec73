"""Sentences that the programme's own modules make, in the reader's language.

Those modules are pure and speak English, with values inside. Here each sentence is found again by its pattern, and its
translation filled with the same values; what has no pattern stays English.
"""

from __future__ import annotations

import re
from functools import lru_cache

from django.utils.translation import get_language, gettext

from hanse.service.forms.sentences import PATTERNS, WORDS

_SLOT = re.compile(r"%\((\w+)\)s")


def say(text: str) -> str:
    """The sentence in the language that is active."""
    if (get_language() or "en").startswith("en"):
        return text
    if text in WORDS:
        return gettext(text)
    for pattern, template in _compiled():
        found = pattern.fullmatch(text)
        if found:
            return gettext(template) % {name: _word(value) for name, value in found.groupdict().items()}
    return text


def _word(value: str) -> str:
    return gettext(value) if value in WORDS else value


@lru_cache
def _compiled() -> tuple[tuple[re.Pattern[str], str], ...]:
    made = []
    for template in PATTERNS:
        parts = _SLOT.split(template)
        regex = "".join(
            re.escape(part.replace("%%", "%")) if index % 2 == 0 else f"(?P<{part}>.+?)"
            for index, part in enumerate(parts)
        )
        made.append((re.compile(regex), template))
    return tuple(made)
