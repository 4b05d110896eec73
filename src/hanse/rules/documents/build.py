"""A document from a form, a run's record and what persons stated; and whether one still says what the records say."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from difflib import get_close_matches

from hanse.contracts.base import now
from hanse.contracts.document import Document, DocumentField, DocumentSection
from hanse.contracts.errors import SpecError, UsageError
from hanse.contracts.record import RunRecord
from hanse.contracts.run import FINAL_RUN_STATES
from hanse.rules.documents.forms import Form, FormField, ids, load
from hanse.rules.documents.records import FROM_RECORDS

Facts = Mapping[str, str]


def make(kind: str, record: RunRecord, facts: Facts, *, at: datetime | None = None) -> Document:
    """The document. A stated value fills in where the record has none.

    Raises:
        UsageError: there is no such document.
        SpecError: the record contradicts itself (see `require_sound`).
    """
    require_sound(record)
    form, at = load(kind), at or now()
    return Document(
        kind=form.id,
        title=form.title,
        run_id=record.run.id,
        about=record.run.name,
        basis=form.basis,
        sections=tuple(
            DocumentSection(title=part.title, fields=tuple(_filled(field, record, facts) for field in part.fields))
            for part in form.sections
        ),
        made_at=at,
        keep_until=_keep_until(at.date(), facts, form.keep_years),
        record_sha256=record.digest(),
        facts_sha256=digest_of(facts),
    )


def make_all(record: RunRecord, facts: Facts, *, at: datetime | None = None) -> tuple[Document, ...]:
    at = at or now()
    return tuple(make(kind, record, facts, at=at) for kind in ids())


def check_facts(facts: Facts) -> None:
    """Raises UsageError for a fact that no document asks for; the nearest is named."""
    asked = {field.id for kind in ids() for field in load(kind).fields}
    for name in facts:
        if name not in asked:
            nearest = get_close_matches(name, sorted(asked), n=1, cutoff=0)
            raise UsageError(f"no document asks for {name!r}", where="facts", fix=f"Did you mean {nearest[0]}?")


def _filled(field: FormField, record: RunRecord, facts: Facts) -> DocumentField:
    told = FROM_RECORDS[field.source](record) if field.source else None
    stated = facts.get(field.id, "").strip()
    return DocumentField(
        id=field.id,
        label=field.label,
        value=told.text if told else stated,
        number=told.number if told else None,
        unit=told.unit if told else "",
        origin="record" if told else "stated" if stated else "unknown",
        records=told.records if told else (),
        who=field.who,
        asked=field.asked,
        max_words=field.max_words,
    )


def require_sound(record: RunRecord) -> None:
    """Refuse a record whose parts contradict each other: one of them was changed after it was written.

    Raises:
        SpecError: what does not add up.
    """
    run, result = record.run, record.result
    said = "documents are made from records as they were written; fetch this one anew"
    debited = [entry.accelerator_seconds for entry in record.usage if entry.attempt_id is not None]
    if debited and run.state in FINAL_RUN_STATES and max(0, sum(debited)) != run.used_accelerator_seconds:
        said_there = f"{run.used_accelerator_seconds:,}"
        message = f"the usage entries sum to {sum(debited):,} accelerator-seconds, the run says {said_there}"
        raise SpecError(message, where="record: usage", fix=said)
    declared = {one.name for one in run.spec.data}
    strange = sorted({one.name for one in result.datasets} - declared) if result is not None else []
    if strange:
        message = f"{', '.join(strange)} was read and is not declared in train.yaml"
        raise SpecError(
            message,
            where="record: result.datasets",
            fix="Tell the programme's officer; the run is not as it was declared.",
        )
    if result is not None and record.telemetry:
        last = max(record.telemetry, key=lambda row: row.step)
        if last.step == result.steps and last.tokens != result.tokens:
            message = f"step {last.step} ends at {last.tokens:,} tokens, the result says {result.tokens:,}"
            raise SpecError(message, where="record: result.tokens", fix=said)
        if last.step > result.steps:
            message = f"there are rows up to step {last.step:,}, the result says {result.steps:,} steps"
            raise SpecError(message, where="record: result.steps", fix=said)


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a document does not say what the records say."""

    where: str
    found: str
    expected: str


def differences(document: Document, record: RunRecord, facts: Facts) -> tuple[Difference, ...]:
    """Empty where `document` is just what `record` and `facts` give."""
    again = make(document.kind, record, facts, at=document.made_at)
    pairs: list[tuple[str, object, object]] = [
        (name, getattr(document, name), getattr(again, name)) for name in Document.model_fields if name != "sections"
    ]
    outlines = [
        [(part.title, [field.id for field in part.fields]) for part in one.sections] for one in (document, again)
    ]
    pairs.append(("sections", outlines[0], outlines[1]))
    expected = {field.id: field for field in again.fields}
    pairs += [(f"{field.id}", field, expected.pop(field.id, None)) for field in document.fields]
    pairs += [(id, None, field) for id, field in expected.items()]
    return tuple(_difference(where, found, right) for where, found, right in pairs if found != right)


def _difference(where: str, found: object, expected: object) -> Difference:
    """Of a field, what differs first: mostly its value, but it may be where it comes from."""
    if isinstance(found, DocumentField) and isinstance(expected, DocumentField):
        for name in ("value", "number", "unit", "origin", "records", *DocumentField.model_fields):
            if (one := getattr(found, name)) != (other := getattr(expected, name)):
                place = where if name == "value" else f"{where}.{name}"
                return Difference(place, _short(one), _short(other))
    return Difference(where, _short(found), _short(expected))


def _short(value: object) -> str:
    if isinstance(value, DocumentField):
        return value.value or f"({value.origin})"
    return "(missing)" if value in (None, "") else str(value)


def digest_of(facts: Facts) -> str:
    return hashlib.sha256(json.dumps(dict(facts), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


MARKET_DATE = "union-market-date"
"""The fact from which the years of keeping count."""


def _keep_until(made_on: date, facts: Facts, years: int) -> date:
    """The years count from the day the model is placed on the market (AI Act Art. 18(1) for systems of high risk; Code
    of Practice on general-purpose AI, which says at least ten years after it). Until that day is stated they count
    from making the document, which is never longer: made again with the day, a document is kept longer.
    """
    try:
        placed = date.fromisoformat(facts.get(MARKET_DATE, "").strip())
    except ValueError:
        placed = made_on
    return _years_later(max(made_on, placed), years)


def _years_later(day: date, years: int) -> date:
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return day.replace(year=day.year + years, day=28)


def asked_of_people(documents: tuple[Document, ...]) -> tuple[DocumentField, ...]:
    """What is still unknown in any of them, each once, in the order of reading."""
    seen: dict[str, DocumentField] = {}
    for document in documents:
        for field in document.unknown:
            seen.setdefault(field.id, field)
    return tuple(seen.values())


__all__ = ["Difference", "Facts", "Form", "asked_of_people", "check_facts", "differences", "make", "make_all"]
