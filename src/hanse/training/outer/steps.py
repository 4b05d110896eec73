"""When a leg sends what, and which samples are its own: arithmetic on steps, the same on every leg.

Outer steps and fragments are counted as one number n = outer step × fragments + fragment. In its round a leg sends
fragment f after (f + 1)/fragments of its inner steps; in the last round all at the end, so that nothing stays unsent.
"""

from __future__ import annotations

from dataclasses import dataclass

from hanse.contracts.outer import OuterTerms


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """One leg's. `samples` is how many samples of the data a round of all legs reads."""

    fragments: int
    rounds: int
    inner_steps: int
    batch: int
    samples: int
    first: int
    """Which of a round's samples is this leg's first."""

    @classmethod
    def of(cls, terms: OuterTerms, leg: str, *, batch: int, total_samples: int) -> Calendar:
        """`batch` of a leg that names none; `total_samples` of the run, over all legs."""
        reads = {each.name: terms.inner_steps_of(each.name) * (each.batch or batch) for each in terms.legs}
        samples, names = sum(reads.values()), list(reads)
        shared = terms.data == "shared"
        return cls(
            fragments=terms.fragments, rounds=max(1, -(-total_samples // samples)),
            inner_steps=terms.inner_steps_of(leg), batch=terms.leg(leg).batch or batch,
            samples=samples if shared else reads[leg],
            first=sum(reads[name] for name in names[: names.index(leg)]) if shared else 0,
        )  # fmt: skip

    @property
    def steps(self) -> int:
        """Of this leg, if it is never late."""
        return self.rounds * self.inner_steps

    @property
    def numbers(self) -> int:
        return self.rounds * self.fragments

    def point(self, number: int) -> int:
        """The inner step after which this number is sent."""
        outer_step, fragment = divmod(number, self.fragments)
        if outer_step == self.rounds - 1:
            return self.steps
        return outer_step * self.inner_steps + self.inner_steps * (fragment + 1) // self.fragments

    def first_sample(self, batch_number: int) -> int:
        """Position in the order of the data of the first sample of this leg's batch 1, 2, …"""
        outer_step, within = divmod(batch_number - 1, self.inner_steps)
        return outer_step * self.samples + self.first + within * self.batch
