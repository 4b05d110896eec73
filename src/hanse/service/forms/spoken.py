"""Finding a sentence of the house again in a text: which of its templates it is, and with what values.

A text may be anybody's, and is looked at for hundreds of templates: each is looked for by its fixed parts, a bounded
number of times, so that no text takes long.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_SLOT = re.compile(r"%\((\w+)\)s")
_NEXT_SENTENCE = re.compile(r"[.?!] [A-Z]")
_FIGURE = re.compile(r"[+−-]?\d")
_FIGURES = frozenset({
    "n", "a", "b", "c", "low", "high", "used", "held", "free", "granted", "share", "left", "gone", "step", "steps",
    "time", "nodes",
})  # fmt: skip
_TIMES = frozenset(("day", "when"))
_OPEN = frozenset(["figures", "reason", "text", "why", "finding", "estimates", "parts", "layout"])
"""Slots with these names hold figures, dates, and whole sentences; any other a part of one. So a person's own words
do not match what is made for figures, and no slot swallows the sentence that follows."""
MOST_LOOKS = 300
"""More than any sentence of the house needs; with more, a text is taken for somebody's own."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """A template, cut at its slots: `parts` are the texts before, between and after them."""

    template: str
    names: tuple[str, ...]
    parts: tuple[str, ...]

    @classmethod
    def of(cls, template: str) -> Spoken:
        cut = _SLOT.split(template)
        return cls(template, tuple(cut[1::2]), tuple(part.replace("%%", "%") for part in cut[::2]))

    @property
    def telling(self) -> int:
        """How much of it is fixed."""
        return sum(map(len, self.parts))

    def found_in(self, text: str) -> dict[str, str] | None:
        """What stands in its slots, each as short as can be from left to right; None if the text is another."""
        if not self.names:
            return {} if text == self.parts[0] else None
        if not text.startswith(self.parts[0]) or not text.endswith(self.parts[-1]):
            return None
        return self._from(text, 0, len(self.parts[0]), {}, [MOST_LOOKS])

    def _from(
        self, text: str, slot: int, begin: int, held: Mapping[str, str], looks: list[int]
    ) -> dict[str, str] | None:
        """The slots from this one on. `looks` is how many are left, over all of them."""
        name, part = self.names[slot], self.parts[slot + 1]
        last = slot == len(self.names) - 1
        end = len(text) - len(part) if last else text.find(part, begin + 1)
        while begin < end <= len(text) - len(part) and looks[0] > 0:
            looks[0] -= 1
            value = text[begin:end]
            if held.get(name, value) == value and _fits(name, text, begin, end):
                now = {**held, name: value}
                if last:
                    return now
                if (rest := self._from(text, slot + 1, end + len(part), now, looks)) is not None:
                    return rest
            if last:
                return None
            end = text.find(part, end + 1)
        return None


def _fits(name: str, text: str, begin: int, end: int) -> bool:
    """Whether a slot of that name may hold this."""
    if name in _OPEN:
        return True
    following = _NEXT_SENTENCE.search(text, begin)
    if following is not None and following.start() < end:
        return False
    if name in _FIGURES:
        return _FIGURE.match(text, begin, end) is not None
    value = text[begin:end]
    return name not in _TIMES or (";" not in value and any(one.isdecimal() for one in value))
