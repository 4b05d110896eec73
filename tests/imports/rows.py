"""A row of an award decided elsewhere, as a file's and as a contract."""

from __future__ import annotations

import csv
import io
from datetime import date
from decimal import Decimal
from typing import Any

from hanse.contracts.imports import AwardRow
from hanse.contracts.machine import Billing, Partition
from hanse.programme.imports.columns import COLUMNS
from tests.service.fixtures import a_machine

NEEDED = {
    "source": "eurohpc", "reference": "EHPC-AIF-2026FL01-012", "mode": "fast-lane", "title": "Delivery notes",
    "organisation": "Brick AI", "organisation_kind": "start-up", "country": "BE", "contact_email": "f@example.eu",
    "machine": "local", "amount": "5000", "starts": "2026-11-01", "ends": "2099-12-31",
}  # fmt: skip
BOOSTER = a_machine(
    "booster", accelerators_per_node=4, billing=Billing(unit="core-hour", units_per_node_hour=32),
    partitions=(Partition(name="boost", max_wall_time_s=86_400),),
)  # fmt: skip
MODULES = a_machine(
    "modules",
    accelerators_per_node=8,
    billing=Billing(unit="GPU-hour (one module, two devices)", units_per_node_hour=4),
)


def a_row(line: int = 2, **changes: Any) -> AwardRow:
    plain = dict(NEEDED) | {"starts": date(2026, 11, 1), "ends": date(2099, 12, 31), "amount": Decimal(5000)}
    return AwardRow(**({"line": line} | plain | changes))


def a_file(*rows: dict[str, str], separator: str = ",", columns: tuple[str, ...] = ()) -> str:
    """Lines as a spreadsheet writes them, with the needed cells filled."""
    header = columns or tuple(dict.fromkeys([*NEEDED, *(name for row in rows for name in row)]))
    assert set(header) <= set(COLUMNS)
    written = io.StringIO()
    writer = csv.DictWriter(written, header, delimiter=separator, restval="", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(NEEDED | row for row in rows)
    return written.getvalue()
