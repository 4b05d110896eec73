"""Whether two organisations are one: by number for certain, by name if it is the same, and near if a person must look.

Which word marks a company's legal form is our own list, of forms that registers of European countries use.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Final

NEAR: Final = 0.86
"""Likeness (0 to 1) from which two names are shown to a person: one letter in seven may differ. Our own."""
COMMON: Final = 300
"""Organisations that share a word or a beginning: more than so many are not compared letter by letter."""
FORMS: Final = frozenset({
    "ab", "ag", "aps", "as", "asbl", "bv", "bvba", "cv", "eg", "ehf", "eood", "gmbh", "ggmbh", "gbr", "hf", "inc",
    "kft", "kg", "llc", "ltd", "nv", "oo", "ood", "oy", "oyj", "plc", "sa", "sarl", "sas", "se", "sia", "sl", "slu",
    "sp", "spa", "spzoo", "srl", "sro", "ug", "uab", "vzw", "zoo",
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An organisation that is here. Numbers as `programme.formats` writes them."""

    id: str
    name: str
    pics: frozenset[str] = frozenset()
    vat_numbers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """`found` for certain, or those a person has to choose among, each with why; neither: it is a new one."""

    found: Known | None = None
    near: tuple[tuple[Known, str], ...] = ()
    contradiction: str = ""
    """Why it can be none of them: its numbers are of different organisations."""


class Register:
    """Organisations to look a name or a number up in; twenty thousand of them are looked through at once."""

    def __init__(self, known: Iterable[Known]) -> None:
        self._by_pic: dict[str, list[Known]] = defaultdict(list)
        self._by_vat: dict[str, list[Known]] = defaultdict(list)
        self._by_essence: dict[str, list[Known]] = defaultdict(list)
        self._by_key: dict[str, list[Known]] = defaultdict(list)
        """By how the essence begins and ends, and by each of its words: what is near shares one of them."""
        self.by_id: dict[str, Known] = {}
        self.by_name: dict[str, Known] = {}
        for one in known:
            self.add(one)

    def add(self, one: Known) -> None:
        self.by_id[one.id] = one
        self.by_name.setdefault(_folded(one.name), one)
        for pic in one.pics:
            self._by_pic[pic].append(one)
        for number in one.vat_numbers:
            self._by_vat[number].append(one)
        bare = essence(one.name)
        self._by_essence[bare].append(one)
        for key in _keys(bare):
            self._by_key[key].append(one)

    def match(self, name: str, pic: str, vat_number: str) -> Match:
        """Numbers come before names; the same name with another number is for a person."""
        numbered = {one.id: one for one in (*self._by_pic.get(pic, ()), *self._by_vat.get(vat_number, ()))}
        if len(numbered) > 1:
            named = " and ".join(sorted(one.name for one in numbered.values()))
            return Match(contradiction=f"its PIC and VAT number are of different organisations here: {named}")
        if numbered:
            return Match(found=next(iter(numbered.values())))
        same = self.by_name.get(_folded(name))
        if same is not None:
            other = (pic and same.pics) or (vat_number and same.vat_numbers)
            return Match(near=((same, "the same name with another number"),)) if other else Match(found=same)
        bare = essence(name)
        near = [(one, "the same name but for its legal form or spelling") for one in self._by_essence.get(bare, ())]
        near += [(one, "a similar name") for one in self._beside(bare) if _alike(essence(one.name), bare)]
        return Match(near=tuple(near[:10]))

    def _beside(self, bare: str) -> list[Known]:
        """Whose name may be similar. What very many names share says nothing, and is passed over."""
        buckets = (self._by_key.get(key, []) for key in _keys(bare))
        held = {one.id: one for bucket in buckets if len(bucket) <= COMMON for one in bucket}
        return [one for one in held.values() if essence(one.name) != bare]


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())


def _keys(bare: str) -> set[str]:
    flat = bare.replace(" ", "")
    return {f"{flat[:4]}…", f"…{flat[-4:]}", *(word for word in bare.split() if len(word) > 2)}


@lru_cache(maxsize=50_000)
def essence(name: str) -> str:
    """The name without accents, marks and its legal form, in small letters."""
    flat = unicodedata.normalize("NFKD", name.casefold().replace("ß", "ss").replace("ø", "o").replace("æ", "ae"))
    bare = "".join(letter for letter in flat if not unicodedata.combining(letter))
    words = re.findall(r"\w+", bare.replace(".", "").replace("&", " and "))
    kept = [word for word in words if word not in FORMS]
    return " ".join(kept or words)


def _alike(one: str, other: str) -> bool:
    if not one or not other or abs(len(one) - len(other)) > max(len(one), len(other)) * (1 - NEAR) + 1:
        return False
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    return matcher.real_quick_ratio() >= NEAR and matcher.quick_ratio() >= NEAR and matcher.ratio() >= NEAR
