"""The commonest terms of a call as fields beside its text: a change of one rewrites that key alone."""

from __future__ import annotations

from typing import Any

import yaml
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from hanse.contracts.errors import UsageError
from hanse.contracts.programme import CallTerms
from hanse.files import document
from hanse.service.forms import values
from hanse.service.forms.fields import Field
from hanse.service.forms.shown import Shown

FIELDS = (
    Field(path="id", label=_("Name in addresses"), hint=_("Lower-case letters, digits and hyphens.")),
    Field(path="title", label=_("Title")),
    Field(path="summary", label=_("Summary"), kind="area"),
    Field(path="opens", label=_("Opens"), kind="date"),
    Field(path="closes", label=_("Closes"), kind="date"),
    Field(path="min_gpu_hours", label=_("GPU-hours at least"), kind="whole"),
    Field(path="max_gpu_hours", label=_("GPU-hours at most"), kind="whole"),
    Field(path="decision_working_days", label=_("Working days to the answer"), kind="whole"),
    Field(path="max_entries", label=_("Applications at most"), kind="whole"),
)


def asked(terms: CallTerms) -> list[Shown]:
    return [
        Shown(field=one, name=f"terms.{one.path}", value=values.typed(one, getattr(terms, one.path))) for one in FIELDS
    ]


def changed(text: str, posted: QueryDict) -> str:
    """The text with the fields' values in it.

    Raises:
        UsageError: a field cannot be read, or the text is not YAML.
    """
    data: dict[str, Any] = yaml.safe_load(text) if document.parse(text, name="terms") else {}
    for one in FIELDS:
        if f"terms.{one.path}" not in posted:
            continue
        try:
            value = values.value_of(one, posted[f"terms.{one.path}"])
        except values.NotRead as error:
            raise UsageError(f"{one.label}: {error}", where=one.path) from None
        if value is None and one.path not in data:
            continue
        if one.kind == "date" and value is not None:
            value = str(value)
        data[one.path] = value
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110)
