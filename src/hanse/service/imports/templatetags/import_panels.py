"""What of imports stands on other pages."""

from __future__ import annotations

from typing import Any

from django import template

from hanse.service.imports import tables
from hanse.service.imports.batches import listed

register = template.Library()


@register.simple_tag
def waiting_imports() -> Any:
    """A table of those that wait for another officer; None: none does."""
    return tables.imports(listed().filter(state="waiting")[:20])
