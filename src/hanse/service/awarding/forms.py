"""The forms of its pages; what is typed becomes a contract, and its verb refuses what cannot be."""

from __future__ import annotations

from typing import Any

from django import forms

from hanse.contracts.awarding import ChangeAsked, DutyAnswers
from hanse.service.access.models import Allocation, Organisation
from hanse.service.runs.models import Machine

LONG = {"rows": 4}


class Labelled(forms.Form):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name, field in self.fields.items():
            field.widget.attrs |= {"class": "input"}
            field.widget.attrs.pop("maxlength", None)  # a browser would cut what is pasted, without a word
            if field.help_text:
                field.widget.attrs |= {"aria-describedby": f"{self.add_prefix(name)}-hint"}

    def blame(self, where: str, what: str, fix: str) -> None:
        """Put a refusal at the field it is about, or above the form."""
        name = where if where in self.fields else None
        self.add_error(name, " ".join(part for part in (f"{what[:1].upper()}{what[1:]}.", fix) if part))


class AskForm(Labelled):
    kind = forms.ChoiceField(
        label="What you ask for",
        choices=[
            ("extension", "A later end"), ("supplement", "More GPU-hours"),
            ("transfer", "GPU-hours moved to another allocation of the project"),
            ("machine", "GPU-hours moved to another machine or partition"),
        ],
    )  # fmt: skip
    months = forms.IntegerField(required=False, min_value=1, max_value=60, label="Months", help_text="For a later end.")
    gpu_hours = forms.IntegerField(
        required=False, min_value=1, max_value=10**9, label="GPU-hours", help_text="For more of them, or a move."
    )
    to_allocation = forms.ChoiceField(
        required=False, label="To allocation", help_text="For a move between allocations."
    )
    machine = forms.ChoiceField(required=False, label="To machine", help_text="For a move to another machine.")
    partition = forms.CharField(required=False, max_length=63, label="Its partition", help_text="If it is to be one.")
    reason = forms.CharField(
        max_length=2000, label="Why", widget=forms.Textarea(attrs=LONG), help_text="An officer decides by it."
    )

    def __init__(self, *args: Any, allocation: Allocation, **options: Any) -> None:
        super().__init__(*args, **options)
        others = Allocation.objects.filter(project=allocation.project, ended_at=None).exclude(pk=allocation.pk)
        named = [(one.public_id, f"{one.machine} {one.partition} {one.public_id}") for one in others]
        self.fields["to_allocation"].choices = [("", "None"), *named]
        self.fields["machine"].choices = [("", "None"), *((one.public_id, str(one)) for one in Machine.objects.all())]

    def asked(self) -> ChangeAsked:
        return ChangeAsked(**{name: value for name, value in self.cleaned_data.items() if value not in ("", None)})


class ReturnForm(Labelled):
    prefix = "return"
    gpu_hours = forms.IntegerField(
        required=False, min_value=1, max_value=10**9, label="GPU-hours to return", help_text="Empty: all that are free."
    )
    reason = forms.CharField(max_length=2000, label="Why")


class ReasonForm(Labelled):
    reason = forms.CharField(max_length=2000, label="Reason", help_text="The project reads it.")


class JudgeForm(Labelled):
    """An officer's word on what was handed in; as over the API, accepting it needs no reason."""

    prefix = "judge"
    reason = forms.CharField(
        required=False, max_length=2000, label="Reason",
        help_text="Needed to send it back or to waive it. The project reads it.",
    )  # fmt: skip


class ReportForm(Labelled):
    summary = forms.CharField(required=False, max_length=20_000, label="Summary", widget=forms.Textarea(attrs=LONG))
    results = forms.CharField(required=False, max_length=20_000, label="Results", widget=forms.Textarea(attrs=LONG))
    differences = forms.CharField(
        required=False, max_length=20_000, label="Why the use differs from the plan",
        widget=forms.Textarea(attrs=LONG),
    )  # fmt: skip
    publications = forms.CharField(
        required=False, max_length=20_000, label="Publications, models, data", widget=forms.Textarea(attrs=LONG)
    )
    feedback = forms.CharField(
        required=False, max_length=20_000, label="What should be better", widget=forms.Textarea(attrs=LONG)
    )

    def answers(self) -> DutyAnswers:
        return DutyAnswers(**self.cleaned_data)


class EvidenceForm(Labelled):
    evidence_url = forms.RegexField(
        r"^https?://\S+$", required=False, max_length=500, label="Link", help_text="Where it can be seen.",
        error_messages={"invalid": "Give an address that begins with http:// or https://."},
    )  # fmt: skip
    evidence_sha256 = forms.RegexField(
        r"^[0-9a-f]{64}$", required=False, label="SHA-256 of what is there", help_text="So that it is known again.",
        error_messages={"invalid": "Give its 64 hexadecimal digits, as sha256sum prints them."},
    )  # fmt: skip
    evidence_text = forms.CharField(
        required=False, max_length=20_000, label="Or in words", widget=forms.Textarea(attrs=LONG)
    )

    def answers(self) -> DutyAnswers:
        return DutyAnswers(**{name: value for name, value in self.cleaned_data.items() if value})


class CapacityForm(Labelled):
    machine = forms.ChoiceField(label="Machine")
    partition = forms.CharField(required=False, max_length=63, label="Partition", help_text="Empty: the whole machine.")
    month = forms.RegexField(
        r"^[0-9]{4}-(0[1-9]|1[0-2])$", label="Month", help_text="Like 2027-01.",
        error_messages={"invalid": "Write the month like 2027-01."},
    )  # fmt: skip
    gpu_hours = forms.IntegerField(min_value=0, max_value=10**9, label="GPU-hours it offers")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["machine"].choices = [(one.public_id, str(one)) for one in Machine.objects.all()]


class PriceForm(Labelled):
    prefix = "price"
    machine = forms.ChoiceField(label="Machine")
    from_day = forms.DateField(label="From", widget=forms.DateInput(attrs={"type": "date"}))
    cents_per_gpu_hour = forms.IntegerField(min_value=0, max_value=10**7, label="Euro cents a GPU-hour")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["machine"].choices = [(one.public_id, str(one)) for one in Machine.objects.all()]


class StatementForm(Labelled):
    prefix = "statement"
    organisation = forms.ChoiceField(label="Organisation")
    month = forms.RegexField(
        r"^[0-9]{4}-(0[1-9]|1[0-2])$", label="Month", help_text="Like 2027-01; it has to be over.",
        error_messages={"invalid": "Write the month like 2027-01."},
    )  # fmt: skip

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        payers = Organisation.objects.filter(projects__awards__pays_per_use=True).distinct()
        self.fields["organisation"].choices = [(one.public_id, one.name) for one in payers]
