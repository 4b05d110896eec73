"""The seven requirements of trustworthy AI as answered, and the six of them that EuroHPC's own form asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

REQUIREMENTS: Final[Mapping[str, str]] = {
    "ethics-oversight": "Human agency and oversight",
    "ethics-robustness": "Technical robustness and safety",
    "ethics-privacy": "Privacy and data governance",
    "ethics-transparency": "Transparency",
    "ethics-fairness": "Diversity, non-discrimination and fairness",
    "ethics-society": "Societal and environmental well-being",
    "ethics-accountability": "Accountability",
}
"""ALTAI's seven by question (https://altai.insight-centre.org/)."""

_NOT_EUROHPC: Final = "ethics-robustness"


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """`described` is None where the question was not answered."""

    question: str
    title: str
    described: bool | None


def altai(answers: Mapping[str, Any]) -> tuple[Requirement, ...]:
    """All seven, in the list's order. Where the system does not touch people none of them needs a description."""
    return tuple(
        Requirement(question=id, title=title, described=answers[id] if isinstance(answers.get(id), bool) else None)
        for id, title in REQUIREMENTS.items()
    )


def eurohpc(answers: Mapping[str, Any]) -> tuple[Requirement, ...]:
    """The six of EuroHPC's ethics block: all but technical robustness."""
    return tuple(one for one in altai(answers) if one.question != _NOT_EUROHPC)
