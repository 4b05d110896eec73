"""The rules a review is scored by: the default ones, and whether a sheet of scores keeps to them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources

from hanse.contracts.errors import UsageError
from hanse.contracts.programme import CallTerms
from hanse.contracts.review import ReviewRules
from hanse.programme.data import build


@cache
def default() -> ReviewRules:
    """The rules where a call has none of its own; sources stand in the data file."""
    text = resources.files(__package__).joinpath("rules.yaml").read_text(encoding="utf-8")
    return build(ReviewRules, text, where="review/rules.yaml")


def of(terms: CallTerms) -> ReviewRules:
    """The rules of a call: its own, else the default ones."""
    return terms.scoring or default()


def places(terms: CallTerms) -> int | None:
    """How many a round of the call recommends; None: the call does not say."""
    return of(terms).places or terms.winners


def reserve(terms: CallTerms) -> int | None:
    """The length of its reserve list; None: as long as there are any who pass."""
    return 0 if terms.reserve is False else of(terms).reserve


def check(rules: ReviewRules, points: Mapping[str, int], comments: Mapping[str, str]) -> None:
    """Nothing where each criterion has its points and a comment.

    Raises:
        UsageError: a criterion is missing, unknown, out of range, or its comment is empty or too long.
    """
    known = {one.id for one in rules.criteria}
    for name in sorted({*points, *comments} - known):
        raise UsageError("there is no such criterion", where=name, fix=f"score {', '.join(sorted(known))}")
    for one in rules.criteria:
        given, comment = points.get(one.id), comments.get(one.id, "").strip()
        if given is None or not 0 <= given <= rules.max_points:
            raise UsageError(f"{one.title} takes 0 to {rules.max_points} points", where=one.id, fix="give its points")
        if not comment:
            raise UsageError(f"{one.title} has no comment", where=one.id, fix="say why it has these points")
        if len(comment) > rules.comment_length:
            raise UsageError(
                f"the comment is {len(comment):,} characters long", where=one.id,
                fix=f"say it in {rules.comment_length:,}",
            )  # fmt: skip
