"""What comes of a commit: the parts it names, merged, and one outer step; the same bits on every leg, or an end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hanse.contracts.errors import TrainingError
from hanse.contracts.outer import OuterCommit, OuterShare, OuterTerms
from hanse.training.outer import merge
from hanse.training.outer.mail import Mail
from hanse.training.outer.quantise import Values
from hanse.training.outer.state import Fragment


class Merged(NamedTuple):
    fragment: Fragment
    """With the residual of the one before."""
    gradient: Values
    received_bytes: int
    """Of other legs' parts."""


class Sums:
    """One leg's arithmetic."""

    def __init__(self, terms: OuterTerms, name: str, mail: Mail) -> None:
        self.terms, self.name, self.mail = terms, name, mail
        self._kept: tuple[str, Merged] | None = None

    def parts_are_here(self, commit: OuterCommit) -> bool:
        return all(self.mail.named(each) is not None for each in commit.parts)

    def merge(self, old: Fragment, shares: Sequence[OuterShare]) -> Merged:
        """Of parts that are all here."""
        parts = [part for each in shares if (part := self.mail.named(each)) is not None]
        gradient = merge.mean([self.mail.values(each) for each in parts], [each.tokens for each in shares])
        weights, momentum = merge.stepped(old.weights, old.momentum, gradient, self.terms)
        received = sum(each.payload_bytes for each in parts if each.leg != self.name)
        new = Fragment(weights=weights, momentum=momentum, residual=old.residual, sha256=merge.fingerprint(weights))
        return Merged(new, gradient, received)

    def keep(self, commit: OuterCommit, merged: Merged) -> None:
        """The leg that commits has done the sum already."""
        self._kept = (commit.digest(), merged)

    def of(self, commit: OuterCommit, old: Fragment) -> Merged:
        """The sum that the commit stands for.

        Raises:
            TrainingError: it comes out otherwise than on the leg that committed.
        """
        (digest, merged), self._kept = self._kept or ("", None), None
        if merged is not None and digest == commit.digest():
            return merged
        where = f"outer step {commit.outer_step}, fragment {commit.fragment}"
        if old.sha256 != commit.base_sha256:
            raise TrainingError(
                f"leg {self.name} holds other weights than {commit.leg}, which committed", where=where,
                fix="Do all legs run the same model, seed and release? Launch the run again.",
            )  # fmt: skip
        merged = self.merge(old, commit.parts)
        if merged.fragment.sha256 != commit.result_sha256:
            raise TrainingError(
                f"the sum comes out otherwise than on leg {commit.leg}", where=where,
                fix="One of the two computes wrongly, or they run different releases of Hanse.",
            )  # fmt: skip
        return merged
