"""The forms: one YAML file each in `forms/`, its fields in our own words, each with who can fill it in.

A field's `from` names a function of `records.py`; without one only a person can say it.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import lru_cache
from importlib.resources import files

from pydantic import Field, ValidationError

from hanse.contracts.base import Contract, Identifier
from hanse.contracts.document import Basis
from hanse.contracts.errors import SpecError, UsageError
from hanse.rules import texts
from hanse.rules.documents.records import FROM_RECORDS

_FORMS = files("hanse.rules.documents") / "forms"


class FormField(Contract):
    id: Identifier
    label: str
    asked: str = ""
    who: str = "provider"
    source: Identifier | None = Field(default=None, alias="from")
    max_words: int | None = None


class FormSection(Contract):
    title: str
    fields: tuple[FormField, ...]


class Form(Contract):
    id: Identifier
    title: str
    basis: Basis
    keep_years: int = 10
    sections: tuple[FormSection, ...]

    @property
    def fields(self) -> tuple[FormField, ...]:
        return tuple(field for section in self.sections for field in section.fields)


def ids() -> tuple[str, ...]:
    return tuple(sorted(one.name.removesuffix(".yaml") for one in _FORMS.iterdir() if one.name.endswith(".yaml")))


@lru_cache
def load(id: str) -> Form:
    """Raises UsageError where there is no such form; the nearest is named."""
    known = ids()
    if id not in known:
        nearest = get_close_matches(id, known, n=1, cutoff=0)
        raise UsageError(
            f"there is no document {id!r}", where="document", fix=f"Did you mean {nearest[0]}? All: {', '.join(known)}."
        )
    return parse((_FORMS / f"{id}.yaml").read_text("utf-8"), where=f"{id}.yaml")


def parse(text: str, *, where: str) -> Form:
    """The form written in `text`. Raises SpecError naming `where` and what is wrong."""
    raw = texts.mapping(text, where=where, begin="Begin with id, title and sections.")
    try:
        form = Form.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise SpecError(first["msg"], where=f"{where}: {key}", fix="Correct the form.") from None
    seen = set()
    for field in form.fields:
        if field.id in seen:
            raise SpecError(f"two fields are called {field.id}", where=where, fix="Rename one.")
        if field.source is not None and field.source not in FROM_RECORDS:
            raise SpecError(
                f"nothing is known of {field.source!r}", where=f"{where}: {field.id}", fix="Correct `from`."
            )
        seen.add(field.id)
    return form
