"""One HTTP exchange with the service, and its failures as errors of the one tree.

404 and 422 are the user's to mend (UsageError), 403 is a refusal with reasons (PolicyError), 409 a Conflict; everything
else, and every broken connection, is a ServiceError.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import ValidationError

from hanse import __version__
from hanse.client.answers import Problem
from hanse.contracts.base import Contract
from hanse.contracts.errors import Conflict, HanseError, PolicyError, ServiceError, UsageError

T = TypeVar("T", bound=Contract)

_BY_STATUS: dict[int, type[HanseError]] = {
    404: UsageError,
    409: Conflict,
    413: UsageError,
    422: UsageError,
}


class Connection:
    """A connection pool to one service with one token. Closing it is optional for short-lived commands."""

    def __init__(
        self, url: str, token: str, *, transport: httpx.BaseTransport | None = None, timeout_s: float = 30.0
    ) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}", "User-Agent": f"hanse/{__version__}"},
            timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, 10.0)),
            transport=transport or _transport(self.url),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def exchange(
        self,
        method: str,
        path: str,
        *,
        body: Contract | None = None,
        content: bytes | None = None,
        params: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """The answer to one request; 304 counts as one.

        Raises:
            UsageError, PolicyError, Conflict, ServiceError: as the module says.
        """
        send = dict(headers or {})
        if body is not None:
            content = body.model_dump_json().encode()
            send["Content-Type"] = "application/json"
        try:
            response = self._http.request(method, path, content=content, params=params, headers=send)
        except httpx.HTTPError as error:
            raise ServiceError(
                f"the service does not answer ({type(error).__name__}: {error})",
                where=self.url,
                fix="check the address in HANSE_URL and that the service runs: hanse serve",
            ) from error
        if response.status_code == 304 or response.is_success:
            return response
        raise self._error(response)

    def _error(self, response: httpx.Response) -> HanseError:
        try:
            problem = Problem.model_validate_json(response.content)
        except ValidationError:
            problem = Problem(what=f"the service answered {response.status_code} {response.reason_phrase}")
        where = f"{response.request.method} {response.request.url}"
        if response.status_code == 403:
            return PolicyError(
                problem.what,
                where=problem.where,
                fix=problem.fix,
                history=problem.history,
                findings=problem.findings,
            )
        kind = _BY_STATUS.get(response.status_code, ServiceError)
        return kind(problem.what, where=problem.where or where, fix=problem.fix, history=problem.history)


def _transport(url: str) -> httpx.BaseTransport | None:
    """None lets httpx use the proxies of the environment; a service on this machine is never reached through one."""
    address = httpx.URL(url)
    if address.host in {"127.0.0.1", "::1", "localhost"}:
        # Without TLS there is nothing to verify, and reading all certificates costs more than the request.
        return httpx.HTTPTransport(retries=2, verify=address.scheme != "http")
    return None


def parsed(kind: type[T], response: httpx.Response) -> T:
    """The answer's body as a contract; a service that speaks otherwise is named as such."""
    try:
        return kind.model_validate_json(response.content)
    except ValidationError as error:
        raise ServiceError(
            f"the answer is not a {kind.__name__}: {error.error_count()} fields do not fit",
            where=f"{response.request.method} {response.request.url}",
            fix=f"this is hanse {__version__}; install the version the service runs",
        ) from error
