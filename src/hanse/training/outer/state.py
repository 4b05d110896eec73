"""What a leg knows of the outer steps: weights, momentum and rounding errors by fragment, and what it has sent.

It lies in the leg's checkpoints as outer.safetensors. Arrays in it are replaced, never changed, so that a checkpoint
may write them while training goes on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from hanse.training.outer.merge import fingerprint
from hanse.training.outer.quantise import Values

FILE: Final = "outer.safetensors"


class Pending(NamedTuple):
    """A part that was sent and whose commit is not applied yet."""

    number: int
    step: int
    """The leg's inner step after which it was taken."""
    sent: Values
    """The leg's own weights then."""
    residual: Values
    """The rounding error that went into it."""
    trained: int
    """Inner steps behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    weights: Values
    """After the last outer step; the same bits on every leg."""
    momentum: Values
    residual: Values
    """What rounding took from this leg's parts so far."""
    sha256: str
    trained: int = 0
    """Inner steps since the leg's last part that was committed."""
    pending: Pending | None = None

    @classmethod
    def first(cls, weights: Values) -> Fragment:
        zeros = np.zeros_like(weights)
        return cls(weights=weights, momentum=zeros, residual=zeros, sha256=fingerprint(weights))


@dataclass(slots=True, kw_only=True)
class OuterState:
    leg: str
    fragments: list[Fragment]
    step: int = 0
    """Inner steps counted so far."""
    commits: list[str] = field(default_factory=list)
    """Digests of all commits applied, in their order."""

    agreed: dict[str, int] = field(default_factory=dict)
    """How many of these commits each leg is known to have applied, too. Replaced, never changed."""

    @property
    def applied(self) -> int:
        return len(self.commits)

    @property
    def sent(self) -> int:
        """Number of the next part to be sent."""
        return self.applied + sum(each.pending is not None for each in self.fragments)

    def copy(self) -> OuterState:
        return replace(self, fragments=list(self.fragments), commits=list(self.commits))

    def save(self, folder: Path) -> None:
        """Write FILE into a checkpoint's folder."""
        tensors: dict[str, Values] = {}
        rows = []
        for number, each in enumerate(self.fragments):
            kept = {"weights": each.weights, "momentum": each.momentum, "residual": each.residual}
            row: dict[str, object] = {"sha256": each.sha256, "trained": each.trained}
            if (sent := each.pending) is not None:
                kept |= {"sent": sent.sent, "sent_residual": sent.residual}
                row["pending"] = [sent.number, sent.step, sent.trained]
            tensors |= {f"{number}.{name}": value for name, value in kept.items()}
            rows.append(row)
        said = {"leg": self.leg, "step": self.step, "commits": self.commits, "agreed": self.agreed, "fragments": rows}
        try:
            save_file(tensors, folder / FILE, metadata={"outer": json.dumps(said)})
        except SafetensorError as error:  # a full disk
            raise OSError(str(error)) from error
        with (folder / FILE).open("rb") as written:
            os.fsync(written.fileno())


class Said(NamedTuple):
    """What a checkpoint's outer state says of itself, read without its values."""

    leg: str
    step: int
    commits: tuple[str, ...]


def said_by(folder: Path) -> Said | None:
    """None: the checkpoint has no outer state."""
    if not (folder / FILE).is_file():
        return None
    said = _metadata(folder)
    return Said(str(said["leg"]), int(said["step"]), tuple(said["commits"]))


def load(folder: Path, *, leg: str, sizes: Sequence[int]) -> OuterState | None:
    """The state in a checkpoint; None if there is none for fragments of these sizes.

    From another leg's checkpoint come the outer weights and momentum alone: what that leg learned since is its own.
    """
    if not (folder / FILE).is_file():
        return None
    said = _metadata(folder)
    own = said["leg"] == leg
    fragments = []
    with safe_open(folder / FILE, framework="numpy") as file:
        for number, row in enumerate(said["fragments"]):
            weights = file.get_tensor(f"{number}.weights")
            pending = None
            if own and "pending" in row:
                of, step, trained = row["pending"]
                sent, residual = (file.get_tensor(f"{number}.{name}") for name in ("sent", "sent_residual"))
                pending = Pending(number=of, step=step, sent=sent, residual=residual, trained=trained)
            fragments.append(
                Fragment(
                    weights=weights, momentum=file.get_tensor(f"{number}.momentum"), sha256=row["sha256"],
                    residual=file.get_tensor(f"{number}.residual") if own else np.zeros_like(weights),
                    trained=row["trained"] if own else 0, pending=pending,
                )
            )  # fmt: skip
    if [len(each.weights) for each in fragments] != list(sizes):
        return None
    return OuterState(
        leg=leg, fragments=fragments, step=said["step"] if own else 0, commits=list(said["commits"]),
        agreed=said["agreed"],
    )  # fmt: skip


def _metadata(folder: Path) -> Any:
    with safe_open(folder / FILE, framework="numpy") as file:
        return json.loads(file.metadata()["outer"])
