"""What a Waldur answers as rows: one resource is one allocation, its project the award, its customer who holds it.

The keys are those of Waldur's REST API (version 8.1: marketplace-resources, customers, projects/…/list_users). A limit
is in its component's measured unit; a limit that begins anew each month, quarter or year is no sum that was awarded,
and is left to a person.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from pydantic import ValidationError

from hanse.contracts.imports import AwardRow, RowError
from hanse.programme.imports.columns import COLUMN_OF
from hanse.programme.imports.faults import faults

STATES: Final = ("OK", "Updating")
"""Of resources that are there to be used."""
MANAGES: Final = ("PROJECT.MANAGER", "PROJECT.ADMIN")
"""Roles of a project, by who is written to first."""
_HOURS: Final = re.compile(r"(?P<kilo>k(ilo)?[- ]?)?(?P<what>[a-z]+)?[-_ ]?(hours?|hrs?|h)", re.IGNORECASE)
_OF: Final = {
    "gpu": "GPU-hour", "gpus": "GPU-hour", "accelerator": "accelerator-hour", "node": "node-hour", "nodes": "node-hour",
    "core": "core-hour", "cores": "core-hour", "cpu": "core-hour", "cpus": "core-hour",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One resource with what belongs to it, as the API answered."""

    resource: Mapping[str, Any]
    customer: Mapping[str, Any] = field(default_factory=dict)
    users: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What Waldur does not tell, and an officer does."""

    source: str
    mode: str
    organisation_kind: str = "other"
    country: str = ""
    """Of customers that name none."""
    machines: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """An offering's slug or uuid to a machine here and a partition of it; else the slug is the machine's name."""
    component: str = ""
    """Which component counts hours; empty: the only one that does."""
    unit: str = ""
    """What that component counts in; empty: what its measured unit says."""
    until: date | None = None
    """The last day of what has none."""


class _Unread(Exception):  # noqa: N818 - it states what happened
    def __init__(self, column: str, what: str, fix: str) -> None:
        self.error = (column, what, fix)


def rows(seen: Sequence[Seen], wanted: Wanted) -> tuple[tuple[AwardRow, ...], tuple[RowError, ...]]:
    """A row for each resource that can be one, and why the others cannot. Lines are the resources' numbers from 1."""
    found: list[AwardRow] = []
    errors: list[RowError] = []
    for line, one in enumerate(seen, 1):
        try:
            found.append(_row(line, one, wanted))
        except _Unread as unread:
            column, what, fix = unread.error
            name = str(one.resource.get("name") or one.resource.get("uuid") or "a resource")[:80]
            errors.append(RowError(line=line, column=column, what=f"{name}: {what}", fix=fix))
    return tuple(found), tuple(errors)


def _row(line: int, one: Seen, wanted: Wanted) -> AwardRow:
    resource, customer = one.resource, one.customer
    machine, partition = _place(resource, wanted)
    amount, unit = _amount(resource, wanted)
    contact, members = _people(one)
    values = {
        "line": line,
        "source": wanted.source,
        "reference": _text(resource, "project_uuid"),
        "part": _text(resource, "uuid"),
        "url": _text(resource, "project"),
        "mode": wanted.mode,
        "title": _text(resource, "project_name"),
        "purpose": _text(resource, "project_description")[:2000],
        "organisation": _text(resource, "customer_name") or _text(customer, "name"),
        "vat_number": _text(customer, "vat_code"),
        "organisation_kind": wanted.organisation_kind,
        "country": _text(customer, "country").upper() or wanted.country,
        "contact_email": contact,
        "members": members,
        "machine": machine,
        "partition": partition,
        "account": _text(resource, "backend_id"),
        "amount": amount,
        "unit": unit,
        "starts": _starts(resource),
        "ends": _ends(resource, wanted),
    }
    try:
        made = AwardRow(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "ends"
        value = str(values.get(name, ""))[:60]
        said = f"{value} cannot stand here" if value else "it is not told"
        raise _Unread(COLUMN_OF.get(name, name), said, "Correct it in Waldur, or bring it in by a file.") from None
    for fault in faults(made):
        raise _Unread(fault.column, fault.what, fault.fix)
    return made


def _place(resource: Mapping[str, Any], wanted: Wanted) -> tuple[str, str]:
    slug, uuid = _text(resource, "offering_slug"), _text(resource, "offering_uuid")
    for name in (uuid, slug):
        if name in wanted.machines:
            return wanted.machines[name]
    if not slug:
        raise _Unread("machine", "its offering has no slug", f"Say which machine it is: --machine {uuid}=MACHINE.")
    return slug, ""


def _amount(resource: Mapping[str, Any], wanted: Wanted) -> tuple[Decimal, str]:
    limits = {str(name): value for name, value in dict(resource.get("limits") or {}).items() if value is not None}
    told = {str(one.get("type")): one for one in resource.get("offering_components") or ()}
    if wanted.component:
        if wanted.component not in limits:
            known = ", ".join(limits) or "none"
            raise _Unread("amount", f"it has no limit of {wanted.component}", f"Its limits: {known}.")
        name = wanted.component
    else:
        hours = [name for name in limits if _unit(name, told.get(name, {}))[1]]
        if len(hours) != 1:
            said = f"{' and '.join(hours)} both count hours" if hours else "none of its limits counts hours"
            raise _Unread("amount", said, f"Say which it is: --component NAME. Its limits: {', '.join(limits)}.")
        name = hours[0]
    component = told.get(name, {})
    if component.get("limit_period") not in (None, "", "total"):
        raise _Unread(
            "amount", f"its limit of {name} is for each {component['limit_period']}, not for the whole time",
            "Bring it in by a file, with the sum that was awarded.",
        )  # fmt: skip
    factor, unit = _unit(name, component)
    unit = wanted.unit or unit
    if not unit:
        raise _Unread("unit", f"its limit of {name} has no unit in hours", "Say what it counts in: --unit UNIT.")
    try:
        amount = Decimal(str(limits[name])) * factor
    except InvalidOperation:
        raise _Unread("amount", f"its limit of {name} is no number", "Correct it in Waldur.") from None
    if amount <= 0:
        raise _Unread("amount", f"its limit of {name} is {limits[name]}", "Nothing was awarded by it.")
    return amount, unit


def _unit(name: str, component: Mapping[str, Any]) -> tuple[int, str]:
    """How many of which unit one of its measured unit is; no unit where that is no kind of hour."""
    measured = _text(component, "measured_unit")
    found = _HOURS.fullmatch(measured)
    if found is None:
        return 1, ""
    what = (found["what"] or re.split(r"[-_ ]", name)[0]).lower()
    return (1000 if found["kilo"] else 1), _OF.get(what, "")


def _people(one: Seen) -> tuple[str, tuple[str, ...]]:
    """Whom to invite as owner, and the others of the project."""
    by_role: dict[str, str] = {}
    everyone: dict[str, None] = {}
    for user in one.users:
        email = _text(user, "user_email")
        if email:
            by_role.setdefault(_text(user, "role_name"), email)
            everyone[email] = None
    order = one.resource.get("creation_order") or {}
    asked = [by_role.get(role, "") for role in MANAGES]
    contact = next((e for e in (*asked, *everyone, _text(order, "created_by_email")) if e), "")
    if not contact:
        raise _Unread("contact_email", "nobody of its project has an e-mail address", "Give its manager one in Waldur.")
    return contact, tuple(email for email in everyone if email != contact)[:30]


def _starts(resource: Mapping[str, Any]) -> str:
    order = resource.get("creation_order") or {}
    return (_text(order, "start_date") or _text(resource, "created"))[:10]


def _ends(resource: Mapping[str, Any], wanted: Wanted) -> str:
    for name in ("end_date", "resource_effective_end_date", "project_effective_end_date", "project_end_date"):
        if found := _text(resource, name):
            return found[:10]
    if wanted.until is None:
        raise _Unread("ends", "neither it nor its project has an end", "Say the last day: --until 2027-12-31.")
    return wanted.until.isoformat()


def _text(told: Mapping[str, Any], name: str) -> str:
    value = told.get(name)
    return "" if value is None else " ".join(str(value).split())
