"""What of an application its reviewers read: what is to be judged, and who applied only where the call is not blind.

Never other reviews, persons' addresses on the page, or whom the applicant does not want as a reviewer. What an
applicant wrote about itself inside a text that is judged is not searched for.
"""

from __future__ import annotations

from typing import Any

from hanse.contracts.application import Reviewers, WholeForm
from hanse.contracts.programme import ApplicationForm
from hanse.contracts.review import ReviewRules
from hanse.programme import drafts
from hanse.service.forms import fields, values

READ = ("project", "compute", "workflow", "data", "support", "dissemination", "ethics")
"""What is reviewed."""
WITHHELD = "withheld: the call is reviewed blind"
NOWHERE = "XX"
"""ISO 3166 leaves it to users; here: a country that is not told."""


def form_for(application: Any, rules: ReviewRules) -> ApplicationForm:
    """The form as its reviewers may read it."""
    form: ApplicationForm = application.form
    whole = form.whole
    if not rules.blind:
        kept = whole.model_copy(update={"reviewers": Reviewers()}) if whole else None
        return form.model_copy(update={"whole": kept})
    if whole is not None:
        project = whole.project.model_copy(update={"continues": None, "in_eu_project": None})
        whole = WholeForm(**{name: getattr(whole, name) for name in READ} | {"project": project})
    nobody = {"organisation": WITHHELD, "country": NOWHERE, "contact_email": "", "whole": whole}
    return form.model_copy(update=nobody)


def sections(application: Any, rules: ReviewRules) -> list[tuple[str, list[tuple[str, str]]]]:
    """The sections that are reviewed, each with its labels and values, for the page."""
    data = values.plain(drafts.draft_of(form_for(application, rules)))
    found = []
    for name in READ:
        pairs = []
        for one in fields.SECTIONS[name]:
            held = values.at(data, one.path)
            if held in (None, "", [], ()):
                continue
            if one.kind == "rows":
                text = "; ".join(
                    ", ".join(
                        f"{cell.label} {values.typed(cell, row[cell.path])}{f' {cell.unit}' if cell.unit else ''}"
                        for cell in one.rows
                        if row.get(cell.path) is not None
                    )
                    for row in held
                )
            else:
                text = f"{values.typed(one, held)}{f' {one.unit}' if one.unit else ''}"
            pairs.append((str(one.label), text))
        if pairs:
            found.append((str(fields.TITLES[name]), pairs))
    return found
