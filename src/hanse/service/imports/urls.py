"""Addresses of its pages; included at the root, before the portal's own."""

from __future__ import annotations

from django.urls import path, re_path

from hanse.service.imports import pages

app_name = "imports"

urlpatterns = [
    path("awards/imports/", pages.overview, name="overview"),
    path("awards/imports/awards.csv", pages.template, name="template"),
    re_path(r"^awards/imports/(?P<batch_id>imp-[a-z0-9]+)\.csv$", pages.as_csv, name="csv"),
    path("awards/imports/<str:batch_id>/", pages.batch, name="batch"),
    path("awards/imports/<str:batch_id>/decide/", pages.decide, name="decide"),
    path("awards/imports/<str:batch_id>/choose/", pages.choose, name="choose"),
]
