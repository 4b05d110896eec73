from __future__ import annotations

from django.apps import AppConfig


class PortalConfig(AppConfig):
    name = "hanse.service.portal"
    label = "portal"

    def ready(self) -> None:
        from django.contrib.auth.signals import user_logged_in

        from hanse.service.portal import language

        user_logged_in.connect(language.signed_in, dispatch_uid="hanse-language")
