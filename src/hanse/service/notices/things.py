"""What a public id names, in whichever room it lies: its prefix says which."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from django.apps import apps

from hanse.service.records import PublicIdField


@cache
def _by_prefix() -> Mapping[str, Any]:
    return {
        field.prefix: model
        for model in apps.get_models()
        for field in model._meta.get_fields()
        if isinstance(field, PublicIdField) and field.prefix
    }


def find(public_id: Any) -> Any:
    """The row of that id, or None."""
    kind = _by_prefix().get(str(public_id or "").partition("-")[0])
    return kind.objects.filter(public_id=public_id).first() if kind else None
