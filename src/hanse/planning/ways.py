"""What `hanse.planning.between` compares: links between machines, terms that legs agree on, and ways to train."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from hanse.contracts.outer import Codec
from hanse.contracts.plan import Interval
from hanse.contracts.workload import Workload
from hanse.planning.legs_loss import Penalty

Kind = Literal["one machine", "apart", "together"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Between each machine and the others, each direction: what one leg's files or gradients get of it."""

    bytes_per_s: Interval
    courier_s: Interval
    """Until a complete file is noticed, on its way up and down together."""
    latency_s: float = 0.03
    """One way between two sites in Europe, an estimate."""
    known: bool = False


UNKNOWN: Final = Link(
    bytes_per_s=Interval(low=12.5e6, expected=125e6, high=1.25e9),
    courier_s=Interval(low=1.0, expected=10.0, high=60.0),
)
"""0.1, 1 and 10 Gbit/s: estimates, nobody has measured what an agent gets between the machines of the catalogue.
Agents look for files every five seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the legs would agree on; the names are those of `contracts.outer.OuterTerms`."""

    inner_steps: int
    """Of the fastest leg."""
    codec: Codec
    fragments: int
    overlap_steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One machine's part."""

    machine: str
    nodes: int
    accelerators: int
    batch: int
    inner_steps: int
    step_time_s: Interval
    wall_time_s: Interval
    sent_bytes: int
    received_bytes: int
    """Both in one outer step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to train it. `against` is what speaks against it so much that it is not proposed."""

    kind: Kind
    machines: tuple[str, ...]
    wall_time_s: Interval
    accelerator_seconds: Interval
    legs: tuple[Leg, ...]
    exchanges: int = 0
    """Outer steps, or steps where machines train together."""
    bytes_each: int = 0
    """Through the busiest machine's link, both directions, in one of them."""
    waiting: Interval | None = None
    """Share of the time in which computing stands still for the link."""
    needs_bytes_per_s: float | None = None
    """Link speed at which little of it is left (`between.WAITING`); None: none is fast enough, or none is needed."""
    loss: Penalty | None = None
    terms: Terms | None = None
    against: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """All ways, one machine first; `best` is the one proposed, None where none keeps to the limits."""

    workload: Workload
    link: Link
    ways: tuple[Way, ...]
    best: Way | None
