"""The one page of this app: following a sign-in link."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from hanse.service.access.tokens import LoginLink


@never_cache
@require_GET
def follow_login_link(request: HttpRequest, secret: str) -> HttpResponse:
    """Sign in and go to the front page; a used or late link leads to the ordinary sign-in."""
    person = LoginLink.use(secret)
    if person is None:
        return redirect(settings.LOGIN_URL)
    login(request, person, backend=settings.AUTHENTICATION_BACKENDS[0])
    return redirect(settings.LOGIN_REDIRECT_URL)
