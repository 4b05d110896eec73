"""Conflicts of interest that records show: same organisation, member of the team, excluded by the applicant.

Names of persons are compared as sets of words (names.py), of organisations without case, accents and legal form. What
is the same refuses; what could be is for an officer to confirm or clear. What no record shows a reviewer declares.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from hanse.programme.review import names

_LEGAL_FORMS = (
    "gmbh ag se kg ug ltd limited plc llc inc sa sas sarl sl srl spa nv bv oy oyj ab as aps asa sro doo kft zrt sp zoo "
    "ev eg"
)
LEGAL_FORMS = frozenset(_LEGAL_FORMS.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewer:
    id: str
    name: str
    email: str = ""
    organisations: tuple[str, ...] = ()
    keywords: frozenset[str] = frozenset()
    load: int = 0
    """Reviews they hold already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An application as far as assignment looks at it."""

    id: str
    organisations: tuple[str, ...]
    team: tuple[str, ...] = ()
    """Names and addresses of its members."""
    excluded: tuple[str, ...] = ()
    """Names of persons or organisations, as the applicant wrote them."""
    keywords: frozenset[str] = frozenset()


@lru_cache(maxsize=names.KEPT)
def plain(name: str) -> str:
    """`name` without case, accents and punctuation, its words apart by one blank."""
    letters = unicodedata.normalize("NFKD", name.casefold())
    kept = "".join(c if c.isalnum() or c in "@" else " " for c in letters if not unicodedata.combining(c))
    return " ".join(kept.split())


def marks(one: Reviewer | Entry) -> frozenset[tuple[str, str]]:
    """What it can be found by. Of two that share no mark no conflict is found: the thousands of pairs of a round need
    not be compared word by word."""
    houses = {(kind, way) for name in one.organisations for kind, way in _of_house(plain(name))}
    if isinstance(one, Reviewer):
        inside = {("said", word) for name in one.organisations for word in plain(name).split()}
        return frozenset(houses | inside | _of_name(one.name) | {("address", one.email.casefold())})
    texts = (*one.team, *one.excluded)
    people = {mark for text in texts for mark in _of_name(text)}
    sent = {("address", address) for text in texts for address in names.addresses(text)}
    inside = {("said", word) for text in one.excluded for word in plain(text).split()}
    return frozenset(houses | people | sent | inside)


def _of_house(name: str) -> set[tuple[str, str]]:
    return {("house", name), ("house", _without_form(name))} - {("house", "")}


def _of_name(text: str) -> set[tuple[str, str]]:
    return {("word", word) for word in (*plain(text).split(), *names.ways(text))}


def found(reviewer: Reviewer, entry: Entry) -> tuple[str, ...]:
    """Why this reviewer cannot judge this application; empty: no record speaks against it."""
    own = _plain(reviewer.organisations)
    reasons = []
    if own & _plain(entry.organisations):
        reasons.append("same organisation")
    if any(_is(reviewer, one) for one in entry.team):
        reasons.append("member of the team")
    excluded = [f" {plain(text)} " for text in entry.excluded]
    if any(f" {mine} " in text for mine in own for text in excluded) or any(
        _is(reviewer, text) or names.same_in(reviewer.name, text) for text in entry.excluded
    ):
        reasons.append("excluded by the applicant")
    return tuple(reasons)


def possible(reviewer: Reviewer, entry: Entry) -> tuple[str, ...]:
    """What could be a conflict and has to be confirmed or cleared by a person; empty too where one is certain."""
    if found(reviewer, entry):
        return ()
    own = {_without_form(one) for one in _plain(reviewer.organisations)} - {""}
    reasons = [f"works at what could be {one}" for one in entry.organisations if _without_form(plain(one)) in own]
    reasons += [f"could be {one} of the team" for one in dict.fromkeys(entry.team) if _like(reviewer, one)]
    for text in entry.excluded:
        if names.like_in(reviewer.name, text) or names.like_address(reviewer.name, text):
            reasons.append(f"could be excluded by «{text}»")
        elif any(f" {mine} " in f" {_without_form(plain(text))} " for mine in own):
            reasons.append(f"works at what could be excluded by «{text}»")
    return tuple(dict.fromkeys(reasons))


def _is(reviewer: Reviewer, text: str) -> bool:
    """Whether the text is this reviewer's address or name."""
    if reviewer.email and reviewer.email.casefold() in names.addresses(text):
        return True
    return plain(reviewer.name) == plain(text) != "" or names.same(reviewer.name, text)


def _like(reviewer: Reviewer, text: str) -> bool:
    return names.like_address(reviewer.name, text) or ("@" not in text and names.like(reviewer.name, text))


def _without_form(name: str) -> str:
    return " ".join(word for word in name.split() if word not in LEGAL_FORMS)


def _plain(given: tuple[str, ...]) -> set[str]:
    return {plain(name) for name in given} - {""}
