"""The officer's form under an application: grant it or decline it, always with a reason.

Where two officers are needed it makes a proposal, which another confirms on the same page (awarding's panel).
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect

from hanse.contracts.awarding import AwardPart, AwardTerms
from hanse.contracts.errors import HanseError, UsageError
from hanse.programme.awards import PATTERN_WORDS
from hanse.service.access.models import Application
from hanse.service.awarding import policy, proposals
from hanse.service.awarding.proposals import Proposal
from hanse.service.portal.whole import never_cut

MORE = ("parts", "starts", "duration_months", "pattern", "conditions")
CONDITION = 500
"""The most characters of a condition, which goes into the tickets of jobs."""


class DecideForm(forms.Form):
    gpu_hours = forms.IntegerField(
        min_value=1, label="GPU-hours to grant", help_text="What was asked, or less.", required=False
    )
    parts = forms.CharField(
        max_length=4000, required=False, label="Machines", widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Only for more than one: a line each, machine or machine/partition, GPU-hours, TB of storage.",
    )  # fmt: skip
    starts = forms.DateField(
        required=False, label="First day", widget=forms.DateInput(attrs={"type": "date"}),
        help_text="Empty: the day it is granted.",
    )  # fmt: skip
    duration_months = forms.IntegerField(
        min_value=1, max_value=60, required=False, label="Months", help_text="Empty: as asked."
    )
    pattern = forms.ChoiceField(
        choices=list(PATTERN_WORDS.items()), required=False, label="How its use lies over the months",
        help_text="What it takes of each month's capacity.",
    )  # fmt: skip
    conditions = forms.CharField(
        max_length=4000, required=False, label="Conditions", widget=forms.Textarea(attrs={"rows": 2}),
        help_text="A line each, beside those of the gate; they go into the ticket of every job.",
    )  # fmt: skip
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
            field.widget.attrs.pop("maxlength", None)  # a browser would cut what is pasted, without a word

    @property
    def main_fields(self) -> list[Any]:
        return [field for field in self if field.name not in MORE]

    @property
    def more_fields(self) -> list[Any]:
        return [field for field in self if field.name in MORE]

    @property
    def grant_takes_two(self) -> bool:
        return policy.awards_by() > 1

    @property
    def decline_takes_two(self) -> bool:
        return policy.declines_by() > 1


def may_decide(person: Any, application: Application, proposal: Proposal | None) -> bool:
    """Not while another's `proposal` waits: that is confirmed, refused or taken back first."""
    return person.is_officer and application.state in ("sent", "in-review") and proposal is None


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
    decision = "decline" if "decline" in request.POST else "grant"
    came = proposals.decide(application, request.user, decision, terms_of(form.cleaned_data))
    if came == "proposed":
        return f"You proposed to {decision} {application.form.title}; another officer confirms it."
    if came == "declined":
        return f"{application.form.title} is declined; the applicant sees your reason."
    return f"{application.form.title} is granted; its allocation is open."


def terms_of(given: dict[str, Any]) -> AwardTerms:
    """Raises UsageError naming the line that is no machine with hours."""
    parts = tuple(_part(line) for line in given["parts"].splitlines() if line.strip())
    return AwardTerms(
        reason=given["reason"],
        gpu_hours=None if parts else given["gpu_hours"],
        parts=parts,
        starts=given["starts"],
        duration_months=given["duration_months"],
        pattern=given["pattern"] or "even",
        conditions=tuple(_condition(line) for line in given["conditions"].splitlines() if line.strip()),
        override_reason=given["override_reason"],
    )


def _condition(line: str) -> str:
    said = line.strip()
    if len(said) > CONDITION:
        raise UsageError(
            f"a condition has {len(said):,} characters, and {CONDITION} are taken", where="conditions",
            fix="Shorten the line, or make two of it.",
        )  # fmt: skip
    return said


def _part(line: str) -> AwardPart:
    place, hours, *storage = [*line.split(), "", ""][:3]
    machine, _, partition = place.partition("/")
    try:
        return AwardPart(
            machine=machine, partition=partition, gpu_hours=int(hours.replace(",", "")),
            storage_bytes=round(float(storage[0] or 0) * 10**12),
        )  # fmt: skip
    except (ValueError, OverflowError):
        raise UsageError(
            f"'{line.strip()[:100]}' is no machine with its GPU-hours", where="parts",
            fix="write it like: lumi/standard-g 4000 20",
        ) from None  # fmt: skip


@login_required
@never_cut("reason", "override_reason")
def decision(request: HttpRequest, application_id: str) -> HttpResponse:
    """Takes the form's post; the application's own page tells what came of it."""
    found = get_object_or_404(Application.objects.seen_by(request.user), public_id=application_id)
    if request.method == "POST":
        try:
            said = decide(request, found)
            done = found.state in ("granted", "declined") or said.startswith("You proposed")
            messages.add_message(request, messages.SUCCESS if done else messages.ERROR, said)
        except HanseError as refused:
            messages.error(request, " ".join(part for part in (f"{refused.what}.", refused.fix) if part))
    return redirect("portal:application", application_id=found.public_id)
