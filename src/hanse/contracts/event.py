"""One thing that happened: source:subject:action, by whom, why, when."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from hanse.contracts.base import Contract, Identifier, Timestamp

EventName = Annotated[str, StringConstraints(pattern=r"^[a-z]+:[a-z-]+:[a-z-]+$")]


class Event(Contract):
    """`subject_id` is the run, attempt, application … it is about; `data` is flat and small."""

    name: EventName
    subject_id: Identifier
    actor: str
    reason: str = ""
    at: Timestamp
    data: dict[str, str | int | float | bool | None] = Field(default_factory=dict)
