"""Who may do what: the one table of acts, and the one way to ask it.

An act is answered from the roles a person has towards the thing it is done to. Views, the API and the models ask here;
docs/reference/permissions.md is this table written out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from django.conf import settings

from hanse.contracts.errors import PolicyError

Role = Literal["person", "self", "member", "owner", "operator", "officer", "administrator"]
ROLES: Mapping[Role, str] = {
    "person": "anybody who is signed in",
    "self": "the person it is about",
    "member": "whoever stands in the organisation it belongs to, in whichever role",
    "owner": "an owner of that organisation",
    "operator": "an operator of the organisation that hosts the machine",
    "officer": "an officer of the programme",
    "administrator": "an administrator of the service; an officer too",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Who may, who may not although they could, and what the others are told."""

    may: frozenset[Role]
    refused: str
    ask: str
    never: frozenset[Role] = frozenset()
    """Roles that shut out, whatever else one is; not on a service embedded for one user."""


def _rule(*may: Role, refused: str, ask: str, never: tuple[Role, ...] = ()) -> Rule:
    return Rule(may=frozenset(may), refused=refused, ask=ask, never=frozenset(never))


_OWNER = "ask one of its owners"
_OFFICER = "ask an officer of this service"
ACTS: Mapping[str, Rule] = {
    "application:see": _rule("member", "officer", refused="only its organisation and officers see it", ask=_OFFICER),
    "application:decide": _rule(
        "officer", never=("member",), refused="only an officer who does not stand in the organisation decides on it",
        ask="ask another officer of this service",
    ),
    "programme:run": _rule("officer", refused="only a programme officer decides applications", ask=_OFFICER),
    "call:publish": _rule("officer", refused="only an officer publishes calls", ask=_OFFICER),
    "run:see": _rule("member", refused="only its organisation sees it", ask=_OWNER),
    "allocation:see": _rule("member", refused="only its organisation sees it", ask=_OWNER),
    "machine:operate": _rule(
        "operator", "officer", refused="only an operator of its site or an officer operates it",
        ask="ask an operator of its site",
    ),
    "organisation:see-people": _rule(
        "member", "administrator", refused="only its people see who stands in it", ask=_OWNER
    ),
    "organisation:operate": _rule("operator", refused="only its operators run its machines", ask=_OWNER),
    "organisation:change-people": _rule(
        "owner", "administrator", refused="only its owners invite, change and remove people", ask=_OWNER
    ),
    "organisation:see-views": _rule(
        "owner", "officer", refused="only its owners and officers see who looked at its data", ask=_OWNER
    ),
    "service:see-views": _rule("officer", refused="only an officer sees who looked at what", ask=_OFFICER),
    "service:see-mail": _rule("officer", refused="only an officer sees mail that did not leave", ask=_OFFICER),
    "person:see-data": _rule("self", refused="only the person sees all that is kept about them", ask="sign in as them"),
    "person:erase": _rule(
        "self", "administrator", refused="only the person or an administrator has them erased",
        ask="ask an administrator",
    ),
}  # fmt: skip


def roles(person: Any, thing: Any = None) -> frozenset[Role]:
    """What the person is towards the thing. `thing` is an organisation, or what belongs to one, or a person."""
    if person is None or not person.is_authenticated or not person.is_active:
        return frozenset()
    found: set[Role] = {"person"}
    if person.is_officer:
        found.add("officer")
    if person.is_superuser:
        found |= {"officer", "administrator", "operator"}
    if thing is not None and type(thing) is type(person):
        return frozenset(found | ({"self"} if thing.pk == person.pk else set()))
    organisation = organisation_of(thing)
    if organisation is not None:
        held = person.roles_in(organisation)
        found |= held & {"owner", "operator"} | ({"member"} if held else set())
    return frozenset(found)


_STEPS = ("organisation", "project", "application", "award", "allocation", "screening", "leg", "run", "site", "machine")
"""Nearest first: an attempt belongs to its run's organisation and not to its machine's."""


def organisation_of(thing: Any) -> Any:
    """The organisation it belongs to: its applicant's, its project's, or the host of its site. None for none."""
    if thing is None or hasattr(thing, "memberships"):
        return thing
    for step in _STEPS:
        if (further := getattr(thing, step, None)) is not None:
            return organisation_of(further)
    return None


def may(person: Any, act: str, thing: Any = None) -> bool:
    rule, held = ACTS[act], roles(person, thing)
    shut_out = rule.never & held and not settings.HANSE_EMBEDDED
    return bool(rule.may & held) and not shut_out


def require(person: Any, act: str, thing: Any = None) -> None:
    """Nothing, or PolicyError with the rule and whom to ask."""
    if not may(person, act, thing):
        rule = ACTS[act]
        raise PolicyError(rule.refused, where=str(getattr(thing, "public_id", "")), fix=rule.ask)
