"""What follows the ranking: the panel's places, the applicant's reply, letters, redress, reserve, stand-ins."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field

from hanse.contracts.base import Contract, Count, Identifier, Positive, Timestamp

Language = Literal["en", "de", "fr"]


class PanelForm(Contract):
    """A meeting on a closed round: who takes part."""

    call: Identifier
    cut_off: Timestamp
    members: tuple[str, ...] = Field(min_length=1)
    """User names."""
    held_on: date


class PanelMoveForm(Contract):
    """The panel puts an application in another place."""

    application: Identifier
    place: Positive
    reason: str


class PanelClose(Contract):
    minutes: str


class PanelMove(Contract):
    application: Identifier
    was: Positive
    place: Positive
    reason: str
    by: str
    at: Timestamp


class Panel(Contract):
    id: Identifier
    round: Identifier
    call: Identifier
    cut_off: Timestamp
    state: Literal["open", "closed"]
    members: tuple[str, ...]
    held_on: date
    minutes: str = ""
    moves: tuple[PanelMove, ...] = ()
    closed_at: Timestamp | None = None


class ReplyOpen(Contract):
    """Show applicants of a round what their reviewers say and let them answer."""

    call: Identifier
    cut_off: Timestamp
    until: Timestamp | None = None
    """None: as many days as the call says."""


class ReplyForm(Contract):
    text: str


class BlindSheet(Contract):
    """A review without the name of who wrote it."""

    number: Positive
    points: dict[str, int]
    comments: dict[str, str]


class Reply(Contract):
    """What an applicant is shown of their reviews, and what they answered."""

    application: Identifier
    until: Timestamp | None = None
    sheets: tuple[BlindSheet, ...] = ()
    text: str = ""
    by: str = ""
    at: Timestamp | None = None
    may_answer: bool = False


class LetterAsked(Contract):
    language: Language = "en"


class LetterEdit(Contract):
    text: str
    revision: Count
    """The one that was read; another one in between is not written over."""


class Letter(Contract):
    """A letter with a decision: edited until it is sent, then frozen."""

    id: Identifier
    application: Identifier
    decision: Literal["granted", "declined"]
    language: Language
    text: str
    state: Literal["draft", "sent"]
    revision: Count
    sent_at: Timestamp | None = None
    sent_by: str = ""


class RedressForm(Contract):
    grounds: str


class RedressWord(Contract):
    """upheld: the decision stands. redone: it is taken back and the application decided anew."""

    outcome: Literal["upheld", "redone"]
    reason: str


class Redress(Contract):
    id: Identifier
    application: Identifier
    state: Literal["asked", "upheld", "redone", "withdrawn"]
    grounds: str
    asked_by: str
    asked_at: Timestamp
    answer: str = ""
    answered_by: str = ""
    answered_at: Timestamp | None = None


class PlaceFreed(Contract):
    """Why an application gives up its place."""

    reason: str


class Reserve(Contract):
    """Who is next on a closed round's reserve list."""

    round: Identifier
    places: Count
    held: Count
    """By awards, and by winners who wait for their decision."""
    free: Count
    next: tuple[Identifier, ...] = ()
    """Applications that can be awarded now, in order."""
    freed: dict[str, str] = Field(default_factory=dict)
    """Applications that gave up their place, and why."""


class StandIn(Contract):
    """Who takes the place of a reviewer that is late."""

    id: Identifier
    review: Identifier
    application: Identifier
    late: str
    """User name of who is late."""
    reviewer: str
    """User name of who stands in."""
    due_on: date
    state: Literal["proposed", "confirmed", "dismissed"]


class ReplaceForm(Contract):
    """Another reviewer in the place of one who was asked."""

    reviewer: str
    """User name."""
    due_on: date
    reason: str


class StandInWord(Contract):
    confirm: bool
    reason: str = ""
