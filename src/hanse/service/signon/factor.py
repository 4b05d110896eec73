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
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from hanse.client.answers import Problem

_VOUCHED = "hanse_second_factor_shown"
_ACCOUNT = "/account/"
_OPEN = (
    "/account/factor/authenticate/", "/account/factor/reauthenticate/", "/account/confirm/", "/account/logout/",
    "/account/inactive/", "/logout/", "/in/", "/desk/", "/static/", "/favicon.ico", "/healthz", "/readyz", "/metrics",
)  # fmt: skip
"""Where one gives a factor, comes in or goes out, and what is open to everybody."""


def vouched(request: HttpRequest) -> None:
    """A second factor was shown in this session in another way than by a code on signing in."""
    request.session[_VOUCHED] = True


def given(request: HttpRequest) -> bool:
    """Whether a second factor was given in this session."""
    records = get_authentication_records(request, request.user)
    return bool(request.session.get(_VOUCHED)) or any(one.get("method") == "mfa" for one in records)


def second_factor(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Leads an officer without a second factor to where one is set up or given.

    A factor that is set up is shown, by anybody, before anything of their account is changed or seen (it is taken away,
    its recovery codes, the password, another way in): a password or a one-time link alone would else get around it.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        if request.path.startswith(_OPEN) or not _stands_before(request):
            return get_response(request)
        if request.path.startswith("/api/"):
            problem = Problem(
                what="an officer needs a second factor in this session",
                fix="Sign in at the portal with your second factor, or use an access token.",
            )
            return HttpResponse(problem.to_json(), content_type="application/json", status=403)
        where = "mfa_reauthenticate" if is_mfa_enabled(request.user) else "mfa_activate_totp"
        return redirect(f"{reverse(where)}?{urlencode({'next': request.get_full_path()})}")

    return middleware


def _stands_before(request: HttpRequest) -> bool:
    """Whether this page is for who has shown a second factor, and this session has not."""
    person = request.user
    if not person.is_authenticated or given(request):
        return False
    if request.path.startswith(_ACCOUNT) and is_mfa_enabled(person):
        return True
    if request.path == reverse("mfa_activate_totp"):
        return False
    return bool(settings.OFFICERS_NEED_SECOND_FACTOR and person.is_officer)
