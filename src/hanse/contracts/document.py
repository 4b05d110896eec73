"""A document for the law or the programme, filled from records: every value says where it comes from, or is unknown."""

from __future__ import annotations

from datetime import date
from typing import Literal

from hanse.contracts.base import Contract, Identifier, Sha256, Timestamp

Origin = Literal["record", "stated", "unknown"]
"""record: follows from the run's record. stated: a person's word. unknown: nobody said it yet; never guessed."""


class Basis(Contract):
    """What asks for the document, and how well we know that."""

    citation: str
    url: str
    confidence: Literal["read", "secondary", "unread"]
    checked_on: date


class DocumentField(Contract):
    id: Identifier
    label: str
    value: str = ""
    """As people read it; empty while unknown."""
    number: float | None = None
    """The same as a number in `unit`, where it is one."""
    unit: str = ""
    origin: Origin
    records: tuple[str, ...] = ()
    """Where in the RunRecord it comes from, as paths: `result.tokens`, `usage`."""
    who: str
    """Who can fill it in."""
    asked: str = ""
    """What the form wants to know here, in our own words."""
    max_words: int | None = None
    """The form's own limit."""


class DocumentSection(Contract):
    title: str
    fields: tuple[DocumentField, ...]


class Document(Contract):
    schema_version: Literal[1] = 1
    kind: Identifier
    title: str
    run_id: Identifier
    about: str
    """The model, or what else the document is about."""
    basis: Basis
    sections: tuple[DocumentSection, ...]
    made_at: Timestamp
    keep_until: date
    """Ten years, where the law or the code of practice asks for that: from placing the model on the market, or from
    making the document while that day is not stated."""
    record_sha256: Sha256
    """Of the record's canonical form: whoever has the record can make the document again and compare."""
    facts_sha256: Sha256
    """Of what persons stated."""

    @property
    def fields(self) -> tuple[DocumentField, ...]:
        return tuple(field for section in self.sections for field in section.fields)

    @property
    def unknown(self) -> tuple[DocumentField, ...]:
        return tuple(field for field in self.fields if field.origin == "unknown")
