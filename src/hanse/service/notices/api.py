"""Its part of the API for people and programs."""

from __future__ import annotations

from ninja import Router

router = Router(tags=["notices"])
