"""Which commits hold: one chain, from the newest of the latest epoch back by the hashes that commits name.

A leg that commits alone, cut off from the others, may have gone on while they followed another: then its chain is not
this one, and it goes back to a checkpoint that is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hanse.contracts.outer import OuterCommit, OuterTerms, OuterWord

Commits = Mapping[int, Mapping[int, OuterCommit]]
"""By number, then by epoch."""
Words = Mapping[tuple[str, str], OuterWord]


class OffTheChain(Exception):  # noqa: N818 - it states what is so
    """This leg applied a commit that does not hold."""


def newest(commits: Commits) -> OuterCommit | None:
    """Of the latest epoch the last."""
    keys = [(epoch, number) for number, by_epoch in commits.items() for epoch in by_epoch]
    if not keys:
        return None
    epoch, number = max(keys)
    return commits[number][epoch]


def back_from(tip: OuterCommit, commits: Commits, number: int, *, to: int = 0) -> dict[int, OuterCommit]:
    """`tip`, which has this number, and the commits it rests on: back to `to`, as far as their files are here."""
    found = {number: tip}
    while number > to and (wanted := found[number].previous_sha256) is not None:
        before = next((each for each in commits.get(number - 1, {}).values() if each.digest() == wanted), None)
        if before is None:
            break
        number -= 1
        found[number] = before
    return found


def following(tip: OuterCommit, commits: Commits, applied: Sequence[str], number: int) -> dict[int, OuterCommit]:
    """Of the chain that ends with `tip` what follows on those applied, without a gap.

    Raises:
        OffTheChain: what was applied is not of that chain.
    """
    holds = back_from(tip, commits, number, to=max(0, len(applied) - 1))
    for at in (min(number, len(applied) - 1), len(applied)):
        if (each := holds.get(at)) is not None and not _fits(each, at, applied):
            raise OffTheChain(f"leg {each.leg} committed outer step {each.outer_step} otherwise")
    found, at = {}, len(applied)
    while (each := holds.get(at)) is not None:
        found[at] = each
        at += 1
    return found


def agreed(words: Words, terms: OuterTerms, epoch: int) -> OuterWord | None:
    """Where the chain stood when enough legs had left the epochs before: nobody can decide in those any more, and what
    any of them had applied is kept. None: there are not enough of them.
    """
    found = {each.leg: each for (word, _), each in words.items() if word == "follow" and each.epoch == epoch}
    if not terms.enough(found.keys()):
        return None
    return max(found.values(), key=lambda each: (each.last_epoch, each.applied))


def _fits(commit: OuterCommit, number: int, applied: Sequence[str]) -> bool:
    if number < len(applied):
        return commit.digest() == applied[number]
    return commit.previous_sha256 == (applied[-1] if applied else None)
