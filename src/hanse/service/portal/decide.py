"""The officer's form under an application: grant it or decline it, always with a reason."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect

from hanse.contracts.errors import HanseError
from hanse.service.access.models import Application


class DecideForm(forms.Form):
    gpu_hours = forms.IntegerField(
        min_value=1, label="GPU-hours to grant", help_text="What was asked, or less.", required=False
    )
    reason = forms.CharField(
        max_length=2000, label="Reason", widget=forms.Textarea(attrs={"rows": 3}),
        help_text="The applicant reads it, whichever way you decide.",
        error_messages={"required": "Give the reason; the applicant reads it."},
    )  # fmt: skip
    override_reason = forms.CharField(
        max_length=2000, required=False, label="Why the gate's findings do not stand",
        widget=forms.Textarea(attrs={"rows": 2}), help_text="Needed to grant against the gate; kept beside it.",
    )  # fmt: skip

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name, field in self.fields.items():
            field.widget.attrs |= {"class": "input", "aria-describedby": f"{name}-hint"}


def may_decide(person: Any, application: Application) -> bool:
    return person.is_officer and application.state in ("sent", "in-review")


def form_for(application: Application) -> DecideForm:
    """The form as it is first shown; without the question on the gate where the gate did not object."""
    form = DecideForm(initial={"gpu_hours": application.form.gpu_hours})
    if application.gate is None or application.gate.verdict in ("allow", "condition"):
        del form.fields["override_reason"]
    return form


def decide(request: HttpRequest, application: Application) -> str:
    """Do what was asked; returns what to tell the officer.

    Raises:
        HanseError: it may not be decided so; nothing was changed.
    """
    form = DecideForm(request.POST)
    if not form.is_valid():
        return next(iter(form.errors.values()))[0]
    given = form.cleaned_data
    if "decline" in request.POST:
        application.decline(request.user, reason=given["reason"])
        return f"{application.form.title} is declined; the applicant sees your reason."
    application.grant(
        request.user, reason=given["reason"], gpu_hours=given["gpu_hours"], override_reason=given["override_reason"]
    )
    return f"{application.form.title} is granted; its allocation is open."


@login_required
def decision(request: HttpRequest, application_id: str) -> HttpResponse:
    """Takes the form's post; the application's own page tells what came of it."""
    found = get_object_or_404(Application.objects.seen_by(request.user), public_id=application_id)
    if request.method == "POST":
        try:
            said = decide(request, found)
            messages.add_message(
                request, messages.SUCCESS if found.state in ("granted", "declined") else messages.ERROR, said
            )
        except HanseError as refused:
            messages.error(request, " ".join(part for part in (f"{refused.what}.", refused.fix) if part))
    return redirect("portal:application", application_id=found.public_id)
