"""Many rows at once: their ids from seeded dice, their times as given, and the shapes they are spread by."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count, islice
from typing import Any

from django.db.models import Max

from hanse.contracts.base import now

AT_ONCE = 2_000
DAYS = 1_100
"""Three years of a programme."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    organisations: int = 20_000
    applications: int = 50_000
    runs: int = 200_000
    machines: int = 9
    told_runs: int = 3_000
    """Of them, the latest: with telemetry, log and notices, which a service prunes or a page seldom asks for."""

    def over(self, divisor: int) -> Sizes:
        return Sizes(
            organisations=self.organisations // divisor, applications=self.applications // divisor,
            runs=self.runs // divisor, told_runs=self.told_runs // divisor,
        )  # fmt: skip


class Dice(random.Random):
    """Throws that are the same for the same seed."""

    at: datetime

    def __init__(self, seed: int = 7) -> None:
        super().__init__(seed)
        self.at = now()

    def id(self, prefix: str) -> str:
        return f"{prefix}-{self.getrandbits(48):012x}"

    def few_have_most(self, many: Sequence[Any]) -> Any:
        """The first ones often: of 20,000 organisations the first sends about one application in 700."""
        return many[int(len(many) * self.random() ** 1.5)]

    def one_of(self, weights: dict[str, int]) -> str:
        return self.choices(list(weights), list(weights.values()))[0]

    def days_ago(self, least: float, most: float) -> datetime:
        return self.at - timedelta(days=self.uniform(least, most))


def store(model: Any, rows: Iterable[Any]) -> list[Any]:
    """All of them, without signals, as fast as Django's own conversion allows; they come back with their keys."""
    from django.db import connections, transaction

    connection = connections["default"]  # itself: the proxy looks it up at every touch
    fields, known = model._meta.concrete_fields, model._meta.pk
    columns = ", ".join(connection.ops.quote_name(field.column) for field in fields)
    places = ", ".join(["%s"] * len(fields))
    insert = f"INSERT INTO {connection.ops.quote_name(model._meta.db_table)} ({columns}) VALUES ({places})"
    stored, source = [], iter(rows)
    numbers = count(1 + (model._base_manager.aggregate(most=Max("pk"))["most"] or 0)) if known.auto_created else None
    while part := list(islice(source, AT_ONCE)):
        for row in part:
            if numbers is not None:
                row.pk = next(numbers)
            row._prepare_related_fields_for_save(operation_name="store")
            row._state.adding, row._state.db = False, connection.alias
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.executemany(insert, [
                [field.get_db_prep_save(field.pre_save(row, add=True), connection) for field in fields]
                for row in part
            ])  # fmt: skip
        stored += part
    _set_sequence(connection, model)
    return stored


def _set_sequence(connection: Any, model: Any) -> None:
    """PostgreSQL counts keys on its own; what was stored here brought them along."""
    from django.core.management.color import no_style

    with connection.cursor() as cursor:
        for sql in connection.ops.sequence_reset_sql(no_style(), [model]):
            cursor.execute(sql)


@contextmanager
def times_as_given() -> Iterator[None]:
    """What Django would date now keeps the day it is given: three years are written in minutes."""
    from django.apps import apps

    dated = [
        field
        for model in apps.get_models()
        for field in model._meta.local_fields
        if getattr(field, "auto_now_add", False) and model.__module__.startswith("hanse.")
    ]
    for field in dated:
        field.auto_now_add = False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for field in dated:
            field.auto_now_add = True  # type: ignore[attr-defined]
