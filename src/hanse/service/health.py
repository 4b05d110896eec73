"""Whether this process answers (`/healthz`), and whether the service can do its work (`/readyz`).

Readiness tells each part apart; what it says to a stranger is only which part, never why in the words of a database.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse

from hanse import __version__
from hanse.contracts.base import now
from hanse.service import bootstrap, homes

logger = logging.getLogger(__name__)
TICK_LATE_AFTER = timedelta(minutes=5)
TICKED, TICKET_KEY = "ticked-at", "ticket.key"


def healthy(_request: HttpRequest) -> HttpResponse:
    """For whoever waits for the service to answer."""
    return HttpResponse(f"hanse {__version__}\n", content_type="text/plain")


def ready(_request: HttpRequest) -> HttpResponse:
    """200 if every part is well, else 503; which is which stands in the answer.

    Chores that failed are told and do not make the service unready: it answers people and agents without them.
    """
    parts = {name: _said(name, check) for name, check in CHECKS.items()}
    well = all(said == "ok" for said in parts.values())
    parts["chores"] = _said("chores", _chores)
    return JsonResponse({"ready": well, "parts": parts}, status=200 if well else 503)


def ticked(at: datetime, *, failed: Sequence[str] = ()) -> None:
    """Note that the timed work was done, but for the chores that failed."""
    homes.write_private(Path(settings.SERVICE_FOLDER) / TICKED, "\n".join([at.isoformat(), *failed]).encode())


def last_tick() -> datetime | None:
    told = _told()
    return datetime.fromisoformat(told[0]) if told else None


def failed_chores() -> tuple[str, ...]:
    """Of the last tick."""
    return _told()[1:]


def _told() -> tuple[str, ...]:
    path = Path(settings.SERVICE_FOLDER) / TICKED
    return tuple(path.read_text(encoding="utf-8").split()) if path.exists() else ()


def _said(name: str, check: Callable[[], str]) -> str:
    try:
        return check() or "ok"
    except Exception:
        logger.exception("the readiness of %s could not be told", name)
        return "fails"


def _database() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return ""


def _migrations() -> str:
    missing = bootstrap.unapplied_migrations()
    return f"{missing} missing; run hanse manage prepare" if missing else ""


def _ticket_key() -> str:
    path = Path(settings.SERVICE_FOLDER) / TICKET_KEY
    return "" if not path.exists() or path.read_bytes() else "empty"


def _tick() -> str:
    at = last_tick()
    if at is None:
        return "has not run yet"
    return "late" if now() - at > TICK_LATE_AFTER else ""


def _chores() -> str:
    failed = failed_chores()
    return f"failed: {', '.join(failed)}; see the log" if failed else ""


CHECKS: dict[str, Callable[[], str]] = {
    "database": _database,
    "migrations": _migrations,
    "ticket_key": _ticket_key,
    "tick": _tick,
}
