"""The calls that come with Hanse: one YAML file per call in `modes/`, read into CallTerms.

Every figure of a call carries its source, its confidence and the day it was looked at.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import lru_cache
from importlib.resources import files

from hanse.contracts.errors import SpecError, UsageError
from hanse.contracts.programme import CallTerms
from hanse.programme import data

_MODES = files("hanse.programme") / "modes"
NEED_NO_SOURCE = frozenset({"id", "version", "mode", "title", "summary", "sources", "offered", "not_found"})
ALWAYS_SOURCED = frozenset(
    {
        "opens", "closes", "min_gpu_hours", "max_gpu_hours", "durations_months", "who", "decision_working_days",
    }
)  # fmt: skip
"""Of these it is said where they come from, or where they were looked for, even where they are not known."""


@lru_cache
def patterns() -> tuple[str, ...]:
    """All calls by name, with those that are over and kept as patterns."""
    return tuple(sorted(one.name.removesuffix(".yaml") for one in _MODES.iterdir() if one.name.endswith(".yaml")))


@lru_cache
def ids() -> tuple[str, ...]:
    """The calls one can apply to, by name."""
    return tuple(id for id in patterns() if load(id).offered)


@lru_cache
def load(id: str) -> CallTerms:
    """The call's terms.

    Raises:
        UsageError: there is no such call; the nearest is named.
        SpecError: the data file is wrong; its key is named.
    """
    known = patterns()
    if id not in known:
        nearest = get_close_matches(id, known, n=1, cutoff=0)
        raise UsageError(
            f"there is no call {id!r}", where="call", fix=f"Did you mean {nearest[0]}? Known: {', '.join(known)}."
        )
    return parse((_MODES / f"{id}.yaml").read_text("utf-8"), id=id)


def parse(text: str, *, id: str) -> CallTerms:
    """The terms written in `text`, the file of the call `id`. Raises SpecError where a value or its source lacks."""
    where = f"{id}.yaml"
    terms = data.build(CallTerms, text, where=where)
    if terms.id != id:
        raise SpecError(f"the file's call is called {terms.id!r}", where=f"{where}: id", fix=f"Call it {id!r}.")
    unsourced = (terms.model_fields_set | ALWAYS_SOURCED) - NEED_NO_SOURCE - terms.sources.keys()
    if unsourced:
        key = min(unsourced)
        raise SpecError(f"{key} has no source", where=f"{where}: sources", fix="Say where the value comes from.")
    if terms.max_gpu_hours is not None and terms.min_gpu_hours > terms.max_gpu_hours:
        raise SpecError("the smallest amount is above the largest", where=f"{where}: min_gpu_hours", fix="Correct it.")
    return terms
