"""What review exchanges beside scores: possible conflicts, steps with their findings, lanes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hanse.contracts.application import Compute
from hanse.contracts.base import Contract, Count, Fraction, Identifier, Positive, Timestamp


class PossibleConflict(Contract):
    """A reviewer and an application between whom there could be a conflict, and what an officer said of it."""

    application: Identifier
    reviewer: str
    """The user name."""
    name: str
    found: tuple[str, ...]
    certain: bool = False
    """What records show for sure: nobody needs to say anything of it."""
    verdict: Literal["confirmed", "cleared"] | None = None
    reason: str = ""
    by: str = ""


class ConflictWord(Contract):
    """An officer's word on a possible conflict."""

    application: Identifier
    reviewer: str
    verdict: Literal["confirmed", "cleared"]
    reason: str


class ReviewerForm(Contract):
    """A person who reviews; sent again it is put down anew."""

    person: str
    """The user name."""
    organisation: str = ""
    keywords: tuple[str, ...] = ()
    active: bool = True
    """False: is not asked any more."""


class ReviewerShown(ReviewerForm):
    name: str
    email: str = ""
    open_reviews: Count = 0


class CloseRequest(Contract):
    """Close a round: its ranking is computed and kept."""

    call: Identifier
    cut_off: Timestamp
    places: Count | None = None
    """Only where the call does not say how many; then it has to be said."""


class RoundShown(Contract):
    """A round and how far it is."""

    call: Identifier
    cut_off: Timestamp
    id: Identifier | None = None
    state: Literal["open", "closed"] = "open"
    applications: Count = 0
    undecided: Count = 0
    reviews: Count = 0
    reviews_sent: Count = 0
    places: Count | None = None
    """Of the call, or as it was closed; None: it has to be said on closing."""
    reply_until: Timestamp | None = None
    panel: Literal["none", "open", "closed"] = "none"


StepKind = Literal["administrative", "technical", "scientific", "panel"]
StepState = Literal["waiting", "passed", "failed"]
Answer = Literal["yes", "look", "no", "unknown"]
"""look: a person should look at it; unknown: what it needs is not known."""


class StepFinding(Contract):
    """One thing a step looks at. `answer` is what Hanse prepared; a person's word stands in `corrected`."""

    id: Identifier
    question: str
    answer: Answer
    text: str
    numbers: dict[str, float] = Field(default_factory=dict)
    """By name with its unit: 'memory_bytes_per_rank'."""
    corrected: Answer | None = None
    reason: str = ""
    """Why it was corrected."""

    @property
    def holds(self) -> Answer:
        """What counts: the person's word, else what was prepared."""
        return self.corrected or self.answer


class FindingWord(Contract):
    """A person's correction of a finding."""

    id: Identifier
    answer: Answer
    reason: str


class StepWord(Contract):
    """What becomes of a step."""

    passed: bool
    reason: str = ""
    """Needed where it fails, or where it passes although a finding says no."""
    corrections: tuple[FindingWord, ...] = ()


class Step(Contract):
    """A step of an application's review: who does it, and what came of it."""

    kind: StepKind
    state: StepState = "waiting"
    by: str = ""
    """Who does it, in the call's words; once it is done, who did."""
    at: Timestamp | None = None
    reason: str = ""
    findings: tuple[StepFinding, ...] = ()
    turn: bool = False
    """It is this step's turn: those before it are passed."""


class StepSheet(Contract):
    """A step that waits for somebody, with what of the application it needs."""

    application: Identifier
    title: str
    call: Identifier
    sent_at: Timestamp | None = None
    decide_by: Timestamp | None = None
    step: Step
    gpu_hours: Positive
    duration_months: Positive
    machine: Identifier
    compute: Compute | None = None


class Steps(Contract):
    application: Identifier
    steps: tuple[Step, ...] = ()


class LaneItem(Contract):
    """An application that waits in a lane."""

    application: Identifier
    title: str
    organisation: str
    place: Positive
    sent_at: Timestamp
    decide_by: Timestamp | None = None
    standing: Literal["no promise", "running", "due soon", "late"]
    working_days: int | None = None
    """Left until the promised day; negative: over."""
    next_step: StepKind | None = None
    """None: all steps are done, it waits for the decision."""


class LaneShown(Contract):
    """A lane in order of arrival and how its promise is kept."""

    call: Identifier
    version: Positive
    title: str
    promised_working_days: Positive | None = None
    waiting: tuple[LaneItem, ...] = ()
    decided: Count = 0
    share_in_time: Fraction | None = None
    median_working_days: float | None = None
    out_of_order: Count = 0
    """How many were decided before one that came earlier."""


class OrderRequest(Contract):
    """An officer's reason to decide an application although the order says another one, or otherwise."""

    reason: str


class Obstacle(Contract):
    """What stands before a decision. One that is excusable falls away with an officer's reason that is kept."""

    kind: Literal["step", "turn", "round-open", "panel-open", "recommendation", "reserve", "reply-open"]
    text: str
    excusable: bool


class Obstacles(Contract):
    application: Identifier
    grant: tuple[Obstacle, ...] = ()
    decline: tuple[Obstacle, ...] = ()
    excused: str = ""
    """The reason that was put down; empty: none."""
