"""People read times as Brussels keeps them, in their language; the database and the API stay in UTC and English.

Every request has an id.

A request is logged by its route and not by its address: addresses of sign-in links hold secrets.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from hanse.reporting.markup import speaking
from hanse.service import metrics, uploads
from hanse.service.logs import context_of
from hanse.service.notices import viewings
from hanse.service.portal import language

logger = logging.getLogger("hanse.requests")
HEADER = "X-Request-ID"
_GIVEN = re.compile(r"[A-Za-z0-9._-]{8,64}")
_ABOUT = {"run_id": "run", "attempt_id": "attempt", "machine_id": "machine"}


def brussels_time(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    def middleware(request: HttpRequest) -> HttpResponse:
        # What a machine reads stays English, whoever's browser asks for it.
        stands = request.path.startswith("/api/") or language.is_english()
        say = None if stands else language.say
        with timezone.override(settings.DISPLAY_TIME_ZONE), speaking(say):
            return language.kept(request, get_response(request))

    return middleware


def requests(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Gives every request an id, which its answer and its log lines carry; a proxy's own id is kept."""

    def middleware(request: HttpRequest) -> HttpResponse:
        given, began = request.headers.get(HEADER, ""), time.perf_counter()
        context = {"request": given if _GIVEN.fullmatch(given) else secrets.token_hex(8)}
        token = context_of.set(context)
        try:
            response = uploads.refused(request) or get_response(request)
            match, took_s = request.resolver_match, time.perf_counter() - began
            route = match.route if match else "unknown"
            context |= {
                _ABOUT[key]: str(value) for key, value in (match.kwargs if match else {}).items() if key in _ABOUT
            }
            told = {"method": request.method, "route": route, "status": response.status_code,
                    "duration_ms": round(took_s * 1000, 1)}  # fmt: skip
            logger.info("%s %s %s", request.method, route, response.status_code, extra={"told": told})
            metrics.answered(request.method or "", route, took_s)
            viewings.note(request, response)
            response[HEADER] = context["request"]
            return response
        finally:
            context_of.reset(token)

    return middleware
