"""Admin of screenings."""

from __future__ import annotations

from django.contrib import admin

from hanse.service.compliance.models import Rescreening, Screening
from hanse.service.readonly import ReadOnlyAdmin


@admin.register(Screening)
class ScreeningAdmin(ReadOnlyAdmin):
    list_display = ["application", "made_at"]


@admin.register(Rescreening)
class RescreeningAdmin(ReadOnlyAdmin):
    list_display = ["screening", "as_of", "made_at"]
