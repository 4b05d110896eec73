"""Imports of awards over the API, as an officer."""

from __future__ import annotations

from hanse.client.answers import Page
from hanse.client.http import Connection, parsed
from hanse.contracts.imports import ImportAsked, ImportBatch, ImportWord, OrganisationChosen


class Imports:
    """Speaks of imports over a connection, as its person."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def preview(self, asked: ImportAsked) -> ImportBatch:
        """What it would do; nothing is kept. Raises PolicyError for whoever is no officer."""
        return parsed(ImportBatch, self._connection.exchange("POST", "/api/v1/imports/preview", body=asked))

    def prepare(self, asked: ImportAsked) -> ImportBatch:
        """Keep it for another officer; the same again is the same import."""
        return parsed(ImportBatch, self._connection.exchange("POST", "/api/v1/imports", body=asked))

    def latest(self) -> tuple[ImportBatch, ...]:
        """The hundred last prepared, without their rows."""
        answer = self._connection.exchange("GET", "/api/v1/imports", params={"limit": 100})
        return parsed(Page[ImportBatch], answer).items

    def get(self, id: str) -> ImportBatch:
        """Raises UsageError where there is none."""
        return parsed(ImportBatch, self._connection.exchange("GET", f"/api/v1/imports/{id}"))

    def choose(self, id: str, line: int, organisation: str) -> ImportBatch:
        """Say which organisation a row is, as who prepared it."""
        body = OrganisationChosen(line=line, organisation=organisation)
        return parsed(ImportBatch, self._connection.exchange("POST", f"/api/v1/imports/{id}/choose", body=body))

    def decide(self, id: str, word: ImportWord) -> ImportBatch:
        """Confirm or refuse another officer's, or take back one's own. Raises Conflict where it changed since."""
        return parsed(ImportBatch, self._connection.exchange("POST", f"/api/v1/imports/{id}/decide", body=word))
