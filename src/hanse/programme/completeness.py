"""What an application still lacks, and what in it cannot be: each with its section and field.

A draft may lack anything; what is wrong is wrong in a draft too. What has to be there is what the call's `sections`
name, and what a given answer entails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Any, Literal

from hanse.contracts.application import Draft, WholeForm
from hanse.contracts.applying import SECTIONS, SectionName
from hanse.contracts.base import Contract, Positive, Timestamp
from hanse.contracts.decision import Finding
from hanse.contracts.errors import UsageError
from hanse.contracts.programme import CallTerms
from hanse.programme import clock, countries, formats

EMPLOYED_MONTHS_AFTER = 3
"""The principal investigator's contract lasts so long beyond the award (EuroHPC's regular access, read at PRACE)."""


class Gap(Contract):
    """One thing to see to. `field` is its path in the draft, as 'whole.compute.gpu_hours'."""

    section: str
    field: str
    message: str
    kind: Literal["missing", "wrong"]


class DraftAnswer(Contract):
    """What is said of a draft: what it lacks, what its call would find once nothing is lacking, and the promise."""

    call_version: Positive | None = None
    gaps: tuple[Gap, ...] = ()
    findings: tuple[Finding, ...] = ()
    cut_off: Timestamp | None = None
    decide_by: Timestamp | None = None
    promise: str = ""


BASICS: Mapping[str, str] = {
    "call": "which call it is for",
    "organisation": "the organisation's name",
    "organisation_kind": "what kind of organisation it is",
    "country": "the country it is established in",
    "contact_email": "where the decision is sent",
}
ALWAYS: Mapping[str, str] = {
    "project.title": "the project's title",
    "project.abstract": "what it is for, in a few sentences for the public",
    "project.duration_months": "for how many months",
    "compute.machine": "which machine",
    "compute.gpu_hours": "how many GPU-hours",
}
"""What every call asks, the short form too."""
REQUIRED: Mapping[SectionName, Mapping[str, str]] = {
    "project": {
        "project.case": "the scientific case or the technical problem",
        "project.keywords": "a few keywords",
        "project.purpose": "what kind of work it is",
        "project.track": "academic, industrial or public",
        "project.fields": "the research fields with their shares",
    },
    "applicant": {
        "applicant.given_names": "the principal investigator's given names",
        "applicant.family_name": "the principal investigator's family name",
        "applicant.email": "an e-mail address at the institution",
        "applicant.job_title": "the job title",
        "applicant.employment_is_permanent": "whether the employment is permanent",
        "applicant.track_record": "the track record",
    },
    "organisation": {
        "organisation.legal_name": "the legal name",
        "organisation.address": "the address",
        "organisation.head_office_in_europe": "whether the head office is in Europe",
    },
    "team": {"team": "at least one person of the team"},
    "compute": {
        "compute.arithmetic": "how the GPU-hours come about",
        "compute.jobs.nodes_largest": "nodes of the largest job",
        "compute.jobs.accelerators_per_node": "accelerators a job uses of a node",
        "compute.jobs.wall_time_s": "the wall time of a typical job",
        "compute.jobs.at_once": "how many jobs run at once",
        "compute.jobs.memory_bytes_largest": "memory of the largest job",
        "compute.jobs.checkpoints": "whether checkpoints are written",
        "compute.storage.scratch_bytes": "storage",
        "compute.storage.why": "why so much storage",
        "compute.by_month": "the use month by month",
        "compute.scaling_evidence": "evidence that it scales",
    },
    "workflow": {
        "workflow.text": "the workflow",
        "workflow.container": "whether it runs in a container",
        "workflow.codes": "the codes that are used",
    },
    "data": {
        "data.sources": "where the data comes from",
        "data.rights": "by what right it is used",
        "data.personal": "whether personal data is among it",
        "data.output_will_be_open": "whether the output will be open",
    },
    "support": {"support.wanted": "whether help of a support team is wanted"},
    "funding": {"funding.sources": "how the project is paid for"},
    "dissemination": {"dissemination.strategy": "how the results are made known"},
    "ethics": {
        "ethics.human_agency": "human agency and oversight",
        "ethics.privacy_and_data": "privacy and data governance",
        "ethics.fairness": "fairness and bias",
        "ethics.well_being": "individual, social and environmental well-being",
        "ethics.transparency": "transparency",
        "ethics.accountability": "accountability",
    },
    "reviewers": {},
    "declarations": {
        "declarations.civilian_use_only": "that it serves civilian purposes only",
        "declarations.any_part_confidential": "whether a part is confidential",
        "declarations.names_may_be_published": "whether names may be published",
        "declarations.accepts_terms": "that the call's terms are accepted",
        "declarations.figures_are_true": "that the statements are true",
    },
}


def gaps(draft: Draft, terms: CallTerms | None) -> tuple[Gap, ...]:
    """What the draft lacks for the call, and what in it is wrong, in the order of the form."""
    found = [*_missing(draft, terms), *_wrong(draft, terms)]
    order = ["", *SECTIONS.values()]
    return tuple(sorted(found, key=lambda gap: order.index(gap.section) if gap.section in order else 0))


def require(draft: Draft, terms: CallTerms | None, *, where: str) -> None:
    """Nothing where the draft is complete.

    Raises:
        UsageError: the first gap by section and field, how many follow, and all of them as history.
    """
    found = gaps(draft, terms)
    if not found:
        return
    first, further = found[0], len(found) - 1
    more = f" {further} more after this one." if further else ""
    raise UsageError(
        f"{first.section}: {first.message}",
        where=f"{where}: {first.field}" if where else first.field,
        fix=f"Complete the section {first.section}.{more}" if first.kind == "missing" else f"Correct it.{more}",
    )


def value(draft: Draft, path: str) -> Any:
    """What stands at a path of the draft's sections ('compute.jobs.at_once')."""
    found: Any = draft.whole
    for part in path.split("."):
        found = getattr(found, part)
    return found


def section_of(path: str) -> str:
    """The title of the section a path belongs to."""
    name = path.split(".")[0]
    return next((title for section, title in SECTIONS.items() if section == name), "Application")


def _lacks(found: Any) -> bool:
    return found is None or found in ("", ()) or (isinstance(found, str) and not found.strip())


def _missing(draft: Draft, terms: CallTerms | None) -> Iterator[Gap]:
    for name, words in BASICS.items():
        if _lacks(getattr(draft, name)):
            yield Gap(section="Application", field=name, message=f"Missing: {words}.", kind="missing")
    wanted = dict(ALWAYS)
    for section in terms.sections if terms else ():
        wanted |= REQUIRED[section]
    wanted |= _entailed(draft, terms)
    for path, words in wanted.items():
        if _lacks(value(draft, path)):
            said = f"Missing: {words}."
            yield Gap(section=section_of(path), field=f"whole.{path}", message=said, kind="missing")


def _entailed(draft: Draft, terms: CallTerms | None) -> dict[str, str]:
    """What a given answer asks for beside it."""
    whole, more = draft.whole, {}
    sections = terms.sections if terms else ()
    if whole.data.personal:
        more["data.personal_safeguards"] = "how personal data is protected"
    if whole.declarations.any_part_confidential:
        more["declarations.confidential_parts"] = "which parts are confidential"
    if whole.applicant.employment_is_permanent is False:
        more["applicant.employed_until"] = "until when the employment lasts"
    if whole.support.wanted:
        more["support.for_what"] = "what help is wanted for"
    if whole.reviewers.excluded:
        more["reviewers.why"] = "why these reviewers are excluded"
    if "organisation" in sections and draft.organisation_kind in ("sme", "start-up", "large"):
        more["organisation.vat_number"] = "the VAT number"
    if "organisation" in sections and draft.organisation_kind in ("sme", "start-up"):
        more["organisation.group"] = "the figures for the size test, with partners and linked enterprises"
    if "organisation" in sections and draft.organisation_kind == "start-up":
        more["organisation.founded"] = "when it was founded"
        more["organisation.start_up_reason"] = "why it counts itself a start-up"
    return more


def _wrong(draft: Draft, terms: CallTerms | None) -> Iterator[Gap]:
    for path, message in _checks(draft):
        yield Gap(section=section_of(path), field=f"whole.{path}", message=message, kind="wrong")
    if draft.contact_email:
        for message in _refused(formats.email, draft.contact_email):
            yield Gap(section="Application", field="contact_email", message=message, kind="wrong")
    if terms is not None and draft.call_version is not None and draft.call_version != terms.version:
        said = f"It was written for version {draft.call_version} of {terms.title}, which is at version {terms.version}."
        yield Gap(section="Application", field="call_version", message=said, kind="wrong")


def _checks(draft: Draft) -> Iterator[tuple[str, str]]:
    whole = draft.whole
    organisation = whole.organisation
    if organisation.vat_number and draft.country:
        country = draft.country
        for message in _refused(lambda number: formats.vat(number, country), organisation.vat_number):
            yield "organisation.vat_number", message
    if organisation.pic:
        for message in _refused(formats.pic, organisation.pic):
            yield "organisation.pic", message
    if organisation.group is not None and not _own_accounts(whole):
        yield "organisation.group", f"{organisation.group.applicant} has no accounts, not even an estimate."
    if whole.applicant.email:
        for message in _refused(formats.email, whole.applicant.email):
            yield "applicant.email", message
    yield from _project(whole)
    yield from _team(whole)
    yield from _months(whole)
    if whole.declarations.civilian_use_only is False:
        yield "declarations.civilian_use_only", "The programme serves civilian purposes only."
    if whole.declarations.accepts_terms is False:
        yield "declarations.accepts_terms", "The call's terms have to be accepted."
    if whole.declarations.figures_are_true is False:
        yield "declarations.figures_are_true", "The statements have to be true."


def _refused(check: Callable[[str], str], text: str) -> Iterator[str]:
    try:
        check(text)
    except ValueError as error:
        yield str(error)


def _own_accounts(whole: WholeForm) -> bool:
    group = whole.organisation.group
    return group is not None and any(one.id == group.applicant and one.accounts for one in group.enterprises)


def _project(whole: WholeForm) -> Iterator[tuple[str, str]]:
    project, until = whole.project, whole.applicant.employed_until
    total = sum(round(one.share * 10_000) for one in project.fields)
    if total > 10_000:
        yield "project.fields", f"The shares of the research fields come to {total / 100:g} %, more than 100 %."
    if until and project.starts and project.duration_months:
        needed = clock.add_months(project.starts, project.duration_months + EMPLOYED_MONTHS_AFTER)
        if until < needed:
            said = (
                f"The employment ends on {_day(until)}; it has to last {EMPLOYED_MONTHS_AFTER} months beyond the award"
            )
            yield "applicant.employed_until", f"{said}, until {_day(needed)}."


def _team(whole: WholeForm) -> Iterator[tuple[str, str]]:
    emails = [one.email.lower() for one in whole.team]
    for index, one in enumerate(whole.team):
        path = "team"
        for message in _refused(formats.email, one.email):
            yield path, f"{one.name}: {message}"
        if one.email.lower() in emails[:index]:
            yield path, f"{one.email} stands there twice."
        if one.country and countries.load().group_of(one.country) is None:
            yield path, f"{one.name}: {one.country} is in none of the groups of countries that are admitted."
    leaders = sum(one.role == "principal-investigator" for one in whole.team)
    if leaders > 1:
        yield "team", f"{leaders} persons are called principal investigator; there is one."


def _months(whole: WholeForm) -> Iterator[tuple[str, str]]:
    compute, duration = whole.compute, whole.project.duration_months
    if not compute.by_month:
        return
    months = [one.month for one in compute.by_month]
    if months != sorted(set(months)):
        yield "compute.by_month", "The months are not in order, or one stands there twice."
    if duration and max(months) > duration:
        yield "compute.by_month", f"Month {max(months)} lies after the {duration} months that are asked for."
    total = sum(one.gpu_hours for one in compute.by_month)
    if compute.gpu_hours and total != compute.gpu_hours:
        said = f"The months come to {total:,} GPU-hours, and {compute.gpu_hours:,} are asked for."
        yield "compute.by_month", said


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"
