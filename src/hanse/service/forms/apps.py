from __future__ import annotations

from django.apps import AppConfig


class FormsConfig(AppConfig):
    name = "hanse.service.forms"
    label = "forms"
    default_auto_field = "django.db.models.BigAutoField"
