"""What it adds to the portal's pages; each panel is HTML that is safe as it stands, or nothing."""

from __future__ import annotations

from typing import Any

from django import template

register = template.Library()


@register.simple_tag(takes_context=True)
def application_award(context: Any, application: Any) -> str:  # noqa: ARG001
    """Nothing to show yet."""
    return ""


@register.simple_tag(takes_context=True)
def allocation_award(context: Any, allocation: Any) -> str:  # noqa: ARG001
    """Nothing to show yet."""
    return ""


@register.simple_tag(takes_context=True)
def home_award(context: Any) -> str:  # noqa: ARG001
    """Nothing to show yet."""
    return ""
