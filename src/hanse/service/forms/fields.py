"""The form as data: which fields stand in which section, how each is asked, and in which unit it is typed.

Paths are those of the contract Draft; labels and hints are translated. What has to be there is no business of this
module: hanse.programme.completeness says that for each call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from django.utils.translation import gettext_lazy as _

Kind = Literal["text", "area", "email", "whole", "scaled", "yes-no", "choice", "date", "words", "lines", "rows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One question. `scale` is how many of the contract's unit make one of `unit` (10**12 bytes a TB)."""

    path: str
    label: Any
    kind: Kind = "text"
    hint: Any = ""
    unit: Any = ""
    scale: float = 1
    choices: tuple[tuple[str, Any], ...] = ()
    rows: tuple[Field, ...] = ()
    """Of each row; their paths are keys in it."""


TB, GB = 10**12, 10**9
KINDS = (
    ("start-up", _("Start-up")), ("sme", _("Small or medium-sized enterprise (SME)")), ("large", _("Large enterprise")),
    ("university", _("University")), ("research", _("Research institution")), ("public", _("Public body")),
    ("other", _("Other")),
)  # fmt: skip
PURPOSES = (
    ("train-ai", _("Train or adapt a model for a product or service")),
    ("benchmark", _("Measure how a code scales")), ("develop-code", _("Develop codes and methods")),
    ("research", _("Open research, with AI or without")), ("compete", _("Take part in a competition")),
)  # fmt: skip
TRACKS = (("academic", _("Academic")), ("industrial", _("Industrial")), ("public", _("Public")))
ROLES = (
    ("member", _("Member")), ("principal-investigator", _("Principal investigator")), ("contact", _("Contact person")),
    ("administrator", _("Administrator")),
)  # fmt: skip
SCALINGS = (("strong", _("Strong: the same problem on more nodes")), ("weak", _("Weak: a problem that grows")))
ENTERPRISES = (
    ("enterprise", _("Enterprise")), ("person", _("Person")), ("public-body", _("Public body")),
    ("public-investment", _("Public investment corporation")), ("venture-capital", _("Venture capital company")),
    ("business-angel", _("Business angel")), ("university", _("University or non-profit research centre")),
    ("institutional-investor", _("Institutional investor")), ("small-local-authority", _("Small local authority")),
)  # fmt: skip
_COUNTRY_HINT = _("Two letters, as DE. For Greece GR.")

TITLES: Mapping[str, Any] = {
    "basics": _("Who applies"),
    "project": _("Project"),
    "applicant": _("Principal investigator"),
    "organisation": _("Organisation"),
    "team": _("Team"),
    "compute": _("Compute"),
    "workflow": _("Workflow and code"),
    "data": _("Data"),
    "support": _("Support"),
    "funding": _("Funding"),
    "dissemination": _("Dissemination"),
    "ethics": _("Responsible AI"),
    "reviewers": _("Excluded reviewers"),
    "declarations": _("Declarations"),
    "questions": _("The gate’s questions"),
}
"""Pages of the form, in their order."""
ALWAYS = ("basics", "project", "compute", "questions")
"""Asked by every call."""


def _f(section: str, name: str, label: Any, kind: Kind = "text", **more: Any) -> Field:
    return Field(path=f"whole.{section}.{name}" if name else f"whole.{section}", label=label, kind=kind, **more)


def _row(name: str, label: Any, kind: Kind = "text", **more: Any) -> Field:
    return Field(path=name, label=label, kind=kind, **more)


GROUP = "whole.organisation.group"
ENTERPRISE_ROWS = (
    _row("name", _("Name")),
    _row("kind", _("Kind"), "choice", choices=ENTERPRISES),
    _row("year", _("Year of the last accounts"), "whole"),
    _row("staff", _("Staff in annual work units"), "scaled"),
    _row("turnover_eur", _("Turnover"), "whole", unit="EUR"),
    _row("balance_sheet_eur", _("Balance sheet total"), "whole", unit="EUR"),
    _row("before_staff", _("Staff the year before"), "scaled"),
    _row("before_turnover_eur", _("Turnover the year before"), "whole", unit="EUR"),
    _row("before_balance_sheet_eur", _("Balance sheet total the year before"), "whole", unit="EUR"),
    _row("consolidated_in", _("Stands in the accounts of")),
    _row("same_market", _("Of a person: in the same market?"), "yes-no"),
)
TIE_ROWS = (
    _row("owner", _("Owner")),
    _row("owned", _("Holds part of")),
    _row("capital", _("Share of the capital"), "scaled", scale=0.01, unit="%"),
    _row("votes", _("Share of the votes"), "scaled", scale=0.01, unit="%"),
    _row("controls", _("Controls it without a majority"), "yes-no"),
)
SECTIONS: Mapping[str, tuple[Field, ...]] = {
    "basics": (
        Field(path="organisation", label=_("Organisation"), hint=_("As it is registered.")),
        Field(path="organisation_kind", label=_("What kind of organisation it is"), kind="choice", choices=KINDS),
        Field(path="country", label=_("Country it is established in"), hint=_COUNTRY_HINT),
        Field(
            path="contact_email",
            label=_("E-mail for the decision"),
            kind="email",
            hint=_("The decision and its reasons are sent there."),
        ),
    ),
    "project": (
        _f("project", "title", _("Title")),
        _f("project", "abstract", _("Summary for the public"), "area", hint=_("What it is for, in a few sentences.")),
        _f("project", "case", _("Scientific case or technical problem"), "area"),
        _f("project", "keywords", _("Keywords"), "words", hint=_("Separated by commas.")),
        _f("project", "purpose", _("Kind of work"), "choice", choices=PURPOSES),
        _f("project", "track", _("Track"), "choice", choices=TRACKS),
        _f(
            "project",
            "fields",
            _("Research fields"),
            "rows",
            hint=_("The shares come to at most 100 %."),
            rows=(_row("panel", _("Panel of the ERC")), _row("share", _("Share"), "scaled", scale=0.01, unit="%")),
        ),
        _f("project", "duration_months", _("Duration"), "whole", unit=_("months")),
        _f("project", "starts", _("Start wished for"), "date"),
        _f("project", "continues", _("Continues the project"), hint=_("Its code; leave it empty for a new project.")),
        _f("project", "in_eu_project", _("Belongs to the EU project"), hint=_("Grant of Horizon or Digital Europe.")),
    ),
    "applicant": (
        _f("applicant", "title", _("Title of the person")),
        _f("applicant", "given_names", _("Given names")),
        _f("applicant", "family_name", _("Family name")),
        _f("applicant", "email", _("E-mail at the institution"), "email"),
        _f("applicant", "phone", _("Telephone")),
        _f("applicant", "job_title", _("Job title")),
        _f("applicant", "employment_is_permanent", _("Is the employment permanent?"), "yes-no"),
        _f("applicant", "employed_until", _("Employed until"), "date", hint=_("Where it is not permanent.")),
        _f("applicant", "website", _("Website")),
        _f(
            "applicant",
            "track_record",
            _("Track record"),
            "area",
            hint=_("Earlier allocations, patents, actions of the EU, talks."),
        ),
    ),
    "organisation": (
        _f("organisation", "legal_name", _("Legal name")),
        _f("organisation", "vat_number", _("VAT number"), hint=_("Its form and check digits are looked at.")),
        _f("organisation", "pic", _("PIC"), hint=_("Nine digits, from the EU’s funding and tenders portal.")),
        _f("organisation", "address", _("Address"), "area"),
        _f("organisation", "department", _("Department")),
        _f("organisation", "head_office_in_europe", _("Is the head office in Europe?"), "yes-no"),
        _f(
            "organisation",
            "research_share_in_europe",
            _("Share of research and development in Europe"),
            "scaled",
            scale=0.01,
            unit="%",
        ),
        _f("organisation", "founded", _("Founded on"), "date"),
        _f("organisation", "start_up_reason", _("Why it counts itself a start-up"), "area"),
        _f("organisation", "ai_pact", _("Has it signed pledges of the AI Pact?"), "yes-no"),
        _f("organisation", "code_of_practice", _("Has it signed the code of practice for AI models?"), "yes-no"),
        _f(
            "organisation",
            "group.enterprises",
            _("Enterprises of the size test"),
            "rows",
            rows=ENTERPRISE_ROWS,
            hint=_("The applicant first, then every owner and every enterprise it is tied to, with their accounts."),
        ),
        _f(
            "organisation",
            "group.ties",
            _("Who holds what in whom"),
            "rows",
            rows=TIE_ROWS,
            hint=_("By the names above. 25 % and more make a partner, control makes a linked enterprise."),
        ),
    ),
    "team": (
        _f(
            "team",
            "",
            _("Members of the team"),
            "rows",
            hint=_("Everyone who will work on the machine."),
            rows=(
                _row("name", _("Name")),
                _row("email", _("E-mail"), "email"),
                _row("role", _("Role"), "choice", choices=ROLES),
                _row("organisation", _("Organisation")),
                _row("country", _("Country"), hint=_COUNTRY_HINT),
            ),
        ),
    ),
    "compute": (
        _f("compute", "machine", _("Machine")),
        _f("compute", "partition", _("Partition")),
        _f("compute", "fallbacks", _("Other machines that would do"), "words", hint=_("Best first, by commas.")),
        _f(
            "compute",
            "gpu_hours",
            _("GPU-hours"),
            "whole",
            unit=_("GPU-hours"),
            hint=_("One accelerator for one hour. The site’s own unit follows by itself."),
        ),
        _f("compute", "arithmetic", _("How the hours come about"), "area"),
        _f("compute", "jobs.nodes_largest", _("Nodes in the largest job"), "whole"),
        _f("compute", "jobs.nodes_average", _("Nodes in an average job"), "whole"),
        _f("compute", "jobs.accelerators_per_node", _("Accelerators a job uses of a node"), "whole"),
        _f("compute", "jobs.cores_per_node", _("Processor cores a job uses of a node"), "whole"),
        _f("compute", "jobs.wall_time_s", _("Wall time of a typical job"), "scaled", scale=3600, unit=_("hours")),
        _f("compute", "jobs.at_once", _("Jobs at once"), "whole"),
        _f("compute", "jobs.count", _("Jobs in all"), "whole"),
        _f("compute", "jobs.memory_bytes_average", _("Memory of an average job"), "scaled", scale=GB, unit="GB"),
        _f(
            "compute",
            "jobs.memory_bytes_largest",
            _("Memory of the largest job"),
            "scaled",
            scale=GB,
            unit="GB",
            hint=_("Over all nodes of a job."),
        ),
        _f("compute", "jobs.checkpoints", _("Are checkpoints written?"), "yes-no"),
        _f("compute", "jobs.checkpoint_every_s", _("A checkpoint every"), "scaled", scale=60, unit=_("minutes")),
        _f("compute", "storage.scratch_bytes", _("Storage while it runs"), "scaled", scale=TB, unit="TB"),
        _f("compute", "storage.scratch_files", _("Files at most"), "whole"),
        _f("compute", "storage.work_bytes", _("Project storage"), "scaled", scale=TB, unit="TB"),
        _f("compute", "storage.archive_bytes", _("Archive"), "scaled", scale=TB, unit="TB"),
        _f("compute", "storage.transfer_bytes", _("To bring in before the first job"), "scaled", scale=TB, unit="TB"),
        _f("compute", "storage.why", _("Why so much storage"), "area"),
        _f("compute", "storage.io_strategy", _("How it reads and writes"), "area"),
        _f(
            "compute",
            "by_month",
            _("Use by month"),
            "rows",
            hint=_("The months come to the GPU-hours asked for."),
            rows=(
                _row("month", _("Month"), "whole"),
                _row("gpu_hours", _("GPU-hours"), "whole"),
                _row("milestone", _("What is reached then")),
            ),
        ),
        _f("compute", "scaling_kind", _("Scaling study"), "choice", choices=SCALINGS),
        _f(
            "compute",
            "scaling",
            _("Measured or predicted sizes"),
            "rows",
            rows=(
                _row("nodes", _("Nodes"), "whole"),
                _row("accelerators", _("Accelerators"), "whole"),
                _row("tokens_per_s", _("Tokens a second"), "scaled"),
                _row("speed_up", _("Speed-up"), "scaled"),
                _row("efficiency", _("Efficiency"), "scaled", scale=0.01, unit="%"),
            ),
        ),
        _f(
            "compute",
            "scaling_evidence",
            _("Evidence that it scales"),
            "area",
            hint=_("Reviewers look for throughput at several sizes, measured or predicted, and for what limits it."),
        ),
    ),
    "workflow": (
        _f("workflow", "text", _("Workflow"), "area"),
        _f("workflow", "container", _("Does it run in a container?"), "yes-no"),
        _f(
            "workflow",
            "codes",
            _("Codes that are used"),
            "rows",
            rows=(
                _row("name", _("Name")),
                _row("version", _("Version")),
                _row("repository", _("Repository")),
                _row("licence", _("Licence")),
                _row("ours", _("Your link to it")),
            ),
        ),
        _f("workflow", "optimisation_needed", _("Help needed to make it faster"), "area"),
        _f(
            "workflow",
            "open_release",
            _("What will be released openly"),
            "area",
            hint=_("Of model, method and software, and under which licence."),
        ),
    ),
    "data": (
        _f("data", "sources", _("Where the data comes from"), "area"),
        _f("data", "rights", _("By what right it is used"), "area"),
        _f("data", "personal", _("Is personal data among it?"), "yes-no"),
        _f("data", "personal_safeguards", _("How personal data is protected"), "area"),
        _f("data", "input_is_open", _("Is the input open to others?"), "yes-no"),
        _f("data", "output_will_be_open", _("Will the output be open?"), "yes-no"),
    ),
    "support": (
        _f("support", "wanted", _("Is help of a support team wanted?"), "yes-no"),
        _f("support", "for_what", _("What for"), "area"),
    ),
    "funding": (
        _f("funding", "sources", _("How the project is paid for"), "area"),
        _f("funding", "collaboration", _("Collaboration of industry, research and public bodies"), "area"),
    ),
    "dissemination": (
        _f("dissemination", "strategy", _("How the results are made known"), "area"),
        _f("dissemination", "after_the_award", _("What follows after the award"), "area"),
    ),
    "ethics": (
        _f("ethics", "human_agency", _("Human agency and oversight"), "area"),
        _f("ethics", "privacy_and_data", _("Privacy and data governance"), "area"),
        _f("ethics", "fairness", _("Fairness and bias"), "area"),
        _f("ethics", "well_being", _("Individual, social and environmental well-being"), "area"),
        _f("ethics", "transparency", _("Transparency"), "area"),
        _f("ethics", "accountability", _("Accountability"), "area"),
    ),
    "reviewers": (
        _f("reviewers", "excluded", _("Reviewers to exclude"), "lines", hint=_("One name a line.")),
        _f("reviewers", "why", _("Why they are excluded"), "area"),
    ),
    "declarations": (
        _f("declarations", "civilian_use_only", _("Does it serve civilian purposes only?"), "yes-no"),
        _f("declarations", "any_part_confidential", _("Is a part confidential?"), "yes-no"),
        _f("declarations", "confidential_parts", _("Which parts are confidential"), "area"),
        _f(
            "declarations",
            "names_may_be_published",
            _("May names be published?"),
            "yes-no",
            hint=_("Regulation (EU) 2018/1725; either answer will do."),
        ),
        _f("declarations", "accepts_terms", _("Are the call’s terms accepted?"), "yes-no"),
        _f("declarations", "figures_are_true", _("Are all statements true?"), "yes-no"),
    ),
    "questions": (),
}
BY_PATH: Mapping[str, Field] = {field.path: field for fields in SECTIONS.values() for field in fields}


def section_of(path: str) -> str:
    """The page on which a gap's field stands."""
    if path.startswith("answers."):
        return "questions"
    parts = path.split(".")
    return parts[1] if parts[0] == "whole" and len(parts) > 1 and parts[1] in SECTIONS else "basics"
