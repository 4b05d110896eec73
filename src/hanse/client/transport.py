"""What carries one HTTP exchange. A service on this machine is reached by the standard library, any other by httpx.

Every command that speaks to the embedded service pays for what is imported here: httpx takes longer to import than all
the rest of `hanse status`, and brings what loopback has no use for: proxies, certificates, HTTP/2, pools.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import httpx

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
CONNECT_WITHIN_S = 10.0
RECONNECTS = 2


class Answer(NamedTuple):
    """`headers` by their names in lower case; `asked` is method and address, for messages."""

    status: int
    reason: str
    headers: Mapping[str, str]
    content: bytes
    asked: str


class Unreachable(Exception):  # noqa: N818 - it states what is so
    """No answer came: whether the request was carried out is not known."""


class Transport(Protocol):
    def send(self, method: str, target: str, headers: Mapping[str, str], content: bytes | None) -> Answer:
        """The answer to one request for `target` (path and query). Raises Unreachable."""

    def close(self) -> None: ...


class Loopback:
    """Plain HTTP within this machine: a connection a request, never through a proxy."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._url = url
        self._parts = urlsplit(url)
        self._timeout_s = timeout_s

    def send(self, method: str, target: str, headers: Mapping[str, str], content: bytes | None) -> Answer:
        from http.client import HTTPConnection, HTTPException

        connection = HTTPConnection(self._parts.hostname or "", self._parts.port, timeout=self._timeout_s)
        try:
            connection.request(method, self._parts.path + target, body=content, headers=dict(headers))
            response = connection.getresponse()
            received = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, response.reason, received, response.read(), f"{method} {self._url}{target}")
        except (OSError, HTTPException) as error:
            raise Unreachable(f"{type(error).__name__}: {error}") from error
        finally:
            connection.close()

    def close(self) -> None:
        """Nothing is kept open."""


class Web:
    """A service anywhere: TLS, the proxies of the environment (but for this machine), connections kept open."""

    def __init__(self, url: str, timeout_s: float, transport: httpx.BaseTransport | None = None) -> None:
        import httpx

        if transport is None and urlsplit(url).hostname in LOOPBACK:
            transport = httpx.HTTPTransport(retries=RECONNECTS)
        self._url = url
        self._failures = httpx.HTTPError
        timeout = httpx.Timeout(timeout_s, connect=min(timeout_s, CONNECT_WITHIN_S))
        self._http = httpx.Client(timeout=timeout, transport=transport)

    def send(self, method: str, target: str, headers: Mapping[str, str], content: bytes | None) -> Answer:
        try:
            response = self._http.request(method, self._url + target, content=content, headers=headers)
        except self._failures as error:
            raise Unreachable(f"{type(error).__name__}: {error}") from error
        received = {name.lower(): value for name, value in response.headers.items()}
        asked = f"{method} {self._url}{target}"
        return Answer(response.status_code, response.reason_phrase, received, response.content, asked)

    def close(self) -> None:
        self._http.close()


def transport_for(url: str, timeout_s: float, transport: httpx.BaseTransport | None = None) -> Transport:
    """`transport` is how httpx is to send, where something else than a socket stands in for the service."""
    parts = urlsplit(url)
    if transport is None and parts.scheme == "http" and parts.hostname in LOOPBACK:
        return Loopback(url, timeout_s)
    return Web(url, timeout_s, transport)
