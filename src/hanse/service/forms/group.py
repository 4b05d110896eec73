"""The group of enterprises as two lists of rows, and back: names instead of ids, two years of accounts in a row."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from hanse.contracts.enterprise import Group

FIGURES = ("staff", "turnover_eur", "balance_sheet_eur")


class NotWhole(ValueError):  # noqa: N818 - it states what is so
    """The rows do not make a group. `message` is a text to translate, into which `values` go."""

    def __init__(self, path: str, message: str, **values: Any) -> None:
        super().__init__(message)
        self.path, self.message, self.values = f"whole.organisation.group.{path}", message, values


def asked(group: Group | None) -> dict[str, Any] | None:
    """The rows; what they do not ask for (who is in whose consolidated accounts) stays with the row."""
    if group is None:
        return None
    ordered = sorted(group.enterprises, key=lambda one: one.id != group.applicant)
    names = {one.id: one.name or one.id for one in ordered}
    enterprises = []
    for one in ordered:
        row: dict[str, Any] = {"name": names[one.id], "kind": one.kind}
        if one.consolidated_in is not None:
            row["consolidated_in"] = names[one.consolidated_in]
        if not one.same_market:
            row["same_market"] = False
        accounts = sorted(one.accounts, key=lambda each: each.year)
        if accounts:
            row |= accounts[-1].model_dump()
        if len(accounts) > 1 and accounts[-2].year == accounts[-1].year - 1:
            row |= {f"before_{key}": getattr(accounts[-2], key) for key in FIGURES}
        enterprises.append(row)
    ties = [
        {**tie.model_dump(), "owner": names[tie.owner], "owned": names[tie.owned]}
        for tie in group.ties
    ]  # fmt: skip
    return {"enterprises": enterprises, "ties": ties}


def made(rows: Mapping[str, Any], before: Group | None = None) -> dict[str, Any] | None:
    """The group's data from its rows; None where there are none. Accounts older than the two years asked for stay.

    Raises:
        NotWhole: a row lacks its name or figures, or names one that is not described.
    """
    held = {(one.name or one.id).casefold(): one for one in before.enterprises} if before else {}
    enterprises: list[dict[str, Any]] = []
    ids: dict[str, str] = {}
    for number, row in enumerate(rows.get("enterprises") or (), start=1):
        name = str(row.get("name") or "").strip()
        if not name:
            raise NotWhole("enterprises", "Row %(number)s has no name.", number=number)
        if name.casefold() in ids:
            raise NotWhole("enterprises", "%(name)s stands there twice.", name=name)
        ids[name.casefold()] = f"e{number}"
        accounts = _accounts(row, name)
        old = held.get(name.casefold())
        if old is not None and accounts:
            first = accounts[0]["year"]
            accounts = [*(json.loads(one.to_json()) for one in old.accounts if one.year < first - 1), *accounts]
        same = row.get("same_market") is not False
        enterprises.append({
            "id": f"e{number}", "name": name, "kind": row.get("kind") or "enterprise", "accounts": accounts,
            "same_market": same,
        })  # fmt: skip
    if not enterprises:
        if rows.get("ties"):
            raise NotWhole("ties", "Describe the enterprises first.")
        return None
    for one, row in zip(enterprises, rows["enterprises"], strict=True):
        within = str(row.get("consolidated_in") or "").strip()
        if within and within.casefold() not in ids:
            raise NotWhole("enterprises", "%(name)s is not among the enterprises.", name=within)
        one["consolidated_in"] = ids[within.casefold()] if within else None
    ties = []
    for number, tie in enumerate(rows.get("ties") or (), start=1):
        ends = {}
        for end in ("owner", "owned"):
            name = re.sub(r"\s+", " ", str(tie.get(end) or "")).strip()
            if name.casefold() not in ids:
                raise NotWhole("ties", "Row %(number)s: %(name)s is not among the enterprises.", number=number,
                               name=name or "?")  # fmt: skip
            ends[end] = ids[name.casefold()]
        if ends["owner"] == ends["owned"]:
            raise NotWhole("ties", "Row %(number)s: an enterprise cannot hold itself.", number=number)
        more = {key: tie[key] for key in ("capital", "votes", "controls") if tie.get(key) is not None}
        if any(more.get(key, 0) > 1 for key in ("capital", "votes")):
            raise NotWhole("ties", "Row %(number)s: a share is at most 100 %%.", number=number)
        ties.append({**ends, **more})
    return {"applicant": "e1", "enterprises": enterprises, "ties": ties}


def _accounts(row: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """One or two closed periods; none where no figure stands there."""
    latest = {key: row.get(key) for key in FIGURES}
    if all(value is None for value in latest.values()) and row.get("year") is None:
        return []
    if row.get("year") is None or any(value is None for value in latest.values()):
        raise NotWhole("enterprises", "%(name)s: give the year with staff, turnover and balance sheet.", name=name)
    if not 1900 <= row["year"] <= 2200:
        raise NotWhole("enterprises", "%(name)s: write the year as 2025.", name=name)
    accounts = [{"year": row["year"], **latest}]
    before = {key: row.get(f"before_{key}") for key in FIGURES}
    given = [value for value in before.values() if value is not None]
    if given and len(given) < len(FIGURES):
        raise NotWhole("enterprises", "%(name)s: give all three figures of the year before, or none.", name=name)
    return [{"year": row["year"] - 1, **before}, *accounts] if given else accounts
