"""The whole application form, section by section.

Every field may be left open, so that a draft half filled is a valid draft; what has to be there before it is sent is
said by the call's `sections` and hanse.programme.completeness. The questions follow the form of the EuroHPC portal as
applicants have described it; they are the programme's data to change.
"""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field

from hanse.contracts.applying import OrganisationKind, Purpose
from hanse.contracts.base import Bytes, Contract, Count, Fraction, Identifier, Positive, Seconds
from hanse.contracts.enterprise import Group

TeamRole = Literal["principal-investigator", "contact", "member", "administrator"]


class ResearchField(Contract):
    """A panel of the ERC's list with its share of the project."""

    panel: str
    share: Fraction


class Project(Contract):
    title: str | None = None
    abstract: str | None = None
    """For the public."""
    case: str | None = None
    """The scientific case, or the technical problem."""
    keywords: tuple[str, ...] = ()
    purpose: Purpose | None = None
    fields: tuple[ResearchField, ...] = ()
    duration_months: Positive | None = None
    starts: date | None = None
    """Wished for; the award says when."""
    track: Literal["academic", "industrial", "public"] | None = None
    continues: str | None = None
    """The code of the project it goes on from; None: it is new."""
    in_eu_project: str | None = None
    """The Horizon Europe or Digital Europe grant it belongs to."""


class Applicant(Contract):
    """Who answers for the project."""

    title: str | None = None
    given_names: str | None = None
    family_name: str | None = None
    email: str | None = None
    phone: str | None = None
    job_title: str | None = None
    employed_until: date | None = None
    """End of the contract of employment; None with `employment_is_permanent`."""
    employment_is_permanent: bool | None = None
    website: str | None = None
    track_record: str | None = None
    """Earlier allocations, patents, actions of the EU, talks."""


class OrganisationDetails(Contract):
    legal_name: str | None = None
    vat_number: str | None = None
    pic: str | None = None
    """The participant identification code of the EU's funding portal, nine digits."""
    address: str | None = None
    department: str | None = None
    head_office_in_europe: bool | None = None
    research_share_in_europe: Fraction | None = None
    """Of its research and development."""
    founded: date | None = None
    start_up_reason: str | None = None
    """Why it counts itself a start-up."""
    group: Group | None = None
    """For the size test."""
    ai_pact: bool | None = None
    """Has signed pledges of the AI Pact."""
    code_of_practice: bool | None = None
    """Has signed the code of practice for general-purpose AI models."""


class TeamMember(Contract):
    name: str
    email: str
    role: TeamRole = "member"
    organisation: str | None = None
    country: str | None = Field(default=None, pattern=r"^[A-Z]{2}$")


class MonthOfUse(Contract):
    """What is meant to be used in the nth month of the allocation."""

    month: Positive
    gpu_hours: Count
    milestone: str = ""


class ScalingPoint(Contract):
    """One size of a scaling study; efficiency is against the smallest size."""

    nodes: Positive
    accelerators: Positive
    tokens_per_s: float = Field(gt=0)
    speed_up: float = Field(gt=0)
    efficiency: float = Field(gt=0)


class Jobs(Contract):
    """What runs, by job. Memory is over all nodes of a job."""

    nodes_largest: Positive | None = None
    nodes_average: Positive | None = None
    accelerators_per_node: Positive | None = None
    cores_per_node: Positive | None = None
    wall_time_s: Positive | None = None
    """Of a typical job."""
    at_once: Positive | None = None
    count: Positive | None = None
    memory_bytes_average: Bytes | None = None
    memory_bytes_largest: Bytes | None = None
    checkpoints: bool | None = None
    checkpoint_every_s: Seconds | None = None


class Storage(Contract):
    scratch_bytes: Bytes | None = None
    scratch_files: Count | None = None
    work_bytes: Bytes | None = None
    archive_bytes: Bytes | None = None
    transfer_bytes: Bytes | None = None
    """To bring in before the first job."""
    why: str | None = None
    io_strategy: str | None = None


class Compute(Contract):
    machine: Identifier | None = None
    partition: str | None = None
    fallbacks: tuple[Identifier, ...] = ()
    """Other machines that would do, best first."""
    gpu_hours: Positive | None = None
    arithmetic: str | None = None
    """How the hours come about."""
    jobs: Jobs = Jobs()
    storage: Storage = Storage()
    by_month: tuple[MonthOfUse, ...] = ()
    scaling: tuple[ScalingPoint, ...] = ()
    scaling_kind: Literal["strong", "weak"] | None = None
    scaling_evidence: str | None = None
    """Measured or predicted, on which machine, and what limits it."""


class Code(Contract):
    name: str
    version: str = ""
    repository: str | None = None
    licence: str | None = None
    ours: str | None = None
    """How the team is linked to it."""


class Workflow(Contract):
    text: str | None = None
    container: bool | None = None
    codes: tuple[Code, ...] = ()
    optimisation_needed: str | None = None
    open_release: str | None = None
    """What of model, method and software will be released, and under which licence."""


class Data(Contract):
    sources: str | None = None
    rights: str | None = None
    personal: bool | None = None
    personal_safeguards: str | None = None
    input_is_open: bool | None = None
    output_will_be_open: bool | None = None


class Support(Contract):
    wanted: bool | None = None
    for_what: str | None = None


class Funding(Contract):
    sources: str | None = None
    collaboration: str | None = None
    """Between industry, research and public bodies."""


class Dissemination(Contract):
    strategy: str | None = None
    after_the_award: str | None = None


class Ethics(Contract):
    """The self-assessment along the requirements for trustworthy AI."""

    human_agency: str | None = None
    privacy_and_data: str | None = None
    fairness: str | None = None
    well_being: str | None = None
    transparency: str | None = None
    accountability: str | None = None


class Reviewers(Contract):
    excluded: tuple[str, ...] = ()
    why: str | None = None


class Declarations(Contract):
    civilian_use_only: bool | None = None
    any_part_confidential: bool | None = None
    confidential_parts: str | None = None
    names_may_be_published: bool | None = None
    """Regulation (EU) 2018/1725; either answer will do."""
    accepts_terms: bool | None = None
    figures_are_true: bool | None = None


class Filled(Contract):
    """A value that came from a plan: kept, so that a change of it can be seen and put back."""

    path: str
    """'compute.gpu_hours'."""
    value: str
    source: str


class WholeForm(Contract):
    """All sections. `filled` says which values came from a plan."""

    schema_version: Literal[1] = 1
    project: Project = Project()
    applicant: Applicant = Applicant()
    organisation: OrganisationDetails = OrganisationDetails()
    team: tuple[TeamMember, ...] = ()
    compute: Compute = Compute()
    workflow: Workflow = Workflow()
    data: Data = Data()
    support: Support = Support()
    funding: Funding = Funding()
    dissemination: Dissemination = Dissemination()
    ethics: Ethics = Ethics()
    reviewers: Reviewers = Reviewers()
    declarations: Declarations = Declarations()
    filled: tuple[Filled, ...] = ()


class Draft(Contract):
    """An application being written: what a file holds, and what becomes an application once it is complete.

    Title, purpose, machine, hours and duration stand in the sections.
    """

    schema_version: Literal[1] = 1
    call: Identifier | None = None
    call_version: Positive | None = None
    """The version it is written for."""
    organisation: str | None = None
    organisation_kind: OrganisationKind | None = None
    country: str | None = Field(default=None, pattern=r"^[A-Z]{2}$")
    contact_email: str | None = None
    answers: dict[Identifier, bool | str | int | float] = Field(default_factory=dict)
    """The gate's questions by id."""
    whole: WholeForm = WholeForm()
