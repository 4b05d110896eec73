"""Addresses of the pages; included last, at the root."""

from __future__ import annotations

from django.urls import URLPattern

app_name = "portal"

urlpatterns: list[URLPattern] = []
