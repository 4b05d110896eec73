"""What the pure modules, the records and the programme say on applicants' pages, as it stands in sentences.txt.

A line is a word or a sentence; one with `%(name)s` is a pattern for sentences with values. say.py finds them again.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

PLACE = Path(__file__).with_suffix(".txt")


@cache
def lines() -> tuple[str, ...]:
    return tuple(line for line in PLACE.read_text("utf-8").splitlines() if line.strip() and not line.startswith("# "))


def words() -> frozenset[str]:
    return frozenset(line for line in lines() if "%(" not in line)


def patterns() -> tuple[str, ...]:
    return tuple(line for line in lines() if "%(" in line)
