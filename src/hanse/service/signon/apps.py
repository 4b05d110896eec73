from __future__ import annotations

from typing import Any

from django.apps import AppConfig


class SignOnConfig(AppConfig):
    name = "hanse.service.signon"
    label = "signon"

    def ready(self) -> None:
        from allauth.mfa.signals import authenticator_added

        authenticator_added.connect(_set_up, dispatch_uid="hanse-second-factor")


def _set_up(request: Any, **_told: Any) -> None:
    """Whoever sets a second factor up has just shown it."""
    from hanse.service.signon import factor

    factor.vouched(request)
