"""The agent's side of the API: hello once a start, then sync. A refused epoch arrives as Conflict: stop at once."""

from __future__ import annotations

import hashlib

from hanse.client.answers import NewToken, RedeemRequest
from hanse.client.http import Connection, parsed
from hanse.contracts.agentapi import Exchange, Hello, SyncRequest, SyncResponse, Welcome
from hanse.contracts.errors import ServiceError


class AgentClient(Connection):
    """Speaks to `/api/agent/v1/` for one machine."""

    def hello(self, hello: Hello) -> Welcome:
        return parsed(Welcome, self.exchange("POST", "/api/agent/v1/hello", body=hello))

    def sync(self, request: SyncRequest) -> SyncResponse:
        return parsed(SyncResponse, self.exchange("POST", "/api/agent/v1/sync", body=request))

    def renew(self) -> NewToken:
        """A new token for the same machine; the present one stays good for a day more."""
        return parsed(NewToken, self.exchange("POST", "/api/agent/v1/token"))

    def takes(self, token: str) -> bool:
        """Speak with that token from now on; False if it is the present one."""
        bearer = f"Bearer {token}"
        changed = self._headers["Authorization"] != bearer
        self._headers["Authorization"] = bearer
        return changed

    def exchange_of(self, attempt_id: str) -> Exchange:
        """Of an attempt of one leg among several: what its job signs with, and the terms."""
        return parsed(Exchange, self.exchange("GET", f"/api/agent/v1/attempts/{attempt_id}/exchange"))

    def code(self, sha256: str) -> bytes:
        """A code bundle, checked against its name."""
        archive = self.exchange("GET", f"/api/agent/v1/code/{sha256}").content
        if hashlib.sha256(archive).hexdigest() != sha256:
            raise ServiceError(
                f"the code bundle {sha256[:12]} arrived altered or cut", where=self.url, fix="it will be fetched again"
            )
        return archive


def redeem(url: str, code: str, machine: str) -> NewToken:
    """The token of one machine's agent for a one-time code; it works once, and within the hour."""
    with Connection(url, code) as service:
        asked = RedeemRequest(machine=machine)
        return parsed(NewToken, service.exchange("POST", "/api/agent/v1/enrol", body=asked))
