"""What an officer says about a Waldur, and reading it into an import."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from hanse.client.waldur import Waldur
from hanse.contracts.errors import UsageError
from hanse.contracts.imports import ImportAsked
from hanse.programme import calls
from hanse.programme.imports import waldur


def token(file: Path) -> str:
    """The first line of the file. Raises UsageError where others of this machine can read it."""
    if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UsageError("others can read the token", where=str(file), fix=f"Run: chmod 600 {file}")
    lines = file.read_text("utf-8", errors="replace").split()
    return lines[0] if lines else ""


def wanted(
    *, mode: str, kind: str, country: str, machines: Sequence[str], component: str, unit: str, until: str, source: str
) -> waldur.Wanted:
    """Raises UsageError: an option that cannot be."""
    calls.load(mode)
    places: dict[str, tuple[str, str]] = {}
    for given in machines:
        offering, is_there, place = given.partition("=")
        machine, _, partition = place.partition(":")
        if not (offering and is_there and machine):
            raise UsageError(f"{given} names no machine", where="--machine", fix="Write OFFERING=MACHINE:PARTITION.")
        places[offering] = (machine, partition)
    try:
        last = date.fromisoformat(until) if until else None
    except ValueError:
        raise UsageError(f"{until} is no day", where="--until", fix="Write it like 2027-12-31.") from None
    return waldur.Wanted(
        source=source, mode=mode, organisation_kind=kind, country=country.upper(), machines=places,
        component=component, unit=unit, until=last,
    )  # fmt: skip


def read(url: str, secret: str, asked: waldur.Wanted, *, offering: str = "", whole: bool = False) -> ImportAsked:
    """Everything in use there as an import. Each project and customer is asked for once.

    Raises:
        UsageError: it does not take the token, or there is nothing in use.
        ServiceError: it does not answer as a Waldur does.
    """
    there = Waldur(url, secret)
    try:
        resources = there.resources(waldur.STATES, offering=offering)
        if not resources:
            raise UsageError(
                "no resource there is in use that this token sees", where=there.url, fix="Use a token that sees them."
            )
        customers = {uuid: there.customer(uuid) for uuid in _named(resources, "customer_uuid")}
        users = {uuid: there.users_of_project(uuid) for uuid in _named(resources, "project_uuid")}
    finally:
        there.close()
    seen = [
        waldur.Seen(
            resource=one, customer=customers.get(str(one.get("customer_uuid")), {}),
            users=users.get(str(one.get("project_uuid")), ()),
        )
        for one in resources
    ]  # fmt: skip
    rows, unread = waldur.rows(seen, replace(asked, source=asked.source or there.host.lower()))
    told = json.dumps([row.model_dump(mode="json") for row in rows], sort_keys=True)
    return ImportAsked(
        kind="waldur", name=there.url[:200], sha256=hashlib.sha256(told.encode()).hexdigest(), rows=rows,
        unread=unread, whole=whole, complete=not offering and not unread,
    )  # fmt: skip


def _named(resources: Sequence[object], key: str) -> list[str]:
    return sorted({str(one[key]) for one in resources if isinstance(one, dict) and one.get(key)})
