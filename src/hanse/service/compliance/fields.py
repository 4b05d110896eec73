"""The forms of the watch and of the desk's questions; every field names its hint and, where it is wrong, its error."""

from __future__ import annotations

from typing import Any

from django import forms

from hanse.contracts.watch import PermitForm
from hanse.service.compliance.questions import LONGEST, SHORTEST


class Fields(forms.Form):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name, field in self.fields.items():
            if getattr(field.widget, "input_type", "") != "checkbox":
                field.widget.attrs["class"] = "input"
            if field.help_text:
                field.widget.attrs["aria-describedby"] = f"{name}-hint"


def _text(label: str, hint: str, *, rows: int = 3, required: bool = True, most: int = 2000) -> forms.CharField:
    return forms.CharField(
        label=label, help_text=hint, max_length=most, required=required, widget=forms.Textarea(attrs={"rows": rows}),
        error_messages={"required": "This is needed; it is kept."},
    )  # fmt: skip


class Reason(Fields):
    reason = _text("Reason", "Kept with your word; the applicant reads it.")


class ConditionWord(Fields):
    evidence = _text("What shows that it is met", "A link, a number, or what you saw.", rows=2, required=False)
    reason = _text("Reason", "Needed to waive it, to open it again, or to say that it does not hold.", rows=2,
                   required=False)  # fmt: skip


class EvidenceOffered(Fields):
    evidence = _text("What shows that it is met", "An officer looks at it.")


class PermitFields(Fields):
    kind = forms.ChoiceField(
        label="What it is",
        choices=[
            ("health-data", "A permit for health data"),
            ("personal-data", "An agreement with the site that will process the data"),
        ],
    )
    number = forms.CharField(label="Number", max_length=100)
    issuer = forms.CharField(label="Given by", max_length=200, help_text="The body or site that gave it.")
    purpose = _text("Purpose", "What it allows, in its own words.", rows=2, most=1000)
    datasets = forms.CharField(
        label="Datasets", max_length=500, help_text="Their names as in train.yaml, with commas between."
    )
    machines = forms.CharField(
        label="Where they may be processed", max_length=500, help_text="Names of machines, with commas between."
    )
    valid_until = forms.DateField(label="Valid until", widget=forms.DateInput(attrs={"type": "date"}))

    def permit(self) -> PermitForm:
        """What was filled in. Raises pydantic.ValidationError for names that are none."""
        given = dict(self.cleaned_data)
        for name in ("datasets", "machines"):
            given[name] = tuple(one.strip() for one in given[name].split(",") if one.strip())
        return PermitForm(**given)


class QuestionFields(Fields):
    text = forms.CharField(
        label="Your question",
        min_length=SHORTEST,
        max_length=LONGEST,
        widget=forms.Textarea(attrs={"rows": 6}),
        help_text="What do you build or use, and what do you want to know? Leave out what is secret.",
    )
    email = forms.EmailField(
        label="E-mail (if you like)", required=False, help_text="Only for the answer. Without it, keep the address of "
        "the next page; the answer will stand there.",
    )  # fmt: skip
    may_publish = forms.BooleanField(label="Question and answer may be shown to all, without my e-mail", required=False)
    website = forms.CharField(required=False, label="Leave this empty", max_length=200)
    """People do not see it; programs that fill in every field do."""

    @property
    def shown(self) -> list[forms.BoundField]:
        return [field for field in self if field.name != "website"]


class AnswerFields(Fields):
    answer = _text("Answer", "In plain words, with where it stands.", rows=6, most=8000)
    published_text = _text(
        "The question as it is shown to all", "Without names and what is only the asker's. Only where they agreed.",
        rows=3, required=False, most=LONGEST,
    )  # fmt: skip
