"""Words that calls and forms share: who applies, what for, and the sections of the form."""

from __future__ import annotations

from typing import Final, Literal

OrganisationKind = Literal["start-up", "sme", "large", "university", "research", "public", "other"]

Purpose = Literal["train-ai", "benchmark", "develop-code", "research", "compete"]
"""train-ai: train or adapt a model for a product or service. research: open research, with AI or without."""

SectionName = Literal[
    "project", "applicant", "organisation", "team", "compute", "workflow", "data", "support", "funding",
    "dissemination", "ethics", "reviewers", "declarations",
]  # fmt: skip

SECTIONS: Final[dict[SectionName, str]] = {
    "project": "Project",
    "applicant": "Principal investigator",
    "organisation": "Organisation",
    "team": "Team",
    "compute": "Compute",
    "workflow": "Workflow and code",
    "data": "Data",
    "support": "Support",
    "funding": "Funding",
    "dissemination": "Dissemination",
    "ethics": "Responsible AI",
    "reviewers": "Excluded reviewers",
    "declarations": "Declarations",
}
"""In the order in which they are asked, with their titles."""
