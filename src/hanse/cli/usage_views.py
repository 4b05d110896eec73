"""An allocation's use as a person reads it on a terminal: sums in two units, days, drift, forecast, latest entries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Group, RenderableType
from rich.text import Text

from hanse.cli.views import pairs, sentences, table, when
from hanse.contracts.units import NBSP, SECONDS_PER_HOUR, format_gpu_hours, format_percent, significant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hanse.client.usage import Drift, MonthOfUse, UsageReport

_DAYS: Final = 7
_JOULES_PER_KWH: Final = 3.6e6
_KINDS: Final = {"measured": "Hanse's runs", "site": "Other jobs of the account", "correction": "Corrections"}


def report(shown: UsageReport, *, entries: int) -> RenderableType:
    one = shown.allocation
    granted = one.granted_accelerator_seconds
    share = f" ({format_percent(one.used_accelerator_seconds / granted)})" if granted else ""
    rows: list[tuple[str, RenderableType]] = [
        ("Granted", amount(shown, granted)),
        ("Used", amount(shown, one.used_accelerator_seconds) + share),
        *((f"· {name}", amount(shown, shown.by_kind[kind])) for kind, name in _KINDS.items() if kind in shown.by_kind),
        ("Reserved", f"{amount(shown, one.reserved_accelerator_seconds)} by what runs and waits"),
        ("Free", amount(shown, one.free_accelerator_seconds)),
        ("Energy", energy(shown)),
        ("Until", f"{one.ends:%-d %B %Y}"),
    ]
    parts: list[RenderableType] = [Text(f"{one.id} on {one.machine}", style="bold"), pairs(rows)]
    said = [*(shown.forecast.sentences if shown.forecast else ()), *(drift(shown.drift) if shown.drift else ())]
    if said:
        parts.append(sentences(said))
    if shown.by_day:
        units = [shown.billing.unit] if shown.billing and _unit(shown, 0) else []
        days = table("Day", "GPU-hours", *units, right=("GPU-hours",))
        for day in shown.by_day[-_DAYS:]:
            days.add_row(
                f"{day.day:%a %-d %b}", _hours(day.accelerator_seconds), *_unit(shown, day.accelerator_seconds)
            )
        parts += ["", days]
    if entries and shown.items:
        latest = table("Entry", "Recorded", "GPU-hours", "Of", right=("GPU-hours",), whole=("Entry", "Recorded"))
        for entry in shown.items[:entries]:
            of = entry.attempt_id if entry.attempt_id and not entry.note else entry.note or entry.kind
            latest.add_row(entry.id, when(entry.recorded_at), _hours(entry.accelerator_seconds), of)
        parts += ["", latest]
    return Group(*parts)


def amount(shown: UsageReport, accelerator_seconds: int) -> str:
    """In GPU-hours, and in the unit the site bills in where that is another."""
    said = format_gpu_hours(accelerator_seconds)
    unit = _unit(shown, accelerator_seconds)
    return f"{said} = {unit[0]}{NBSP}{shown.billing.unit}" if unit and shown.billing else said


def energy(shown: UsageReport) -> str:
    """What was counted and what was estimated stand apart."""
    said = [
        f"{significant(joules / _JOULES_PER_KWH)}{NBSP}kWh {word}"
        for joules, word in (
            (shown.energy_joules_counted, "counted by the site"),
            (shown.energy_joules_estimated, "estimated from the nodes' power"),
        )
        if joules
    ]
    return " and ".join(said) or "not known"


def drift(found: Drift) -> list[str]:
    period = f" since {found.since:%-d %B %Y}" if found.since else ""
    said = []
    over = found.ledger_over_counter
    if over is not None:
        words = (
            "as the site's own counter" if not over else f"{_hours(abs(over))} {'more' if over > 0 else 'less'} than it"
        )
        said.append(
            f"The site counts {found.counter} for account {found.account}{period}: "
            f"{format_gpu_hours(found.counter_accelerator_seconds or 0)}; this ledger says {words}"
            + (f" ({format_gpu_hours(found.ledger_accelerator_seconds)})." if over else ".")
        )
    apart = found.ledger_accelerator_seconds - found.jobs_accelerator_seconds
    if apart:
        word = "more" if apart > 0 else "less"
        said.append(f"It says {_hours(abs(apart))} {word} than the account's jobs come to by the site's accounting.")
    if found.attempts_accelerator_seconds:
        said.append(
            f"Of debited attempts the site's accounting has {found.attempts_accelerator_seconds:+,} GPU-seconds."
        )
    return [*said, *([found.note] if found.note else [])]


def _hours(accelerator_seconds: int) -> str:
    return format_gpu_hours(accelerator_seconds).partition(NBSP)[0]


def _unit(shown: UsageReport, accelerator_seconds: int) -> list[str]:
    """In the site's own unit; nothing where that is the GPU-hour too."""
    if shown.billing is None:
        return []
    per_hour = shown.billing.units_per_node_hour / shown.accelerators_per_node
    if per_hour == 1 and shown.billing.unit == "GPU-hour":
        return []
    return [significant(accelerator_seconds / SECONDS_PER_HOUR * per_hour)]


def months(rows: Sequence[MonthOfUse]) -> RenderableType:
    """A month's use of all allocations, the machine's own unit beside."""
    shown = table("Project", "Reference", "Organisation", "Mode", "Machine", "GPU-hours", "Jobs",
                  right=("GPU-hours", "Jobs"))  # fmt: skip
    for one in rows:
        where = " ".join((one.machine, one.partition)).strip()
        shown.add_row(
            one.project, one.reference, one.organisation, one.mode, where, f"{one.gpu_hours:,.1f}", f"{one.jobs:,}"
        )
    return shown


def months_csv(rows: Sequence[MonthOfUse]) -> str:
    """The same lines as the service's usage.csv; no cell is a formula."""
    import csv
    import io

    from hanse.client.usage import MonthOfUse
    from hanse.reporting.sheet import cell

    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(MonthOfUse.model_fields)
    for one in rows:
        writer.writerow([cell(getattr(one, name)) for name in MonthOfUse.model_fields])
    return written.getvalue()
