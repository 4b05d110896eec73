"""Drafts that the service keeps, over its API."""

from __future__ import annotations

from hanse.client.answers import Page
from hanse.client.http import Connection, parsed
from hanse.contracts.application import Draft
from hanse.contracts.forms import KeptDraft, SaveDraft, SendDraft
from hanse.contracts.programme import Application


class Drafts:
    """Speaks of drafts over a connection, as its person."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def latest(self) -> tuple[KeptDraft, ...]:
        """The hundred last saved of those one may see."""
        return parsed(Page[KeptDraft], self._connection.exchange("GET", "/api/v1/drafts", params={"limit": 100})).items

    def get(self, id: str) -> KeptDraft:
        """Raises UsageError where there is none that one may see."""
        return parsed(KeptDraft, self._connection.exchange("GET", f"/api/v1/drafts/{id}"))

    def begin(self, draft: Draft) -> KeptDraft:
        """Keep a new one."""
        return parsed(KeptDraft, self._connection.exchange("POST", "/api/v1/drafts", body=SaveDraft(draft=draft)))

    def save(self, id: str, draft: Draft, *, revision: int) -> KeptDraft:
        """Put it in the place of what stood at `revision`. Raises Conflict where somebody saved since."""
        body = SaveDraft(draft=draft, revision=revision)
        return parsed(KeptDraft, self._connection.exchange("PUT", f"/api/v1/drafts/{id}", body=body))

    def send(self, id: str, *, revision: int) -> Application:
        """Send it. Raises Conflict where it was changed or sent since, PolicyError where the call does not admit it."""
        body = SendDraft(revision=revision)
        return parsed(Application, self._connection.exchange("POST", f"/api/v1/drafts/{id}/send", body=body))

    def of_application(self, id: str) -> Draft:
        """An application as the draft it was."""
        return parsed(Draft, self._connection.exchange("GET", f"/api/v1/applications/{id}/draft"))
