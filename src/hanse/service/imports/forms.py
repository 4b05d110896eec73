"""The form a file of awards comes in by."""

from __future__ import annotations

from typing import Any

from django import forms

from hanse.contracts.imports import MOST_BYTES, ImportAsked
from hanse.programme import calls
from hanse.programme.imports import csv_file
from hanse.service.awarding.forms import Labelled


class UploadForm(Labelled):
    file = forms.FileField(
        label="File", help_text="CSV UTF-8, at most 1,000 rows.", widget=forms.FileInput(attrs={"accept": ".csv"})
    )
    source = forms.RegexField(
        r"^[a-z0-9][a-z0-9._-]{0,62}$", required=False, label="Who decided",
        help_text="If the file has no column source: a short name, like eurohpc.",
        error_messages={"invalid": "Write it in small letters, digits, points and hyphens, like eurohpc."},
    )  # fmt: skip
    mode = forms.ChoiceField(
        required=False, label="Access mode", help_text="If the file has no column mode: whose reports are owed."
    )
    whole = forms.BooleanField(required=False, label="All rows or none")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["mode"].choices = [("", "As the file says"), *((one, one) for one in calls.patterns())]
        self.fields["whole"].widget.attrs.pop("class", None)

    def asked(self) -> ImportAsked:
        """Raises UsageError: it is no such file."""
        told = self.cleaned_data
        content = told["file"].read(MOST_BYTES + 1)
        given = {"source": told["source"], "mode": told["mode"]}
        return csv_file.read(content, name=told["file"].name, whole=told["whole"], given=given)
