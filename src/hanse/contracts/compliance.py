"""What `hanse comply` says: an outcome a person can follow up, with roles, duties, dates and where each stands."""

from __future__ import annotations

from datetime import date
from typing import Final, Literal

from pydantic import Field

from hanse.contracts.base import Contract, Identifier
from hanse.contracts.decision import Verdict

Ending = Literal["pass", "conditions", "review", "stop"]
ENDINGS: Final[dict[Verdict, Ending]] = {"allow": "pass", "condition": "conditions", "review": "review", "deny": "stop"}
SEVERITY: Final[dict[Ending, int]] = {"pass": 0, "conditions": 1, "review": 2, "stop": 3}

Confidence = Literal["read", "secondary", "unread"]
"""Of a rule's source: the official text was read; a dated source about it was; neither was."""

Role = Literal[
    "provider", "deployer", "modifier", "importer", "distributor", "authorised-representative", "product-manufacturer",
    "sme", "start-up", "open-source", "researcher",
]  # fmt: skip
Risk = Literal["prohibited", "high", "systemic", "general-purpose", "limited", "minimal"]
"""Worst first. `limited` is a system with duties of transparency; `systemic` and `general-purpose` are of models."""
RISKS: Final[tuple[Risk, ...]] = ("prohibited", "high", "systemic", "general-purpose", "limited", "minimal")

Plain = bool | str | int | float
Given = Plain | tuple[str, ...]


class Citation(Contract):
    """Where something stands, and how well that is known."""

    citation: str
    link: str
    """The official text."""
    source: str
    """What was read."""
    confidence: Confidence
    last_verified: date


class Obligation(Contract):
    """One duty that holds on the day asked about."""

    id: Identifier
    what: str
    roles: tuple[Role, ...]
    """Whose; empty: of whoever it concerns."""
    citation: str
    link: str
    since: date
    due: date | None = None
    """The day by which it has to be done, where the answers tell it."""
    due_text: str = ""
    confidence: Confidence
    rule: Identifier
    eased: tuple[str, ...] = ()
    """What makes it lighter here, with where that stands."""


class Upcoming(Contract):
    """What will follow from the same answers on a later day."""

    on: date
    outcome: Ending
    rule: Identifier
    what: str
    obligations: tuple[str, ...]
    citation: str
    link: str
    confidence: Confidence


class Because(Contract):
    """One rule that spoke, the answers it rests on, and what would change it."""

    rule: Identifier
    outcome: Ending
    reason: str
    condition: str = ""
    answers: dict[str, Given]
    citation: str
    confidence: Confidence
    what_would_change_it: str = ""


class Change(Contract):
    """One answer that, given otherwise, would alone change the outcome."""

    question: Identifier
    answer: Given
    outcome: Ending


class Check(Contract):
    """The answer to a file of answers as of a day. Not legal advice."""

    schema_version: Literal[1] = 1
    as_of: date
    outcome: Ending
    roles: tuple[Role, ...]
    risk: Risk
    risks: tuple[Risk, ...]
    obligations: tuple[Obligation, ...]
    upcoming: tuple[Upcoming, ...]
    citations: tuple[Citation, ...]
    because: tuple[Because, ...]
    conditions: tuple[str, ...] = ()
    would_change: tuple[Change, ...] = ()
    open_questions: tuple[Identifier, ...] = ()
    """Not answered, and they matter: a person looks until they are."""
    outcome_if_open_are_harmless: Ending | None = None
    """With every open question answered the harmless way; None: nothing is open."""
    answers: dict[str, Given] = Field(default_factory=dict)
    """As they were understood."""
    assumed: dict[str, Given] = Field(default_factory=dict)
    """Answers nobody gave that were counted all the same, as their question says."""
    rules: str
    """Name and version of the rule set."""


class Shift(Contract):
    """What a change of the rules makes of stored answers."""

    before: Ending
    after: Ending
    appeared: tuple[Because, ...] = ()
    gone: tuple[Because, ...] = ()
    duties_added: tuple[str, ...] = ()
    duties_dropped: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    """Rules that speak in both, but otherwise."""
    new_questions: tuple[Identifier, ...] = ()
    """Open now, and not before."""

    @property
    def any(self) -> bool:
        return self != Shift(before=self.before, after=self.before)


class AskedQuestion(Contract):
    """One question a file of answers may answer. Numbers are asked too; their `kind` is number."""

    id: Identifier
    kind: Literal["yes-no", "choice", "choices", "date", "number"]
    text: str
    help: str = ""
    group: str = ""
    allowed: tuple[str, ...]
    """The answers it takes: words, or the form of a date or a number."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Of choices: what each means."""
    follows: Identifier | None = None
    """It matters only where that was answered with yes."""
    unless_answered: str | None = None
    """What counts while nobody answers; None: it is asked for where it matters, or is left out."""
    harmless: str | None = None
    """The answer that `everything-else: harmless` gives it."""
    in_application: bool
    """An application asks it."""


class ToldRule(Contract):
    """One rule in force, as data."""

    id: Identifier
    title: str
    outcome: Ending
    """What follows where it triggers; a rule whose source was not read never alone gives pass or stop."""
    reason: str
    condition: str = ""
    questions: tuple[Identifier, ...]
    roles: tuple[Role, ...] = ()
    for_whom: str
    risk: Risk | None = None
    obligations: tuple[str, ...] = ()
    what_would_change_it: str
    citation: str
    link: str
    source: str
    confidence: Confidence
    effective: date
    until: date | None = None
    last_verified: date
