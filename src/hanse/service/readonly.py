"""Admin pages that show and do not change: states, events and usage are changed by their verbs only."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest


class ReadOnlyAdmin(admin.ModelAdmin):
    """Every field shown, none editable, nothing added or deleted."""

    def has_add_permission(self, _request: HttpRequest, *_args: Any) -> bool:
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        return False


class KeptAdmin(admin.ModelAdmin):
    """May be added and corrected, never deleted: other records point to it."""

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        return False
