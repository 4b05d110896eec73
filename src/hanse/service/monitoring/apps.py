from __future__ import annotations

from django.apps import AppConfig
from django.db.models.signals import post_save


class MonitoringConfig(AppConfig):
    name = "hanse.service.monitoring"
    label = "monitoring"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from hanse.service.monitoring.models import note

        post_save.connect(note, sender="access.Application", dispatch_uid="monitoring.facts")
