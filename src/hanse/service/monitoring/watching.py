"""The officers' figures: who got what, how much was asked for, how long an answer took, use against plan, what is left.

Awards are counted in the months in which they were granted, with all that was used of them since; use by month is what
the ledger recorded in that month, whenever its award was granted. Hours granted elsewhere are not in it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Count, Exists, F, OuterRef, Q, Sum

from hanse.contracts.units import SECONDS_PER_HOUR
from hanse.programme import awards
from hanse.service.access.models import Allocation, Application
from hanse.service.kept import Kept
from hanse.service.monitoring.models import ApplicationFacts
from hanse.service.runs import forecast
from hanse.service.runs.models import Machine, UsageEntry

SMALL: Final = frozenset({"sme", "start-up"})
GROUPS: Final = ("mode", "country", "kind", "field", "machine")
WORST: Final = 10
_KEPT: Final = Kept["Figures"](most=64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Months are inclusive and Brussels'; an empty text is everything."""

    first: date
    last: date
    mode: str = ""
    machine: str = ""
    country: str = ""

    @property
    def begin(self) -> datetime:
        return _begin(self.first)

    @property
    def end(self) -> datetime:
        return _begin(awards.months_later(self.last.replace(day=1), 1))

    def narrowed(self, prefix: str) -> dict[str, Any]:
        """Filters on the facts behind a relation."""
        given = {"mode": self.mode, "country": self.country}
        return {f"{prefix}{name}": value for name, value in given.items() if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One allocation of an award, in accelerator-seconds."""

    id: str
    project: str
    mode: str
    country: str
    kind: str
    field: str
    machine: str
    granted: int
    used: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one mode, country, kind, field or machine was granted. Hours are GPU-hours; `share` is of all granted."""

    by: str
    name: str
    awards: int
    granted_hours: float
    used_hours: float
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """A call, or one cut-off of it. `times` is hours asked over hours granted; None while nothing is."""

    call: str
    mode: str
    cut_off: str
    applications: int
    asked_hours: float
    granted: int
    granted_hours: float
    waiting: int
    times: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Days from the cut-off, or from sending, to the answer; and to the first day of the hours. Late: still open."""

    mode: str
    answered: int
    median_days: float
    p90_days: float
    kept: float | None
    access_median_days: float | None
    late: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    month: str
    planned_hours: float
    used_hours: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """An open allocation that will not be used up, or runs dry before its end. Hours are GPU-hours."""

    allocation: str
    project: str
    machine: str
    ends: str
    left_hours: float
    unused_hours: float
    runs_out_on: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    as_of: str
    """The moment they were counted, as ISO 8601 writes it."""
    wanted: Wanted
    awards: int
    recipients: int
    granted_hours: float
    used_hours: float
    small_share: float | None
    """What SMEs and start-ups hold of the hours granted."""
    shares: tuple[Share, ...]
    demand: tuple[Demand, ...]
    answers: tuple[Answers, ...]
    months: tuple[Month, ...]
    outlook: tuple[Outlook, ...]
    choices: Mapping[str, Sequence[str]] = field(default_factory=dict)


def figures(wanted: Wanted, at: datetime) -> Figures:
    """All of them, in a fixed number of queries whatever there is; kept for FIGURES_KEPT_S, as `as_of` tells."""
    if not (kept_for := timedelta(seconds=settings.FIGURES_KEPT_S)):
        return _figures(wanted, at)
    return _KEPT.get(wanted, partial(_figures, wanted), at=at, kept_for=kept_for)


def _figures(wanted: Wanted, at: datetime) -> Figures:
    granted, awarded, recipients = _granted(wanted)
    total = sum(one.granted for one in granted)
    small = sum(one.granted for one in granted if one.kind in SMALL)
    return Figures(
        as_of=at.isoformat(), wanted=wanted, awards=awarded, recipients=recipients, granted_hours=_hours(total),
        used_hours=_hours(sum(one.used for one in granted)), small_share=small / total if total else None,
        shares=tuple(shares(granted)), demand=tuple(_demand(wanted)), answers=tuple(_answers(wanted, at)),
        months=tuple(_months(wanted)), outlook=tuple(_outlook(wanted, at)), choices=_choices(),
    )  # fmt: skip


def shares(granted: Sequence[Held]) -> Iterable[Share]:
    """Each way of grouping adds up to the whole; the largest first."""
    total = sum(one.granted for one in granted)
    for by in GROUPS:
        sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        for one in granted:
            row = sums[getattr(one, by)]
            row[0], row[1], row[2] = row[0] + 1, row[1] + one.granted, row[2] + one.used
        for name, (count, hours, used) in sorted(sums.items(), key=lambda item: (-item[1][1], item[0])):
            yield Share(
                by=by, name=name, awards=count, granted_hours=_hours(hours), used_hours=_hours(used),
                share=hours / total if total else 0.0,
            )  # fmt: skip


def _allocations(wanted: Wanted) -> Any:
    facts = "award__application__facts__"
    found = Allocation.objects.filter(award__isnull=False, **wanted.narrowed(facts)).order_by()
    return found.filter(machine__public_id=wanted.machine) if wanted.machine else found


def _granted(wanted: Wanted) -> tuple[list[Held], int, int]:
    """With the number of awards and of the organisations that hold them."""
    facts = "award__application__facts__"
    found = _allocations(wanted).filter(award__granted_at__gte=wanted.begin, award__granted_at__lt=wanted.end)
    used = dict(
        UsageEntry.objects.order_by()
        .filter(allocation__in=found.values("pk"))
        .values_list("allocation")
        .annotate(sum=Sum("accelerator_seconds"))
    )
    rows = list(
        found.values_list(
            "pk",
            "public_id",
            "project__name",
            "machine__public_id",
            "granted_accelerator_seconds",
            "returned_accelerator_seconds",
            "award_id",
            "project__organisation_id",
            *(facts + name for name in ("mode", "country", "kind", "field")),
        )
    )
    held = [
        Held(
            id=public_id, project=project, machine=machine, granted=holds + returned, used=used.get(pk, 0),
            mode=mode or "", country=country or "", kind=kind or "", field=panel or "",
        )
        for pk, public_id, project, machine, holds, returned, _award, _of, mode, country, kind, panel in rows
    ]  # fmt: skip
    return held, len({row[6] for row in rows}), len({row[7] for row in rows})


def _demand(wanted: Wanted) -> Iterable[Demand]:
    found = ApplicationFacts.objects.filter(
        application__sent_at__gte=wanted.begin, application__sent_at__lt=wanted.end, **wanted.narrowed("")
    ).exclude(application__state="withdrawn")
    if wanted.machine:
        found = found.filter(machine=wanted.machine)
    rows = (
        found.values("application__call__call_id", "mode", "application__cut_off")
        .annotate(
            number=Count("pk"),
            asked=Sum("asked_gpu_hours"),
            given=Sum("application__award__gpu_hours"),
            granted=Count("pk", filter=Q(application__state="granted")),
            waiting=Count("pk", filter=Q(application__state__in=("sent", "in-review"))),
        )
        .order_by("application__call__call_id", F("application__cut_off").asc(nulls_first=True))
    )
    zone = ZoneInfo(settings.DISPLAY_TIME_ZONE)
    for row in rows:
        cut_off, given = row["application__cut_off"], row["given"] or 0
        yield Demand(
            call=row["application__call__call_id"], mode=row["mode"],
            cut_off=f"{cut_off.astimezone(zone):%Y-%m-%d}" if cut_off else "", applications=row["number"],
            asked_hours=float(row["asked"]), granted=row["granted"], granted_hours=float(given),
            waiting=row["waiting"], times=row["asked"] / given if given else None,
        )  # fmt: skip


def _answers(wanted: Wanted, at: datetime) -> Iterable[Answers]:
    found = Application.objects.order_by().filter(**wanted.narrowed("facts__"))
    if wanted.machine:
        found = found.filter(facts__machine=wanted.machine)
    decided = found.filter(decided_at__gte=wanted.begin, decided_at__lt=wanted.end, sent_at__isnull=False)
    waits: dict[str, list[float]] = defaultdict(list)
    kept: dict[str, list[bool]] = defaultdict(list)
    access: dict[str, list[float]] = defaultdict(list)
    rows = decided.values_list("facts__mode", "sent_at", "cut_off", "decided_at", "decide_by", "award__starts")
    for mode, sent_at, cut_off, decided_at, decide_by, starts in rows.iterator():
        since = cut_off or sent_at
        waits[mode or ""].append(_days(decided_at - since))
        if decide_by:
            kept[mode or ""].append(decided_at <= decide_by)
        if starts:
            opens = max(datetime(starts.year, starts.month, starts.day, tzinfo=UTC), decided_at)
            access[mode or ""].append(_days(opens - since))
    late = dict(
        found.filter(state__in=("sent", "in-review"), decide_by__lt=at)
        .values_list("facts__mode")
        .annotate(number=Count("pk"))
    )
    for mode in sorted({*waits, *(mode or "" for mode in late)}):
        yield Answers(
            mode=mode, answered=len(waits[mode]), median_days=percentile(waits[mode], 0.5),
            p90_days=percentile(waits[mode], 0.9),
            kept=sum(kept[mode]) / len(kept[mode]) if kept[mode] else None,
            access_median_days=percentile(access[mode], 0.5) if access[mode] else None, late=late.get(mode, 0),
        )  # fmt: skip


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of them does not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def _months(wanted: Wanted) -> Iterable[Month]:
    begins = [wanted.first.replace(day=1)]
    while begins[-1] < wanted.last.replace(day=1):
        begins.append(awards.months_later(begins[-1], 1))
    entries = UsageEntry.objects.order_by().filter(
        allocation__in=_allocations(wanted).values("pk"), recorded_at__gte=wanted.begin, recorded_at__lt=wanted.end
    )
    sums = entries.aggregate(**{
        f"m{number}": Sum("accelerator_seconds", filter=Q(
            recorded_at__gte=_begin(day), recorded_at__lt=_begin(awards.months_later(day, 1))
        ))
        for number, day in enumerate(begins)
    })  # fmt: skip
    planned: dict[str, int] = defaultdict(int)
    alike = (
        _allocations(wanted)
        .filter(starts__lt=wanted.end.date(), ends__gte=wanted.first.replace(day=1))
        .values("starts", "ends", "award__pattern")
        .annotate(sum=Sum("granted_accelerator_seconds"))
    )
    for row in alike:
        for month, amount in awards.spread(row["sum"], row["starts"], row["ends"], row["award__pattern"]).items():
            planned[month] += amount
    for number, day in enumerate(begins):
        month = awards.month_of(day)
        yield Month(month=month, planned_hours=_hours(planned[month]), used_hours=_hours(sums[f"m{number}"] or 0))


def _outlook(wanted: Wanted, at: datetime) -> list[Outlook]:
    """The ten that leave most unused and the ten that run dry first."""
    today = at.astimezone(ZoneInfo(settings.DISPLAY_TIME_ZONE)).date()
    open_now = _allocations(wanted).filter(starts__lte=today, ends__gte=today, suspended_at=None)
    entries = UsageEntry.objects.order_by().filter(allocation__in=open_now.values("pk"))
    used = dict(entries.values_list("allocation").annotate(sum=Sum("accelerator_seconds")))
    since = at - timedelta(days=forecast.PACE_DAYS)
    pace = dict(
        entries.filter(recorded_at__gt=since).values_list("allocation").annotate(sum=Sum("accelerator_seconds"))
    )
    unused, dry = [], []
    rows = open_now.values_list(
        "pk", "public_id", "project__name", "machine__public_id", "granted_accelerator_seconds", "starts", "ends"
    )
    for pk, public_id, project, machine, holds, starts, ends in rows.iterator():
        told = forecast.forecast(
            granted=holds, used=used.get(pk, 0), reserved=0, by_day={today: pace.get(pk, 0)}, starts=starts,
            ends=ends, today=today,
        )  # fmt: skip
        if not told.sentences:
            continue
        one = Outlook(
            allocation=public_id, project=project, machine=machine, ends=ends.isoformat(),
            left_hours=_hours(holds - used.get(pk, 0)), unused_hours=_hours(told.unused_accelerator_seconds),
            runs_out_on=told.runs_out_on.isoformat() if told.runs_out_on else "", sentence=" ".join(told.sentences),
        )  # fmt: skip
        (dry if told.runs_out_on else unused).append(one)
    unused.sort(key=lambda one: (-one.unused_hours, one.allocation))
    dry.sort(key=lambda one: (one.runs_out_on, one.allocation))
    return dry[:WORST] + unused[:WORST]


def _choices() -> dict[str, list[str]]:
    facts = set(ApplicationFacts.objects.order_by().values_list("mode", "country").distinct())
    held = Machine.objects.filter(Exists(Allocation.objects.filter(machine=OuterRef("pk"))))
    return {
        "mode": sorted({mode for mode, _ in facts}),
        "machine": sorted(held.values_list("public_id", flat=True)),
        "country": sorted({country for _, country in facts}),
    }


def _begin(day: date) -> datetime:
    return datetime(day.year, day.month, 1, tzinfo=ZoneInfo(settings.DISPLAY_TIME_ZONE))


def _hours(accelerator_seconds: int) -> float:
    return round(accelerator_seconds / SECONDS_PER_HOUR, 1)


def _days(span: timedelta) -> float:
    return round(max(0.0, span.total_seconds() / 86_400), 2)


SHEETS: Final[Mapping[str, type[Any]]] = {
    "shares": Share, "demand": Demand, "answers": Answers, "months": Month, "outlook": Outlook,
}  # fmt: skip
"""What can be kept as CSV, by its address."""
