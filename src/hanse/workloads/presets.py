"""Published model shapes by name, from presets.yaml. Read on first use: most verbs never need them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

from pydantic import Field

from hanse.contracts.base import Contract, Positive
from hanse.contracts.workload import ModelShape
from hanse.files import contract, document


class Preset(Contract):
    """A published model: its shape, the parameter count its publisher states, and where."""

    shape: ModelShape
    parameters: Positive
    source: str = Field(pattern=r"^https://")


class _Presets(Mapping[str, ModelShape]):
    def __getitem__(self, name: str) -> ModelShape:
        return published()[name].shape

    def __iter__(self) -> Iterator[str]:
        return iter(published())

    def __len__(self) -> int:
        return len(published())


PRESETS: Final[Mapping[str, ModelShape]] = _Presets()


@cache
def published() -> dict[str, Preset]:
    """Every preset with its source."""
    everything = document.read(Path(__file__).with_name("presets.yaml"))
    return {name: contract.build(Preset, everything.part(name)) for name in everything.data}
