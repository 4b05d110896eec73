"""Whether a call admits an application: one finding for each of its terms, in plain words, with the term's source.

A term known only from a single or a contradicted report may ask for a person; it never refuses by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Literal

from hanse.contracts.decision import Finding, Verdict
from hanse.contracts.programme import ApplicationForm, CallTerms, Dated, OrganisationKind
from hanse.programme import countries

Confidence = Literal["read", "secondary", "unread"]
CONFIDENCE: Mapping[str, Confidence] = {
    "official": "read",
    "secondary": "secondary",
    "single-report": "unread",
    "conflicting": "unread",
}
KINDS: Mapping[OrganisationKind, str] = {
    "start-up": "start-ups",
    "sme": "small and medium-sized enterprises",
    "large": "large companies",
    "university": "universities",
    "research": "research organisations",
    "public": "public bodies",
    "other": "other organisations",
}


def check(form: ApplicationForm, terms: CallTerms, on: date) -> tuple[Finding, ...]:
    """What the call's terms say of the form, as of the day `on`; one finding per term, in the order they are read."""
    return (_dates(terms, on), _kind(form, terms), _country(form), _hours(form, terms), _duration(form, terms))


def _finding(
    term: str, holds: bool, source: Dated | None, reason: str, change: str = "", *, against: Verdict = "deny"
) -> Finding:
    confidence = CONFIDENCE[source.confidence] if source else "read"
    verdict: Verdict = "allow" if holds else against
    if verdict == "deny" and confidence == "unread":
        verdict = "review"
        reason += " We know this term from an uncertain report only, so a person decides."
    return Finding(
        rule=f"call.{term}",
        verdict=verdict,
        reason=reason,
        citation=f"{source.url} (looked at on {source.checked_on.isoformat()})" if source else "the call's terms",
        confidence=confidence,
        what_would_change_it="" if holds else change,
    )


def _dates(terms: CallTerms, on: date) -> Finding:
    if on < terms.opens:
        said = f"{terms.title} opens on {_day(terms.opens)}."
        return _finding("dates", False, terms.sources.get("opens"), said, f"Apply from {_day(terms.opens)} on.")
    if terms.closes is not None and on > terms.closes:
        said = f"{terms.title} closed on {_day(terms.closes)}."
        return _finding("dates", False, terms.sources.get("closes"), said, "Choose a call that is open.")
    until = f"until {_day(terms.closes)}" if terms.closes else "without a closing date"
    return _finding("dates", True, terms.sources.get("opens"), f"{terms.title} is open, {until}.")


def _kind(form: ApplicationForm, terms: CallTerms) -> Finding:
    holds = form.organisation_kind in terms.who
    admitted = _listed(tuple(KINDS[kind] for kind in terms.who))
    said = f"{terms.title} is for {admitted}" + ("." if holds else f", not for {KINDS[form.organisation_kind]}.")
    return _finding("organisation-kind", holds, terms.sources.get("who"), said, "Choose a call for your kind.")


def _country(form: ApplicationForm) -> Finding:
    known = countries.load()
    group = known.group_of(form.country)
    if group is None:
        said = (
            f"{form.country} is neither in the European Union, nor does it take part in EuroHPC, nor is it listed as "
            "associated to the EU's programmes."
        )
        change = "Apply with a partner established in one of these, or show that the country has joined."
        return _finding("country", False, known.rule, said, change)
    holds = group.verdict == "allow"
    said = f"{form.country} is {group.title}." + ("" if holds else " Whether the call admits it, an officer decides.")
    change = "Official proof that organisations of this country are admitted."
    return _finding("country", holds, group.source, said, change, against=group.verdict)


def _hours(form: ApplicationForm, terms: CallTerms) -> Finding:
    asked = f"{form.gpu_hours:,} GPU-hours are asked"
    if form.gpu_hours > terms.max_gpu_hours:
        said = f"{asked}; this call gives at most {terms.max_gpu_hours:,}."
        change = f"Ask for {terms.max_gpu_hours:,} or less, or choose a larger call."
        return _finding("gpu-hours", False, terms.sources.get("max_gpu_hours"), said, change)
    if form.gpu_hours < terms.min_gpu_hours:
        said = f"{asked}; this call begins at {terms.min_gpu_hours:,}."
        change = f"Ask for {terms.min_gpu_hours:,} or more, or choose a smaller call."
        return _finding("gpu-hours", False, terms.sources.get("min_gpu_hours"), said, change)
    said = f"{asked}, within this call's {terms.max_gpu_hours:,}."
    return _finding("gpu-hours", True, terms.sources.get("max_gpu_hours"), said)


def _duration(form: ApplicationForm, terms: CallTerms) -> Finding:
    holds = form.duration_months in terms.durations_months
    allowed = _listed(tuple(str(months) for months in terms.durations_months), "or")
    unit = "month" if terms.durations_months == (1,) else "months"
    said = f"This call lasts {allowed} {unit}" + ("." if holds else f", not {form.duration_months}.")
    return _finding("duration", holds, terms.sources.get("durations_months"), said, f"Ask for {allowed} {unit}.")


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


def _listed(words: tuple[str, ...], last: str = "and") -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"
