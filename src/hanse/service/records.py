"""What every stored object shares: a public id, contracts as columns, and state changes by compare-and-set.

A change of state is one UPDATE that names the state it starts from, with its event in the same transaction: of two that
race, one wins and the other raises Conflict. Where the transaction around it is rolled back, `together` has the objects
in memory be as they were, too.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

from django.db import models, transaction
from django.utils.module_loading import import_string

from hanse.contracts.base import Contract
from hanse.contracts.errors import Conflict
from hanse.service.runs.events import Event

ALPHABET = "23456789abcdefghjkmnpqrstvwxyz"
"""Without letters and digits that are mistaken for one another."""
ID_LENGTH = 10
"""49 bits: unguessable enough beside the permission check, short enough to read out."""


def new_id(prefix: str) -> str:
    return f"{prefix}-{''.join(secrets.choice(ALPHABET) for _ in range(ID_LENGTH))}"


class PublicIdField(models.CharField):
    """The id the outside world knows: `run-7h3k9qm2xa`. Matches `contracts.base.Identifier`."""

    def __init__(self, prefix: str = "", **options: Any) -> None:
        self.prefix = prefix
        options |= {"max_length": 63, "unique": True, "editable": False}
        if prefix:
            options["default"] = partial(new_id, prefix)
        super().__init__(**options)

    def deconstruct(self) -> tuple[str, str, list[Any], dict[str, Any]]:
        name, path, args, options = super().deconstruct()
        for key in ("max_length", "unique", "editable", "default"):
            options.pop(key, None)
        return name, path, args, {**options, "prefix": self.prefix}


class ContractField(models.JSONField):
    """A column that holds one contract; read back as the object it was."""

    def __init__(self, contract: str = "", **options: Any) -> None:
        self.contract = contract
        """Dotted path, so that migrations need not import the class."""
        super().__init__(**options)

    def deconstruct(self) -> tuple[str, str, list[Any], dict[str, Any]]:
        name, path, args, options = super().deconstruct()
        return name, path, args, {**options, "contract": self.contract}

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Contract | None:
        data = super().from_db_value(value, expression, connection)
        return None if data is None else self._kind().model_validate(data)

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        plain = value.model_dump(mode="json") if isinstance(value, Contract) else value
        return super().get_db_prep_value(plain, connection, prepared)

    def value_to_string(self, obj: models.Model) -> Any:
        value = self.value_from_object(obj)
        return value.model_dump(mode="json") if isinstance(value, Contract) else value

    def to_python(self, value: Any) -> Any:
        return self._kind().model_validate(value) if isinstance(value, dict) else value

    def validate(self, value: Any, model_instance: Any) -> None:
        plain = value.model_dump(mode="json") if isinstance(value, Contract) else value
        super().validate(plain, model_instance)

    def _kind(self) -> type[Contract]:
        kind: type[Contract] = import_string(self.contract)
        return kind


_undoing: ContextVar[list[tuple[Any, dict[str, Any]]] | None] = ContextVar("undoing", default=None)
"""Objects whose fields were set within `together`, each with what stood there before."""


@contextmanager
def together() -> Iterator[None]:
    """All of it or nothing: a transaction, after whose failure the objects changed within are as they were before it.

    A decision that was refused half-way may then be asked of the same object again.
    """
    outer, mine = _undoing.get(), list[tuple[Any, dict[str, Any]]]()
    reset = _undoing.set(mine)
    try:
        with transaction.atomic():
            yield
    except BaseException:
        for record, before in reversed(mine):
            for name, value in before.items():
                setattr(record, name, value)
        raise
    finally:
        _undoing.reset(reset)
    if outer is not None:
        outer += mine


def set_fields(record: Any, **fields: Any) -> None:
    """Set what was just stored on the object, too; undone where the work around it fails."""
    undoing = _undoing.get()
    if undoing is not None:
        columns = {record._meta.get_field(name).attname for name in fields}
        undoing.append((record, {name: record.__dict__[name] for name in columns if name in record.__dict__}))
    for name, value in fields.items():
        setattr(record, name, value)


def transition(
    record: Any,
    to: Any,
    table: Mapping[Any, frozenset[Any]],
    *,
    event: str,
    by: str,
    reason: str = "",
    keep_reason: bool = False,
    data: Mapping[str, str | int | float | bool | None] | None = None,
    **fields: Any,
) -> None:
    """Take `record` from the state it was read in to `to`, with its event, or raise Conflict and change nothing.

    The reason goes into the event; with `keep_reason` into the record's own `reason` too.
    """
    if keep_reason:
        fields["reason"] = reason
    noun, was = record._meta.verbose_name, record.state
    if to not in table[was]:
        raise Conflict(f"the {noun} is {was} and cannot become {to}", where=record.public_id)
    with transaction.atomic():
        won = type(record).objects.filter(pk=record.pk, state=was).update(state=to, **fields)
        if not won:
            raise Conflict(
                f"somebody else changed the {noun} first", where=record.public_id, fix="look at it again, then decide"
            )
        Event.record(event, record.public_id, by=by, reason=reason, **(data or {}))
    set_fields(record, state=to, **fields)
