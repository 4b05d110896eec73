"""Addresses of its pages; included at the root, before the portal's own."""

from __future__ import annotations

from django.urls import path

from hanse.service.monitoring import pages, watching_pages

app_name = "monitoring"

urlpatterns = [
    path("register/", pages.page, name="register"),
    path("register.csv", pages.as_csv, name="register-csv"),
    path("register.json", pages.as_json, name="register-json"),
    path("monitoring/usage.csv", pages.usage_csv, name="usage-csv"),
    path("monitoring/", watching_pages.page, name="watching"),
    path("monitoring/figures.json", watching_pages.as_json, name="watching-json"),
    path("monitoring/<slug:name>.csv", watching_pages.sheet, name="sheet"),
]
