"""From a draft to an application and back, and a draft's further use for another call."""

from __future__ import annotations

from hanse.contracts.application import Draft, WholeForm
from hanse.contracts.errors import UsageError
from hanse.contracts.programme import ApplicationForm, CallTerms
from hanse.programme import completeness


def form_of(draft: Draft, terms: CallTerms, *, where: str = "") -> ApplicationForm:
    """The application that a complete draft makes, bound to the version of the call it was checked against.

    Raises:
        UsageError: something is missing or wrong; the first is named with section and field.
    """
    completeness.require(draft, terms, where=where)
    whole = draft.whole
    return ApplicationForm.model_validate(
        {
            "call": draft.call,
            "call_version": terms.version,
            "organisation": draft.organisation,
            "organisation_kind": draft.organisation_kind,
            "country": draft.country,
            "title": whole.project.title,
            "purpose": whole.project.abstract,
            "machine": whole.compute.machine,
            "gpu_hours": whole.compute.gpu_hours,
            "duration_months": whole.project.duration_months,
            "contact_email": draft.contact_email,
            "answers": draft.answers,
            "whole": whole,
        }
    )


def draft_of(form: ApplicationForm) -> Draft:
    """The draft that a form was, or would have been.

    Raises:
        UsageError: the short form and its sections contradict each other; the first such field is named.
    """
    whole = form.whole or WholeForm()
    said = {
        "project.title": form.title, "project.abstract": form.purpose, "compute.machine": form.machine,
        "compute.gpu_hours": form.gpu_hours, "project.duration_months": form.duration_months,
    }  # fmt: skip
    for path, short in said.items():
        section, name = path.split(".")
        held = getattr(getattr(whole, section), name)
        if held is not None and held != short:
            raise UsageError(
                f"{completeness.section_of(path)}: {held!r} stands here and {short!r} in the short form",
                where=f"whole.{path}", fix="Write the same in both.",
            )  # fmt: skip
    project = whole.project.model_copy(
        update={"title": form.title, "abstract": form.purpose, "duration_months": form.duration_months}
    )
    compute = whole.compute.model_copy(update={"machine": form.machine, "gpu_hours": form.gpu_hours})
    return Draft(
        call=form.call,
        call_version=form.call_version,
        organisation=form.organisation,
        organisation_kind=form.organisation_kind,
        country=form.country,
        contact_email=form.contact_email,
        answers=form.answers,
        whole=whole.model_copy(update={"project": project, "compute": compute}),
    )


def reuse(draft: Draft, terms: CallTerms) -> Draft:
    """The draft for another call, or for a new version of its own: all that still holds is kept.

    Declarations are made anew for each call. A duration the call does not give is left open, and the use by month
    with it.
    """
    whole = draft.whole
    if draft.call != terms.id:
        whole = whole.model_copy(update={"declarations": WholeForm().declarations})
    months = whole.project.duration_months
    if months is not None and terms.durations_months and months not in terms.durations_months:
        whole = whole.model_copy(
            update={
                "project": whole.project.model_copy(update={"duration_months": None}),
                "compute": whole.compute.model_copy(update={"by_month": ()}),
            }
        )
    return draft.model_copy(update={"call": terms.id, "call_version": terms.version, "whole": whole})


def amended(old: CallTerms, new: CallTerms) -> tuple[str, ...]:
    """The names of the terms in which two versions of a call differ."""
    quiet = {"version", "sources"}
    return tuple(key for key in CallTerms.model_fields if key not in quiet and getattr(old, key) != getattr(new, key))
