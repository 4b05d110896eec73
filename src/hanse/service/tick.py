"""All timed work, in one idempotent pass: run it as often as you like, from as many places as you like."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib import import_module

from django.conf import settings
from django.db import transaction

from hanse.contracts.base import now
from hanse.service import health
from hanse.service.access.models import Allocation, ApiToken, LoginLink
from hanse.service.awarding import chores as awarding
from hanse.service.compliance import chores as compliance
from hanse.service.compliance import rescreen
from hanse.service.forms import chores as forms
from hanse.service.imports import chores as imports
from hanse.service.monitoring import chores as monitoring
from hanse.service.notices import chores as notices
from hanse.service.review import chores as review
from hanse.service.runs import arrivals, exchanges, fewer, forecast, metering, placing
from hanse.service.runs.models import Event, Machine, Parcel

logger = logging.getLogger(__name__)
APPS = {
    "review": review, "awarding": awarding, "imports": imports, "monitoring": monitoring, "forms": forms,
    "compliance": compliance, "notices": notices,
}  # fmt: skip
"""Notices last: they tell what the others found."""
KEEP_DEAD_TOKENS = timedelta(days=30)
"""So that «who used this?» can still be answered for a while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticked:
    """How much each chore found to do, and which of them failed."""

    settled: int = 0
    agents_away: int = 0
    allocations_ended: int = 0
    parcels_pruned: int = 0
    exchanges: int = 0
    recalled: int = 0
    unarrived: int = 0
    fewer_nodes: int = 0
    purged: int = 0
    warnings: int = 0
    stops_asked: int = 0
    rescreened: int = 0
    others: Mapping[str, int] = field(default_factory=dict)
    """By app: review, awarding, imports, monitoring, notices, forms, compliance."""
    failed: tuple[str, ...] = ()
    """A chore that fails stops no other; its reason stands in the log, and the next tick tries it again."""


def tick(at: datetime | None = None) -> Ticked:
    moment, failed = at or now(), list[str]()

    def found(name: str, chore: Callable[[datetime], int]) -> int:
        try:
            return chore(moment)
        except Exception:
            logger.exception("the chore %s failed; the next tick tries it again", name)
            failed.append(name)
            return 0

    own = {name: found(name, chore) for name, chore in _own().items()}
    others = {name: found(name, app.run) for name, app in APPS.items()}
    health.ticked(moment, failed=failed)
    return Ticked(**own, others=others, failed=tuple(failed))


def _own() -> dict[str, Callable[[datetime], int]]:
    return {
        "settled": lambda _at: metering.settle_attempts(),
        "agents_away": Machine.note_the_away,
        "allocations_ended": _note_ended_allocations,
        "parcels_pruned": Parcel.prune,
        "exchanges": exchanges.look_after,
        "recalled": placing.look_after,
        "unarrived": arrivals.look_after,
        "fewer_nodes": fewer.look_after,
        "purged": _purge,
        "warnings": forecast.warn,
        "stops_asked": forecast.stop_in_time,
        "rescreened": rescreen.share,
    }


def _note_ended_allocations(at: datetime) -> int:
    ended = Allocation.objects.filter(ends__lt=at.date(), ended_at=None)
    noted = 0
    for allocation in ended:
        with transaction.atomic():
            if Allocation.objects.filter(pk=allocation.pk, ended_at=None).update(ended_at=at):
                Event.record("service:allocation:ended", allocation.public_id, by="tick")
                noted += 1
    return noted


def _purge(at: datetime) -> int:
    links, _ = LoginLink.objects.filter(expires_at__lt=at - timedelta(days=1)).delete()
    expired, _ = ApiToken.objects.filter(expires_at__lt=at - KEEP_DEAD_TOKENS).delete()
    revoked, _ = ApiToken.objects.filter(revoked_at__lt=at - KEEP_DEAD_TOKENS).delete()
    import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()
    return links + expired + revoked
