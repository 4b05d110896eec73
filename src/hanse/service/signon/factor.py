"""Officers decide over public hours: nobody does so on a password alone.

Whoever is an officer gives a second factor in this session (an authenticator app's code, or the identity provider's
word for one) before any page of the portal or of the records opens. Tokens are made on such a page.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from allauth.account.authentication import get_authentication_records
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse

_VOUCHED = "hanse_second_factor_shown"
_OPEN = ("/account/", "/logout/", "/static/", "/healthz", "/readyz", "/metrics", "/in/", "/favicon.ico")


def vouched(request: HttpRequest) -> None:
    """A second factor was shown in this session in another way than by a code on signing in."""
    request.session[_VOUCHED] = True


def given(request: HttpRequest) -> bool:
    """Whether a second factor was given in this session."""
    records = get_authentication_records(request, request.user)
    return bool(request.session.get(_VOUCHED)) or any(one.get("method") == "mfa" for one in records)


def second_factor(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Leads an officer without a second factor to where one is set up or given."""

    def middleware(request: HttpRequest) -> HttpResponse:
        person = request.user
        if (
            not settings.OFFICERS_NEED_SECOND_FACTOR
            or not person.is_authenticated
            or request.path.startswith(_OPEN)
            or not person.is_officer
            or given(request)
        ):
            return get_response(request)
        if request.path.startswith("/api/"):
            what = "an officer needs a second factor in this session"
            return JsonResponse({"error": what, "fix": "Sign in at the portal with your second factor."}, status=403)
        where = "mfa_reauthenticate" if is_mfa_enabled(person) else "mfa_activate_totp"
        return redirect(f"{reverse(where)}?{urlencode({'next': request.get_full_path()})}")

    return middleware
