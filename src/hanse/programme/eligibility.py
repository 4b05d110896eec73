"""Whether a call admits an application: one finding for each of its terms, in plain words, with the term's source.

A term known only from a single or a contradicted report may ask for a person; it never refuses by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Literal

from hanse.contracts.decision import Finding, Verdict
from hanse.contracts.programme import ApplicationForm, CallTerms, Dated, OrganisationKind
from hanse.programme import countries, enterprise, rounds

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


def check(form: ApplicationForm, terms: CallTerms, on: date, at: datetime | None = None) -> tuple[Finding, ...]:
    """What the call's terms say of the form, as of the day `on`; one finding per term, in the order they are read.

    With the moment `at` beside it, a cut-off that is past by a minute is past.
    """
    always = (
        _dates(terms, on, at), _kind(form, terms), _country(form), _hours(form, terms), _duration(form, terms),
    )  # fmt: skip
    sometimes = (_round(terms, on, at), _room(form, terms), _eu_project(form, terms), _size(form))
    return (*always, *(one for one in sometimes if one is not None))


def finding(
    term: str, holds: bool, source: Dated | None, reason: str, change: str = "", *, against: Verdict = "deny"
) -> Finding:
    """One term as a finding. What is known only uncertainly never denies: a person decides."""
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


def _dates(terms: CallTerms, on: date, at: datetime | None) -> Finding:
    change = "Choose a call that is open."
    if not terms.offered:
        said = f"{terms.title} is kept as a pattern only."
        return finding("dates", False, terms.sources.get("opens"), said, change)
    if on < terms.opens:
        said = f"{terms.title} opens on {_day(terms.opens)}."
        return finding("dates", False, terms.sources.get("opens"), said, f"Apply from {_day(terms.opens)} on.")
    if terms.closes is not None and on > terms.closes:
        said = f"{terms.title} closed on {_day(terms.closes)}."
        return finding("dates", False, terms.sources.get("closes"), said, change)
    closing = rounds.closing(terms)
    if closing is not None and at is not None and at.astimezone(UTC) > closing.astimezone(UTC):
        said = f"{terms.title} closed on {rounds.spoken(closing)}."
        return finding("dates", False, terms.sources.get("closes"), said, change)
    until = f"until {_day(terms.closes)}" if terms.closes else "without a closing date"
    return finding("dates", True, terms.sources.get("opens"), f"{terms.title} is open, {until}.")


def _round(terms: CallTerms, on: date, at: datetime | None) -> Finding | None:
    """Of a call with rounds: whether one is known that is still to close."""
    if not terms.offered or not rounds.in_rounds(terms):
        return None
    known = next(rounds.cut_offs(terms, on), None) if at is None else rounds.next_cut_off(terms, at)
    source = terms.sources.get("cut_offs") or terms.sources.get("cut_off_rule")
    if known is not None:
        return finding("round", True, source, f"The next round closes on {rounds.spoken(known)}.")
    said = "No cut-off to come is known, so an officer says which round this falls into."
    return finding("round", False, source, said, "Ask when the next round closes.", against="review")


def _room(form: ApplicationForm, terms: CallTerms) -> Finding | None:
    """Whether the machine asked for is among those of which it is said that the call has room there."""
    if not terms.rooms:
        return None
    held = [room for room in terms.rooms if room.machine == form.machine]
    offered = _listed(tuple(sorted({room.machine for room in terms.rooms if room.offered})) or ("no machine",))
    as_of = max(room.as_of for room in terms.rooms)
    if any(room.offered for room in held):
        return finding(
            "room", True, terms.sources.get("rooms"), f"The call had room on {form.machine} on {_day(as_of)}."
        )
    said = f"On {_day(as_of)} the call had room on {offered}, not on {form.machine}. An officer knows how it is today."
    change = f"Ask for {offered}, or hear from an officer that {form.machine} has room."
    return finding("room", False, terms.sources.get("rooms"), said, change, against="review")


def _eu_project(form: ApplicationForm, terms: CallTerms) -> Finding | None:
    if form.organisation_kind not in terms.only_in_eu_project:
        return None
    source, kind = terms.sources.get("only_in_eu_project"), KINDS[form.organisation_kind]
    grant = form.whole.project.in_eu_project if form.whole else None
    if grant:
        return finding("eu-project", True, source, f"It belongs to the EU project {grant}.")
    said = f"The call takes {kind} only inside a project of Horizon Europe or Digital Europe; none is named."
    return finding("eu-project", False, source, said, "Name the grant (project, in_eu_project).", against="review")


def _size(form: ApplicationForm) -> Finding | None:
    """Whether the figures of the self-assessment agree with what the applicant calls itself."""
    group = form.whole.organisation.group if form.whole else None
    if group is None or form.organisation_kind not in ("sme", "start-up"):
        return None
    result = enterprise.assess(group)
    said = f"By its own figures, with those it is tied to, {form.organisation} is {enterprise.article(result.size)}."
    if result.is_sme and not result.open_questions:
        return finding("size", True, enterprise.DEFINITION, said)
    if result.is_sme:
        return finding(
            "size", False, enterprise.DEFINITION, f"{said} {result.open_questions[0]}", "Clear that up.",
            against="review",
        )  # fmt: skip
    # What makes a start-up was not read, so its size alone does not refuse it.
    against: Verdict = "deny" if form.organisation_kind == "sme" else "review"
    change = "Apply as what the figures say, or correct them: 'hanse apply' shows the calculation line by line."
    return finding("size", False, enterprise.DEFINITION, said, change, against=against)


def _kind(form: ApplicationForm, terms: CallTerms) -> Finding:
    holds = form.organisation_kind in terms.who
    admitted = _listed(tuple(KINDS[kind] for kind in terms.who))
    said = f"{terms.title} is for {admitted}" + ("." if holds else f", not for {KINDS[form.organisation_kind]}.")
    return finding("organisation-kind", holds, terms.sources.get("who"), said, "Choose a call for your kind.")


def _country(form: ApplicationForm) -> Finding:
    known = countries.load()
    group = known.group_of(form.country)
    if group is None:
        said = (
            f"{form.country} is neither in the European Union, nor does it take part in EuroHPC, nor is it listed as "
            "associated to the EU's programmes."
        )
        change = "Apply with a partner established in one of these, or show that the country has joined."
        return finding("country", False, known.rule, said, change)
    holds = group.verdict == "allow"
    said = f"{form.country} is {group.title}." + ("" if holds else " Whether the call admits it, an officer decides.")
    change = "Official proof that organisations of this country are admitted."
    return finding("country", holds, group.source, said, change, against=group.verdict)


def _hours(form: ApplicationForm, terms: CallTerms) -> Finding:
    asked = f"{form.gpu_hours:,} GPU-hours are asked"
    if terms.max_gpu_hours is None:
        said = f"{asked}; how many this call gives at most is not known, so an officer decides."
        change = "Hear from an officer how many there are."
        return finding("gpu-hours", False, terms.sources.get("max_gpu_hours"), said, change, against="review")
    if form.gpu_hours > terms.max_gpu_hours:
        said = f"{asked}; this call gives at most {terms.max_gpu_hours:,}."
        change = f"Ask for {terms.max_gpu_hours:,} or less, or choose a larger call."
        return finding("gpu-hours", False, terms.sources.get("max_gpu_hours"), said, change)
    if form.gpu_hours < terms.min_gpu_hours:
        said = f"{asked}; this call begins at {terms.min_gpu_hours:,}."
        change = f"Ask for {terms.min_gpu_hours:,} or more, or choose a smaller call."
        return finding("gpu-hours", False, terms.sources.get("min_gpu_hours"), said, change)
    said = f"{asked}, within this call's {terms.max_gpu_hours:,}."
    return finding("gpu-hours", True, terms.sources.get("max_gpu_hours"), said)


def _duration(form: ApplicationForm, terms: CallTerms) -> Finding:
    if not terms.durations_months:
        source = terms.sources.get("durations_months")
        return finding("duration", True, source, "How long this call's awards last is not laid down.")
    holds = form.duration_months in terms.durations_months
    allowed = _listed(tuple(str(months) for months in terms.durations_months), "or")
    unit = "month" if terms.durations_months == (1,) else "months"
    said = f"This call lasts {allowed} {unit}" + ("." if holds else f", not {form.duration_months}.")
    return finding("duration", holds, terms.sources.get("durations_months"), said, f"Ask for {allowed} {unit}.")


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


def _listed(words: tuple[str, ...], last: str = "and") -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"
