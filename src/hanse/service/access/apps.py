from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import m2m_changed


class AccessConfig(AppConfig):
    name = "hanse.service.access"
    label = "access"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from hanse.service.access.people import Person

        def forget(instance: Any, **_more: Any) -> None:
            if isinstance(instance, Person):
                instance.forget_standing()

        m2m_changed.connect(forget, sender=Person.groups.through, weak=False, dispatch_uid="access.standing")
