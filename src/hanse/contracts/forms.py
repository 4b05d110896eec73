"""A draft as the service keeps it, and what is asked of it."""

from __future__ import annotations

from typing import Literal

from hanse.contracts.application import Draft
from hanse.contracts.base import Contract, Identifier, Positive, Timestamp


class KeptDraft(Contract):
    """A draft on the service. Who saves it names the `revision` they read."""

    schema_version: Literal[1] = 1
    id: Identifier
    state: Literal["open", "sent", "discarded"]
    revision: Positive
    draft: Draft
    saved_at: Timestamp
    saved_by: str = ""
    """A username; empty: the person is gone."""
    shared_with: str | None = None
    """The organisation whose members see it too."""
    trial: bool = False
    """It tries a call that is not published; it is never sent."""
    unread: tuple[str, ...] = ()
    """Fields in which something stands that cannot be read yet; it can be seen in the portal."""
    application: Identifier | None = None
    """What was sent."""


class SaveDraft(Contract):
    """A draft to keep: a new one, or a new text of the one that stood at `revision`."""

    draft: Draft
    revision: Positive | None = None


class SendDraft(Contract):
    """The revision that is to be sent."""

    revision: Positive
