"""Published model shapes by name, from presets.yaml (one a line). Read on first use: most verbs never need them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final, Literal

from pydantic import Field

from hanse.contracts.base import Contract, Positive
from hanse.contracts.workload import ModelShape
from hanse.files import contract, document


class Preset(Contract):
    """A published model: its shape, its parameter count and how that is known, and where it stands."""

    shape: ModelShape
    parameters: Positive
    """Without further blocks for multi-token prediction."""
    confidence: Literal["exact", "rounded", "counted"]
    """Total of the publisher's weights; as the publisher states it; or counted from the publisher's configuration."""
    source: str = Field(pattern=r"^https://")


class _Presets(Mapping[str, ModelShape]):
    def __getitem__(self, name: str) -> ModelShape:
        return preset(name).shape

    def __iter__(self) -> Iterator[str]:
        return iter(_lines())

    def __len__(self) -> int:
        return len(_lines())


PRESETS: Final[Mapping[str, ModelShape]] = _Presets()


@cache
def preset(name: str) -> Preset:
    """One preset with its source. Raises KeyError for a name there is none of."""
    line = _lines()[name]
    return contract.build(Preset, document.parse(line, name="presets.yaml").part(name))


def published() -> dict[str, Preset]:
    """Every preset with its source."""
    return {name: preset(name) for name in _lines()}


@cache
def _lines() -> dict[str, str]:
    """The file's line of each preset: a verb needs one of them, and parsing all would cost it half a second."""
    text = Path(__file__).with_name("presets.yaml").read_text(encoding="utf-8")
    return {line.partition(":")[0]: line for line in text.splitlines() if line and not line.startswith("#")}
