"""What it adds to the portal's pages; each panel is HTML that is safe as it stands, or nothing."""

from __future__ import annotations

from typing import Any

from django import template
from django.template.loader import render_to_string

from hanse.service.notices.models import Notice

register = template.Library()
ON_HOME = 3


@register.simple_tag(takes_context=True)
def home_notices(context: Any) -> str:
    """The latest unread notices, and where the others are; nothing where there is none."""
    request = context["request"]
    unread = list(Notice.objects.filter(person=request.user, read_at=None)[: ON_HOME + 1])
    if not unread:
        return ""
    told = {"notices": unread[:ON_HOME], "more": len(unread) > ON_HOME}
    return render_to_string("notices/home.html", told, request=request)
