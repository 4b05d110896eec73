"""The columns of a file of awards: what each is called, whether it has to be there, and how its cells are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from hanse.programme.imports import values

TERABYTE: Final = 10**12


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """`field` is the row's; `read` raises ValueError with a sentence."""

    field: str
    about: str
    needed: bool = False
    read: Callable[[str], Any] = str.strip


def _terabytes(text: str) -> int:
    return int(values.amount(text) * Decimal(TERABYTE))


def _country(text: str) -> str:
    return text.strip().upper()


def _small(text: str) -> str:
    return text.strip().lower()


def _digits(text: str) -> str:
    return text.replace(" ", "").strip()


def _conditions(text: str) -> tuple[str, ...]:
    return values.several(text, r"\|")


COLUMNS: Final[Mapping[str, Column]] = {
    "source": Column(field="source", about="Who decided: a short name, like eurohpc.", needed=True, read=_small),
    "reference": Column(field="reference", about="The award's own reference there.", needed=True),
    "url": Column(field="url", about="Where it can be seen."),
    "call": Column(field="call", about="The title of the call it was granted under."),
    "call_reference": Column(field="call_reference", about="That call's own reference."),
    "mode": Column(
        field="mode", about="Which access mode's obligations and reports it brings, like fast-lane.", needed=True,
        read=_small,
    ),
    "title": Column(field="title", about="The project's title.", needed=True),
    "purpose": Column(field="purpose", about="What the hours are for."),
    "organisation": Column(field="organisation", about="Its name.", needed=True),
    "organisation_id": Column(
        field="organisation_id", about="Which one it is here, if its name does not say: org-…, or new.", read=_small
    ),
    "pic": Column(field="pic", about="Its PIC, nine digits.", read=_digits),
    "vat_number": Column(field="vat_number", about="Its VAT number."),
    "organisation_kind": Column(
        field="organisation_kind", about="start-up, sme, large, university, research, public or other.", needed=True,
        read=_small,
    ),
    "country": Column(field="country", about="Two letters, like FI.", needed=True, read=_country),
    "contact_email": Column(
        field="contact_email", about="Who is invited to use the hours, as an owner of the organisation.", needed=True
    ),
    "members": Column(
        field="members", about="Others who are invited, separated by spaces.", read=values.several
    ),
    "machine": Column(field="machine", about="The machine's name here, like lumi-g.", needed=True, read=_small),
    "partition": Column(field="partition", about="Its partition; empty: the whole machine."),
    "part": Column(
        field="part", about="The allocation's own reference, where an award has several on one partition."
    ),
    "account": Column(field="account", about="The scheduler account it runs under."),
    "amount": Column(field="amount", about="How much, in the unit.", needed=True, read=values.amount),
    "unit": Column(
        field="unit", about="The machine's own unit (core-hour, …), node-hour or accelerator-hour; empty: GPU-hour."
    ),
    "starts": Column(field="starts", about="First day, like 2027-01-31.", needed=True, read=values.day),
    "ends": Column(field="ends", about="Last day.", needed=True, read=values.day),
    "storage_tb": Column(field="storage_bytes", about="Storage, in terabytes.", read=_terabytes),
    "decided_on": Column(field="decided_on", about="The day it was decided.", read=values.day),
    "conditions": Column(field="conditions", about="Conditions, separated by |.", read=_conditions),
    "names_may_be_published": Column(
        field="names_may_be_published", about="yes: the register names the organisation.", read=values.yes_or_no
    ),
    "pays_per_use": Column(field="pays_per_use", about="yes: its use is billed.", read=values.yes_or_no),
}  # fmt: skip
"""By the name that stands in the file's first line."""
COLUMN_OF: Final[Mapping[str, str]] = {column.field: name for name, column in COLUMNS.items()}
