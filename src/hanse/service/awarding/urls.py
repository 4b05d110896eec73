"""Addresses of its pages; included at the root, before the portal's own."""

from __future__ import annotations

from django.urls import URLPattern

app_name = "awarding"

urlpatterns: list[URLPattern] = []
