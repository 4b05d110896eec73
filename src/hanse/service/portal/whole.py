"""A reason is kept as it was typed, or comes back to who typed it to be shortened; it is never cut."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from hanse.contracts.errors import UsageError
from hanse.service.review import typed

View = Callable[..., HttpResponse]


def never_cut(*names: str) -> Callable[[View], View]:
    """For a view that takes these texts: one that is too long is shown again, and nothing is done with the rest."""

    def around(view: View) -> View:
        @wraps(view)
        def asked(request: HttpRequest, *args: Any, **given: Any) -> HttpResponse:
            for name in names:
                try:
                    typed.text(request.POST, name)
                except UsageError:
                    return _again(request, name)
            return view(request, *args, **given)

        return asked

    return around


def _again(request: HttpRequest, name: str) -> HttpResponse:
    """The whole text in a larger field, beside everything else that was sent with it."""
    said = request.POST[name].replace("\r\n", "\n").strip()
    others = [
        (key, value)
        for key in request.POST
        if key not in (name, "csrfmiddlewaretoken")
        for value in request.POST.getlist(key)
    ]
    told = {"name": name, "said": said, "count": f"{len(said):,}", "most": f"{typed.REASON:,}", "others": others}
    return render(request, "portal/too_long.html", told, status=422)
