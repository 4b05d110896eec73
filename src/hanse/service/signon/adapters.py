"""What django-allauth asks of us: who may come in, and what a provider's word makes of a person.

Nobody makes an account by a form: an operator makes it, or the identity provider vouches. A person of the provider is
known by its `sub` alone, never by an e-mail address: addresses pass from hand to hand.
"""

from __future__ import annotations

import re
import time
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.authentication import get_authentication_records
from allauth.core import context
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.conf import settings
from django.http import HttpRequest

from hanse.service.runs.events import Event
from hanse.service.signon import factor
from hanse.service.signon.options import REFEDS_MFA

_ODD = re.compile(r"[^\w.@+-]+")


class Accounts(DefaultAccountAdapter):
    def is_open_for_signup(self, *_request: Any) -> bool:
        return False

    def add_message(self, *_args: Any, **_options: Any) -> None:
        """Signing in and out speaks for itself; what is changed is shown on the page where it was."""

    def send_notification_mail(self, *_args: Any, **_options: Any) -> None:
        """Mail leaves through the service's outbox only."""

    def is_reauthentication_required(self, **_options: Any) -> bool:
        """What protects an account is changed only soon after a sign-in, whichever way that was."""
        request = context.request
        records = get_authentication_records(request, request.user)
        return not any(time.time() - one["at"] < settings.ACCOUNT_REAUTHENTICATION_TIMEOUT for one in records)

    def post_login(self, request: HttpRequest, user: Any, **options: Any) -> Any:
        said = options.get("signal_kwargs") or {}
        sociallogin = said.get("sociallogin")
        if sociallogin is not None and by_two_factors(sociallogin.account.extra_data):
            factor.vouched(request)
        by = "provider" if sociallogin is not None else "password"
        Event.record("user:session:begun", f"person-{user.pk}", by=user.username, reason=f"by {by}")
        return super().post_login(request, user, **options)


class Providers(DefaultSocialAccountAdapter):
    def is_open_for_signup(self, *_request: Any) -> bool:
        return True

    def populate_user(self, request: HttpRequest, sociallogin: Any, data: dict[str, Any]) -> Any:
        """A name to go by: what the provider calls them, else the first part of their address, else their `sub`."""
        person = super().populate_user(request, sociallogin, data)
        given = data.get("username") or (data.get("email") or "").partition("@")[0] or sociallogin.account.uid
        person.username = _ODD.sub("-", given).strip("-")[:100]
        return person


def by_two_factors(claims: dict[str, Any]) -> bool:
    """Whether the provider says that it asked for two factors: `acr` (REFEDS) or `amr` (RFC 8176) of its ID token."""
    said = claims.get("id_token", claims)
    acr, amr = said.get("acr") or "", said.get("amr") or ()
    return REFEDS_MFA in str(acr).split() or "mfa" in (amr if isinstance(amr, list | tuple) else (amr,))
