"""Where a text names a person without a doubt: an address, a full name, @name, or a name of two words such as a.b.

A user name may be an ordinary word («max», «test», «model»). Alone in what others wrote it is left as it is: nobody can
say that it is the person. It is replaced where the service itself put a name: behind «by», or under a key for names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

NAMING = frozenset({
    "by", "to", "user", "person", "actor", "viewer", "reviewer", "late", "officer", "operator", "applicant",
    "decided_by", "proposed_by", "confirmed_by", "prepared_by", "invited_by", "sent_by", "asked_by", "answered_by",
    "reviewers", "members",
})  # fmt: skip
"""Keys of stored JSON under which a user name stands."""
_TWO_WORDS = re.compile(r"[^\W\d_]{2,}([._][^\W\d_]{2,})+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mentions:
    """How one person is named, and what stands there once they are erased."""

    username: str
    pseudonym: str
    full_name: str
    """Empty where they gave no first and last name, or another person has the same."""
    addresses: Mapping[str, str]

    def equal(self, word: str, *, naming: bool) -> str:
        """The same word, or the pseudonym where it is the person: a user name only where a name is meant."""
        if word == self.username and (naming or _TWO_WORDS.fullmatch(word)):
            return self.pseudonym
        if self.full_name and word == self.full_name:
            return self.pseudonym
        return self.addresses.get(word, word)

    def words(self) -> tuple[str, ...]:
        """What a text that may name the person contains."""
        return tuple(dict.fromkeys(one for one in (self.username, self.full_name, *self.addresses) if one))

    def replaced(self, text: str) -> str:
        """A text with every mention replaced and nothing else changed."""
        for pattern, instead in self._patterns():
            text = pattern.sub(lambda _found, instead=instead: instead, text)
        return text

    def _patterns(self) -> Iterator[tuple[re.Pattern[str], str]]:
        for address, instead in self.addresses.items():
            yield re.compile(rf"(?<![\w.+-]){re.escape(address)}(?![\w-]|\.\w)", re.IGNORECASE), instead
        if self.full_name:
            yield re.compile(rf"(?<![\w-]){re.escape(self.full_name)}(?![\w-])"), self.pseudonym
        name = re.escape(self.username)
        yield re.compile(rf"(?<![\w.+-])@{name}(?![\w-]|\.\w)"), f"@{self.pseudonym}"
        yield re.compile(rf"(?<=\bby ){name}(?=[.:,;]?(?:\s|$))"), self.pseudonym
        if _TWO_WORDS.fullmatch(self.username):
            yield re.compile(rf"(?<![\w@.-]){name}(?![\w@-]|\.\w)"), self.pseudonym

    def in_json(self, value: Any, *, naming: bool = False) -> Any:
        """Strings that are the person, alone or in a list with commas; longer texts are left."""
        if isinstance(value, str):
            return ", ".join(self.equal(part, naming=naming) for part in value.split(", "))
        if isinstance(value, dict):
            return {key: self.in_json(one, naming=naming or key in NAMING) for key, one in value.items()}
        if isinstance(value, list):
            return [self.in_json(one, naming=naming) for one in value]
        return value
