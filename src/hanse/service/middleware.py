"""People read times as Brussels keeps them; the database and the API stay in UTC."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone


def brussels_time(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    def middleware(request: HttpRequest) -> HttpResponse:
        with timezone.override(settings.DISPLAY_TIME_ZONE):
            return get_response(request)

    return middleware
