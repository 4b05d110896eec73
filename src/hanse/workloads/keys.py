"""The keys of a model's config.json, read so that what is missing or wrong is named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hanse.contracts.errors import SpecError


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """`where` is the file, `kind` its model_type."""

    data: Mapping[str, Any]
    where: str
    kind: str

    def size(self, *names: str, default: int | None = None) -> int:
        """The first of these keys that is there, as a whole number above 0; else `default`; else it is asked for."""
        found = self.optional(*names)
        if found is not None:
            return found
        if default is None:
            raise SpecError(
                f'the key "{names[0]}" is missing, which a model of type {self.kind} needs', where=self.where,
                fix="Take the whole config.json of the model.",
            )  # fmt: skip
        return default

    def optional(self, *names: str) -> int | None:
        for name in names:
            value = self.data.get(name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
                raise SpecError(f"{name} must be a whole number above 0, not {value!r}", where=self.where)
            return value
        return None

    def count(self, name: str, default: int = 0) -> int:
        """As `size`, of what may be 0."""
        return self.size(name, default=default) if self.data.get(name) else 0 if name in self.data else default

    def flag(self, name: str, default: bool) -> bool:
        value = self.data.get(name)
        return default if value is None else bool(value)

    def refuse(self, what: str) -> SpecError:
        return SpecError(f"{what}, which no shape of ours describes", where=self.where, fix="Trace the module instead.")
