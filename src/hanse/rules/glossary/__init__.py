"""The words of the law and of the programme in our own, each with where it stands: `words.yaml`."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

from hanse.contracts.base import Contract, Identifier
from hanse.rules import texts


class Word(Contract):
    id: Identifier
    word: str
    means: str
    citation: str
    link: str


@lru_cache
def words() -> tuple[Word, ...]:
    """In the order of the alphabet."""
    text = (files("hanse.rules.glossary") / "words.yaml").read_text("utf-8")
    found = [Word.model_validate(one) for one in texts.read(text, where="words.yaml")]
    return tuple(sorted(found, key=lambda one: one.word.casefold()))
