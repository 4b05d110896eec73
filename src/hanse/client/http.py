"""One HTTP exchange with the service, and its failures as errors of the one tree.

404 and 422 are the user's to mend (UsageError), 403 is a refusal with reasons (PolicyError), 409 a Conflict, 401
TokenRefused; everything else, and every broken connection, is a ServiceError. Contracts are imported where one is
read: some answers need none.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import urlencode

from hanse import __version__
from hanse.client.transport import Answer, Unreachable, transport_for
from hanse.contracts.errors import Conflict, HanseError, PolicyError, ServiceError, UsageError

if TYPE_CHECKING:
    import httpx

    from hanse.client.answers import Problem
    from hanse.contracts.base import Contract

T = TypeVar("T", bound="Contract")

NOT_MODIFIED = 304


class TokenRefused(ServiceError):  # noqa: N818 - it states what happened
    """The service does not take this token (any more): asking again with it is in vain."""


_BY_STATUS: dict[int, type[HanseError]] = {
    401: TokenRefused,
    404: UsageError,
    409: Conflict,
    413: UsageError,
    422: UsageError,
}


class Connection:
    """One service, spoken to with one token. Closing it is optional for short-lived commands."""

    def __init__(
        self, url: str, token: str, *, transport: httpx.BaseTransport | None = None, timeout_s: float = 30.0
    ) -> None:
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}", "User-Agent": f"hanse/{__version__}"}
        self._transport = transport_for(self.url, timeout_s, transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def speaking_as(self, other: Connection) -> Self:
        """With whatever token the other speaks with, now and later."""
        self._headers = other._headers
        return self

    def close(self) -> None:
        self._transport.close()

    def exchange(
        self,
        method: str,
        path: str,
        *,
        body: Contract | None = None,
        content: bytes | None = None,
        params: Mapping[str, int | str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """The answer to one request; 304 counts as one.

        Raises:
            UsageError, PolicyError, Conflict, ServiceError: as the module says.
        """
        send = {**self._headers, **(headers or {})}
        if body is not None:
            content = body.model_dump_json().encode()
            send["Content-Type"] = "application/json"
        target = f"{path}?{urlencode(params)}" if params else path
        try:
            answer = self._transport.send(method, target, send, content)
        except Unreachable as error:
            raise ServiceError(
                f"the service does not answer ({error})",
                where=self.url,
                fix="check the address in HANSE_URL and that the service runs: hanse serve",
            ) from error
        if answer.status == NOT_MODIFIED or 200 <= answer.status < 300:
            return answer
        raise _error(answer)


def _error(answer: Answer) -> HanseError:
    problem = _problem(answer)
    if answer.status == 403:
        return PolicyError(
            problem.what,
            where=problem.where,
            fix=problem.fix,
            history=problem.history,
            findings=problem.findings,
        )
    kind = _BY_STATUS.get(answer.status, ServiceError)
    return kind(problem.what, where=problem.where or answer.asked, fix=problem.fix, history=problem.history)


def _problem(answer: Answer) -> Problem:
    from pydantic import ValidationError

    from hanse.client.answers import Problem

    try:
        return Problem.model_validate_json(answer.content)
    except ValidationError:
        return Problem(what=f"the service answered {answer.status} {answer.reason}")


def parsed(kind: type[T], answer: Answer) -> T:
    """The answer's body as a contract; a service that speaks otherwise is named as such."""
    from pydantic import ValidationError

    try:
        return kind.model_validate_json(answer.content)
    except ValidationError as error:
        raise misfit(kind, answer, f"{error.error_count()} fields do not fit") from error


def misfit(kind: type[Any], answer: Answer, why: str) -> ServiceError:
    """The answer is of another form than this version reads."""
    return ServiceError(
        f"the answer is not a {kind.__name__}: {why}",
        where=answer.asked,
        fix=f"this is hanse {__version__}; install the version the service runs",
    )
