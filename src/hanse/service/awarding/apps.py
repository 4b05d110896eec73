from __future__ import annotations

from django.apps import AppConfig


class AwardingConfig(AppConfig):
    name = "hanse.service.awarding"
    label = "awarding"
    default_auto_field = "django.db.models.BigAutoField"
