"""Whether two names are of one person: compared as sets of words, without titles, initials, case and accents.

German ü, ö, ä, ß and their like stand for both of the ways they are written without (ü as ue and as u). What is equal
then is the same person for assignment; what could be (a surname alone, an initial, a third name) a person has to judge.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

_TITLES = (
    "dr prof professor profesor professeur pd priv doz ing dipl mag mr mrs ms mx herr frau mme mlle monsieur madame "
    "dott dottssa sir dame lord phd msc bsc ma mba md habil hc univ em emeritus jun jr sr rer nat med phil"
)
TITLES = frozenset(_TITLES.split())
"""Ours: what stands before and after names in European letters."""
_WRITTEN = {"ü": "ue", "ö": "oe", "ä": "ae", "ß": "ss", "ø": "oe", "å": "aa", "æ": "ae", "œ": "oe", "þ": "th"}
_PLAIN = {"ø": "o", "æ": "a", "œ": "o", "ł": "l", "đ": "d", "ð": "d", "ß": "ss", "þ": "th", "ı": "i"}
_FOLDED = (("ue", "u"), ("oe", "o"), ("ae", "a"), ("aa", "a"), ("ss", "s"))
_ADDRESS = re.compile(r"[\w.+'-]+@[\w.-]+")
_SHORT_TEXT_WORDS = 4
"""Up to so many words a text is a name; a longer one says something in which a name may stand."""
KEPT = 4096
"""Texts and words that stay read: a round compares the same few hundred names with one another."""


@dataclass(frozen=True, slots=True)
class Name:
    """Its words, each with the ways it may be written, and its initials."""

    words: tuple[frozenset[str], ...]
    initials: frozenset[str]


@lru_cache(maxsize=KEPT)
def read(text: str) -> Name:
    """The words of a name, without titles; a single letter is an initial."""
    words: list[frozenset[str]] = []
    initials: set[str] = set()
    for word in _words(text):
        ways = _ways(word)
        if ways & TITLES:
            continue
        if len(word) == 1:
            initials |= ways
        elif ways not in words:
            words.append(ways)
    return Name(words=tuple(words), initials=frozenset(initials))


def same(one: str, other: str) -> bool:
    """Whether the words of both are the same, whatever their order; of a single word it cannot be said."""
    mine, theirs = read(one), read(other)
    return len(mine.words) > 1 and _same(mine, theirs)


def like(one: str, other: str) -> bool:
    """Whether both could be of one person: one has all the words of the other, or two of them, and no initial speaks
    against it."""
    mine, theirs = read(one), read(other)
    if not mine.words or not theirs.words:
        return False
    left = [word for word in mine.words if not any(_folded(word) & _folded(each) for each in theirs.words)]
    right = [word for word in theirs.words if not any(_folded(word) & _folded(each) for each in mine.words)]
    common = len(mine.words) - len(left)
    if not common:
        return False
    if common > 1:
        return True
    return (not left or not right) and _may_stand_for(mine, right) and _may_stand_for(theirs, left)


def same_in(name: str, text: str) -> bool:
    """Whether the text names this person: as a whole, as parts between commas, or word by word inside a sentence."""
    parts = [part for part in re.split(r"[,;()/\n]", text) if part.strip()]
    spans = (" ".join(parts[a:b]) for a, b in combinations(range(len(parts) + 1), 2) if b - a < _SHORT_TEXT_WORDS)
    if any(same(name, span) for span in spans):
        return True
    own, words = read(name), [_ways(word) for word in _words(text)]
    spread = [Name(words=tuple(words[at : at + len(own.words)]), initials=frozenset()) for at in range(len(words))]
    return len(own.words) > 1 and any(_same(own, span) for span in spread if len(span.words) == len(own.words))


def like_in(name: str, text: str) -> bool:
    """Whether the text could name this person: like a name, or by a surname inside a sentence."""
    said, own = read(text), read(name)
    if len(said.words) <= _SHORT_TEXT_WORDS and like(name, text):
        return True
    parts = [part for part in re.split(r"[,;()/\n]", text) if part.strip()]
    if any(like(name, part) for part in parts if len(read(part).words) <= _SHORT_TEXT_WORDS):
        return True
    surname = own.words[0 if "," in name else -1] if own.words else frozenset()
    return len(said.words) > _SHORT_TEXT_WORDS and any(_folded(surname) & _folded(word) for word in said.words)


@lru_cache(maxsize=KEPT)
def addresses(text: str) -> frozenset[str]:
    """Addresses of e-mail in it, without case."""
    return frozenset(found.casefold() for found in _ADDRESS.findall(text))


def like_address(name: str, text: str) -> bool:
    """Whether an address in the text is made of this name: two of its words stand before the @."""
    return any(
        len(read(local := one.partition("@")[0]).words) > 1 and like(name, local) and same_words(name, local) > 1
        for one in addresses(text)
    )


def ways(text: str) -> frozenset[str]:
    """Every way in which a word of the text may be written; names that are the same, or alike, share one."""
    return frozenset(way for word in _words(text) for way in _folded(_ways(word)))


def same_words(one: str, other: str) -> int:
    """How many words they have in common."""
    theirs = read(other).words
    return sum(any(_folded(word) & _folded(each) for each in theirs) for word in read(one).words)


def _same(mine: Name, theirs: Name) -> bool:
    return all(any(a & b for b in theirs.words) for a in mine.words) and all(
        any(a & b for a in mine.words) for b in theirs.words
    )


def _may_stand_for(short: Name, left_of_other: Iterable[frozenset[str]]) -> bool:
    """No initial of one name speaks against the words only the other has."""
    firsts = {way[0] for word in left_of_other for way in word}
    return not short.initials or not firsts or bool(short.initials & firsts)


def _words(text: str) -> Iterator[str]:
    letters = unicodedata.normalize("NFC", text.casefold())
    kept = "".join(c if c.isalnum() else "" if c in "'’" else " " for c in letters)
    yield from kept.split()


@lru_cache(maxsize=KEPT)
def _ways(word: str) -> frozenset[str]:
    written = "".join(_WRITTEN.get(c, c) for c in word)
    plain = "".join(_PLAIN.get(c, c) for c in word)
    return frozenset(_stripped(one) for one in (written, plain))


@lru_cache(maxsize=KEPT)
def _folded(word: frozenset[str]) -> frozenset[str]:
    """Each way with what ü and its like are written by taken back to one letter: more is alike than is the same."""
    found = set()
    for way in word:
        for pair, one in _FOLDED:
            way = way.replace(pair, one)
        found.add(way)
    return frozenset(found)


def _stripped(word: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))
