"""Admin of what was brought in: to be read, as every change has its own way."""

from __future__ import annotations

from django.contrib import admin

from hanse.service.imports import models
from hanse.service.readonly import ReadOnlyAdmin

for model in models.__all__:
    admin.site.register(getattr(models, model), ReadOnlyAdmin)
