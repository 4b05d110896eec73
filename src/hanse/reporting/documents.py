"""A document for the screen and for paper, and a model card as the Hugging Face Hub reads it.

What a person stated is marked as such; what nobody said yet stands in a list with who can say it.
"""

from __future__ import annotations

import json
import re

from hanse.contracts.document import Document, DocumentField
from hanse.contracts.record import RunRecord
from hanse.reporting.document import document as shell
from hanse.reporting.markup import Html, h, join
from hanse.reporting.tables import table
from hanse.reporting.words import ZONE_NAME, plain_date

_CONFIDENCE = {
    "read": "its text was read",
    "secondary": "known second-hand; check the official text",
    "unread": "not read; check the official text",
}


def render(made: Document) -> str:
    """The whole HTML document, which loads nothing."""
    return shell(f"{made.title}: {made.about}", made.title, article(made), f"Times are {ZONE_NAME} time.")


def article(made: Document) -> Html:
    basis, until = made.basis, f"{made.keep_until:%-d %B %Y}"
    head = h(
        "div",
        h("p", f"Run {made.run_id} · made {plain_date(made.made_at)} · keep until {until}", class_="crumbs"),
        h("h1", f"{made.title}: {made.about}"),
        h("p", h("a", basis.citation, href=basis.url), f" ({_CONFIDENCE[basis.confidence]}, looked at on "
          f"{basis.checked_on:%-d %B %Y}).", class_="muted"),
        class_="head",
    )  # fmt: skip
    return h(
        "article", head, _missing(made), [_section(part.title, part.fields) for part in made.sections], _proof(made)
    )


def _section(title: str, fields: tuple[DocumentField, ...]) -> Html:
    rows = [(field.label, _value(field), _origin(field)) for field in fields]
    return h("section", h("h2", title), table(("Field", "Value", "From"), rows))


def _value(field: DocumentField) -> Html | str:
    if field.origin == "unknown":
        return h("span", f"Not known yet. {field.asked}", class_="muted")
    return field.value


def _origin(field: DocumentField) -> Html | str:
    if field.origin == "unknown":
        return h("span", f"{field.who} can fill it in", class_="muted")
    if field.origin == "stated":
        return f"stated by the {field.who}"
    return join("record: ", join(*_between([h("a", h("code", one), href="record.json") for one in field.records])))


def _between(parts: list[Html]) -> list[Html | str]:
    return [piece for number, part in enumerate(parts) for piece in ((", ", part) if number else (part,))]


def _missing(made: Document) -> Html | None:
    if not made.unknown:
        return None
    who = sorted({field.who for field in made.unknown})
    said = f"{len(made.unknown)} of {len(made.fields)} fields are not known yet"
    return h(
        "div",
        h("h2", said),
        h("p", f"They can be filled in by: {', '.join(who)}. Nothing is guessed."),
        class_="callout tone-wait",
    )


def _proof(made: Document) -> Html:
    rows = [
        ("This document", h("code", made.digest())),
        ("The run's record", h("code", made.record_sha256)),
        ("What persons stated", h("code", made.facts_sha256)),
    ]
    said = "Whoever has the record can make this document again and compare: hanse comply verify."
    return h("section", h("h2", "Proof"), h("p", said), table(("SHA-256 of", ""), rows))


def model_card(card: Document, record: RunRecord, facts: dict[str, str]) -> str:
    """README.md of a model folder: metadata the Hub knows, then the card. What is unknown is said so."""
    spec = record.run.spec
    metadata: dict[str, object] = {
        "license": facts.get("licence"),
        "language": [one.strip() for one in facts["languages"].split(",")] if facts.get("languages") else None,
        "base_model": facts.get("base-model"),
        "datasets": [one.name for one in spec.data],
        "library_name": "transformers",
        "tags": ["hanse", spec.training],
    }
    front = "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in metadata.items() if value)
    parts = [f"---\n{front}---\n", f"# {card.about}\n"]
    for section in card.sections:
        parts.append(f"## {section.title}\n")
        parts += [f"- **{field.label}**: {_line(field)}" for field in section.fields]
        parts.append("")
    parts.append(f"Made from the record of run `{card.run_id}` (SHA-256 `{card.record_sha256}`).\n")
    return "\n".join(parts)


def _line(field: DocumentField) -> str:
    if field.origin == "unknown":
        return f"not known yet ({field.who} can say it)"
    return re.sub(r"\s+", " ", field.value).replace("<", "&lt;")
