"""Which call suits: every call is held against what is needed, with what speaks for it and what against it.

The first is the suggestion; the others stay, each with its reason why not. A call's own terms are those of
hanse.programme.eligibility; purpose and experience come to them here.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from hanse.contracts.application import Project, WholeForm
from hanse.contracts.applying import OrganisationKind, Purpose
from hanse.contracts.base import Contract, Identifier, Positive, Timestamp
from hanse.contracts.decision import Finding
from hanse.contracts.programme import ApplicationForm, CallTerms
from hanse.programme import eligibility, rounds

Fit = Literal["fits", "a person decides", "does not fit"]
ORDER: tuple[Fit, ...] = ("fits", "a person decides", "does not fit")
PURPOSES: dict[Purpose, str] = {
    "train-ai": "training or adapting a model",
    "benchmark": "measuring how a code scales",
    "develop-code": "developing codes and methods",
    "research": "open research",
    "compete": "a competition",
}
UNKNOWN_MACHINE = "not-chosen-yet"


class Need(Contract):
    """What is known of a project before it has a form."""

    gpu_hours: Positive
    organisation_kind: OrganisationKind
    country: str = Field(pattern=r"^[A-Z]{2}$")
    purpose: Purpose | None = None
    duration_months: Positive | None = None
    """None: as long as the call gives."""
    experience: Literal["new", "some"] | None = None
    machine: Identifier | None = None
    in_eu_project: bool = False


class Route(Contract):
    """One call held against the need."""

    call: Identifier
    title: str
    fit: Fit
    reasons: tuple[str, ...]
    """What speaks for it."""
    why_not: tuple[str, ...]
    """What speaks against it, or asks for a person."""
    change: tuple[str, ...] = ()
    """What would make it fit."""
    cut_off: Timestamp | None = None
    decide_by: Timestamp | None = None
    promise: str = ""


class Suggestion(Contract):
    """All calls, the best first."""

    routes: tuple[Route, ...]

    @property
    def best(self) -> Route | None:
        """The suggestion; None where no call fits, not even with a person's consent."""
        return next((one for one in self.routes if one.fit != "does not fit"), None)


def suggest(need: Need, calls: Iterable[CallTerms], at: datetime) -> Suggestion:
    """The calls in the order in which they suit the need at the moment `at`.

    What fits comes before what a person has to decide; then calls of the right size, the fewest open questions, the
    earliest answer, the smallest call.
    """
    held = [(terms, _route(need, terms, at)) for terms in calls if terms.offered]
    return Suggestion(routes=tuple(route for _, route in sorted(held, key=lambda one: _rank(need, *one))))


def _rank(need: Need, terms: CallTerms, route: Route) -> tuple[int, bool, int, float, float, str]:
    within = terms.min_gpu_hours <= need.gpu_hours <= (terms.max_gpu_hours or need.gpu_hours)
    answer = route.decide_by.astimezone(UTC).timestamp() if route.decide_by else float("inf")
    most = float("inf") if terms.max_gpu_hours is None else float(terms.max_gpu_hours)
    return ORDER.index(route.fit), not within, len(route.why_not), answer, most, terms.id


def _route(need: Need, terms: CallTerms, at: datetime) -> Route:
    findings = [*eligibility.check(_form(need, terms), terms, at.astimezone(UTC).date(), at)]
    if need.machine is None:
        findings = [one for one in findings if one.rule != "call.room"]
    findings += [one for one in (_purpose(need, terms), _experience(need, terms)) if one is not None]
    against = [one for one in findings if one.verdict != "allow"]
    denied = any(one.verdict == "deny" for one in against)
    promise = rounds.promise(terms, at)
    return Route(
        call=terms.id,
        title=terms.title,
        fit="does not fit" if denied else "a person decides" if against else "fits",
        reasons=tuple(one.reason for one in findings if one.verdict == "allow"),
        why_not=tuple(one.reason for one in sorted(against, key=lambda one: one.verdict != "deny")),
        change=tuple(one.what_would_change_it for one in against if one.what_would_change_it),
        cut_off=promise.cut_off,
        decide_by=promise.decide_by,
        promise=promise.sentence,
    )


def _form(need: Need, terms: CallTerms) -> ApplicationForm:
    """The need as a form, so that the call's own checks can read it."""
    whole = WholeForm(project=Project(in_eu_project="yours")) if need.in_eu_project else None
    return ApplicationForm(
        call=terms.id,
        organisation="the applicant",
        organisation_kind=need.organisation_kind,
        country=need.country,
        title="-",
        purpose="-",
        machine=need.machine or UNKNOWN_MACHINE,
        gpu_hours=need.gpu_hours,
        duration_months=need.duration_months or max(terms.durations_months, default=1),
        contact_email="-",
        whole=whole,
    )


def _purpose(need: Need, terms: CallTerms) -> Finding | None:
    if need.purpose is None or not terms.purposes:
        return None
    holds = need.purpose in terms.purposes
    made_for = " or ".join(PURPOSES[one] for one in terms.purposes)
    said = f"It is made for {made_for}" + ("." if holds else f", not for {PURPOSES[need.purpose]}.")
    return eligibility.finding("purpose", holds, terms.sources.get("purposes"), said, "Choose a call for your purpose.")


def _experience(need: Need, terms: CallTerms) -> Finding | None:
    if need.experience is None or terms.experience is None:
        return None
    holds = need.experience == terms.experience
    made_for = "new to supercomputers" if terms.experience == "new" else "used to supercomputers"
    said = f"It is made for those {made_for}."
    change = "Say in the application why it suits you all the same."
    return eligibility.finding("experience", holds, terms.sources.get("experience"), said, change, against="review")
