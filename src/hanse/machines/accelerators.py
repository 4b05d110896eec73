"""Accelerators by name: peaks, memory, best measured products, and the node they usually sit in (accelerators.yaml).

Names are matched as people write them: case, spaces, dashes, the maker's name and the order of the parts do not count,
so 'A100-80GB-SXM', 'nvidia a100 sxm4 80 GB' and 'a100-sxm-80gb' are one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Final

from pydantic import Field

from hanse.contracts.base import Bytes, Contract, Positive
from hanse.contracts.errors import UsageError
from hanse.contracts.machine import Accelerator, Confidence, Link, Source
from hanse.files import contract, document

_FILE: Final = Path(__file__).with_name("accelerators.yaml")
_NOISE: Final = frozenset({
    "nvidia", "amd", "instinct", "intel", "habana", "google", "cloud", "tesla", "geforce", "gpu", "gpus", "accelerator",
    "tensor", "core", "hgx", "dgx", "oam", "one", "a", "of", "superchip", "hbm", "hbm2", "hbm2e", "hbm3", "hbm3e",
})  # fmt: skip
"""Makers and kinds of memory: they tell no two rows apart."""
_NEAR: Final = 4
_GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "peak": ("peak_flops",),
    "fp4 peak": ("peak_flops",),
    "fp8 peak": ("peak_flops",),
    "memory": ("memory_bytes", "memory_bytes_per_s"),
    "power": ("watts",),
    "best product": ("best_matmul",),
    "best products": ("best_matmul",),
    "links": ("in_node.bytes_per_s",),
    "pod": ("accelerators_per_node", "domain_nodes"),
    "network": ("between_nodes.bytes_per_s",),
    "latencies": ("in_node.latency_s", "between_nodes.latency_s"),
    "main memory": ("host_memory_bytes", "host_bytes_per_s"),
    "host link": ("host_bytes_per_s",),
    "node power": ("node_watts",),
    "usual node": ("accelerators_per_node", "between_nodes.bytes_per_s", "host_memory_bytes"),
    "node": (
        "accelerators_per_node", "domain_nodes", "in_node.latency_s", "between_nodes", "host_memory_bytes",
        "host_bytes_per_s", "node_watts",
    ),
}  # fmt: skip
"""The words of the table's sources, and the values each stands for."""


class UsualNode(Contract):
    """The node an accelerator is usually sold in; links are per accelerator and direction."""

    accelerators_per_node: Positive
    in_node: Link
    domain_nodes: Positive = 1
    """Nodes that share the in-node network."""
    between_nodes: Link
    host_memory_bytes: Bytes | None = None
    host_bytes_per_s: float | None = Field(default=None, gt=0)
    node_watts: float | None = Field(default=None, gt=0)


class Entry(Contract):
    """One accelerator of the table. Both maps of sources say for a group of values which page it was read from."""

    aliases: tuple[str, ...] = ()
    accelerator: Accelerator
    node: UsualNode
    sources: dict[str, str]
    node_sources: dict[str, str]


class _Page(Contract):
    url: str
    confidence: Confidence
    read_on: str


class _Table(Contract):
    pages: dict[str, _Page]
    accelerators: dict[str, Entry]


def names() -> tuple[str, ...]:
    """The table's own names, in its order (by maker and age)."""
    return tuple(_table().accelerators)


def load(name: str) -> Accelerator:
    """The accelerator of that name or alias. Raises UsageError listing near names."""
    return _table().accelerators[key(name)].accelerator


def usual_node(name: str) -> UsualNode:
    """The node it usually sits in. Raises UsageError listing near names."""
    return _table().accelerators[key(name)].node


def sources(name: str) -> tuple[Source, ...]:
    """Where the accelerator's values were read, for a machine that names it."""
    return _sources("accelerator.", _table().accelerators[key(name)].sources)


def node_sources(name: str) -> tuple[Source, ...]:
    """Where the usual node's values were read; of two that name one value the particular one comes first."""
    return _sources("", _table().accelerators[key(name)].node_sources)


def _sources(prefix: str, groups: Mapping[str, str]) -> tuple[Source, ...]:
    pages, found = _table().pages, []
    for group, page in groups.items():
        words, bracket, remark = group.partition(" (")
        keys = [f"{prefix}{one}" for word in re.split(r", | and ", words) for one in _GROUPS[word]]
        part = ", ".join(dict.fromkeys(keys)) + bracket + remark
        found.append(Source(part=part, **pages[page].model_dump()))
    return tuple(found)


def key(name: str) -> str:
    """The table's own name of what `name` means. Raises UsageError listing near names."""
    found = _find(name, _index())
    if found is None:
        raise unknown(name)
    return found


def known(name: str) -> bool:
    return _find(name, _index()) is not None


def unknown(name: str) -> UsageError:
    near = _near(name)
    return UsageError(
        f'no accelerator "{name}" in the table' + (f"; near it: {', '.join(near)}" if near else ""),
        fix="" if near else f"Known: {', '.join(names())}; another is described in a machine file of your own.",
    )


def _near(name: str) -> list[str]:
    """Table names near `name`, those of the same family first."""
    parts, by_words = _words(name), _index()[1]
    family = [one for one in names() if set(_words(one)[:1]) & set(parts)]
    spelled = [by_words[one] for one in get_close_matches("".join(parts), list(by_words), n=_NEAR)]
    return list(dict.fromkeys([*family, *spelled]))[:_NEAR]


_Index = tuple[Mapping[frozenset[str], str], Mapping[str, str]]


def _find(name: str, index: _Index) -> str | None:
    words = _words(name)
    return index[0].get(frozenset(words)) or index[1].get("".join(words))


@cache
def _index() -> _Index:
    """(set of words → name, words run together → name): the second finds 'RTX4090' where the table says 'RTX 4090'."""
    by_set: dict[frozenset[str], str] = {}
    together: dict[str, str] = {}
    for name, entry in _table().accelerators.items():
        for said in (name, entry.accelerator.name, *entry.aliases):
            by_set.setdefault(frozenset(_words(said)), name)
            together.setdefault("".join(_words(said)), name)
    return by_set, together


def _words(name: str) -> tuple[str, ...]:
    """'NVIDIA A100-SXM4_80 GB' → (a100, sxm, 80gb)."""
    text = re.sub(r"[^a-z0-9.]+", " ", name.lower())
    text = re.sub(r"(\d+) ?gi?b\b", r"\1gb", text)
    text = re.sub(r"(\d+) ?w\b", r"\1w", re.sub(r"\bsxm\d\b", "sxm", text))
    words = tuple(text.split())
    return tuple(word for word in words if word not in _NOISE) or words


@cache
def _table() -> _Table:
    return contract.build(_Table, document.read(_FILE))
