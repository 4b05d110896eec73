"""Speaking to FirecREST v2 through pyfirecrest: who we are, one call at a time, and what its errors mean.

Tokens come from the identity provider by client credentials and are renewed by pyfirecrest before they end. A limit
of calls is kept to: nothing is asked before the moment it names, and after failures less and less often.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from hanse.contracts.errors import SchedulerUnknown, SiteError, UsageError

if TYPE_CHECKING:
    from firecrest.v2 import Firecrest

T = TypeVar("T")
LONGEST_BACKOFF_S: Final = 300.0
_TOO_MANY: Final = 429
_LIMIT_S: Final = 10.0
"""Where a limit names no moment."""
_VARIABLES: Final = {
    "url": "FIRECREST_URL", "system": "FIRECREST_SYSTEM", "token_url": "AUTH_TOKEN_URL",
    "client_id": "FIRECREST_CLIENT_ID", "client_secret": "FIRECREST_CLIENT_SECRET",
}  # fmt: skip
"""Named as pyfirecrest's own command line names them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where a machine's FirecREST is, and as whom it is spoken to."""

    url: str
    system: str
    token_url: str
    client_id: str
    client_secret: str = field(repr=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], **given: str) -> Access:
        """`given` counts before the variables. Raises UsageError naming every variable that is missing."""
        values = {name: given.get(name) or environment.get(variable, "") for name, variable in _VARIABLES.items()}
        missing = [_VARIABLES[name] for name, value in values.items() if not value]
        if missing:
            raise UsageError(
                f"FirecREST needs {', '.join(missing)}",
                where="environment",
                fix="Set them as the site's identity provider and FirecREST pages give them.",
            )
        return cls(**values)


class Refused(SiteError):  # noqa: N818 - it states what is known
    """It answered with an error; `status` is HTTP's, `message` its own words."""

    def __init__(self, status: int, message: str, *, where: str) -> None:
        super().__init__(f"FirecREST answered {status}: {message}", where=where)
        self.status, self.message = status, message


class Line:
    """One machine's FirecREST. `call` runs one of the client's methods and sorts what can go wrong."""

    def __init__(
        self, access: Access, *, timeout_s: float = 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:  # fmt: skip
        try:
            from firecrest import ClientCredentialsAuth
            from firecrest.v2 import Firecrest
        except ImportError as error:
            raise UsageError(
                "FirecREST needs pyfirecrest, which is not installed", fix="pip install 'hanse[firecrest]'"
            ) from error
        who = ClientCredentialsAuth(access.client_id, access.client_secret, access.token_url)
        who.timeout = timeout_s
        who.disable_client_logging = True
        self.system = access.system
        self._client = Firecrest(access.url, who)
        self._client.timeout = timeout_s
        self._client.num_retries_rate_limit = 0
        self._client.disable_client_logging = True
        self._clock = clock
        self._failures, self._until, self._words = 0, 0.0, ""

    def call(self, ask: Callable[[Firecrest], T], *, always: bool = False) -> T:
        """What the client answers. `always`: also while questions are held back; a named limit holds back all.

        Raises:
            Refused: it answered with an error of its own.
            SchedulerUnknown: it did not answer, or not as agreed; it may have done what was asked.
        """
        import httpx
        import requests
        from firecrest import ClientsCredentialsException
        from firecrest.FirecrestException import FirecrestException

        rest_s = self._until - self._clock()
        if rest_s > 0 and not always:
            raise SchedulerUnknown(f"{self._words} (asked again in {rest_s:.0f} s)", where=self.system)
        try:
            answer = ask(self._client)
        except ClientsCredentialsException as error:
            status = error.responses[-1].status_code
            raise self._failed(f"the identity provider gave no token (answer {status})") from error
        except FirecrestException as error:
            response = error.responses[-1]
            message = _message(response)
            if response.status_code == _TOO_MANY:
                wait_s = _wait_s(response.headers)
                raise self._failed("FirecREST's limit of calls is used up", at_least_s=wait_s) from error
            if response.status_code == 401:
                raise self._failed(f"FirecREST did not take the token: {message}") from error
            raise Refused(response.status_code, message, where=self.system) from error
        except (httpx.HTTPError, requests.RequestException) as error:
            raise self._failed(f"FirecREST did not answer: {str(error) or type(error).__name__}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise self._failed(f"FirecREST's answer cannot be read: {error!r}") from error
        self._failures, self._until = 0, 0.0
        return answer

    def ask(self, ask: Callable[[Firecrest], T]) -> T:
        """Like `call`, for questions: an error it answers with is no answer. Raises SchedulerUnknown."""
        try:
            return self.call(ask)
        except Refused as error:
            raise self._failed(error.what) from error

    def _failed(self, words: str, *, at_least_s: float = 0.0) -> SchedulerUnknown:
        """The first failure costs nothing; from the second on the pauses double."""
        self._failures, self._words = self._failures + 1, words
        pause_s = min(LONGEST_BACKOFF_S, 2.0 ** min(self._failures, 9)) if self._failures > 1 else 0.0
        self._until = self._clock() + max(pause_s, at_least_s)
        return SchedulerUnknown(words, where=self.system)


def _message(response: Any) -> str:
    """FirecREST's own words; a proxy before it answers with a page."""
    try:
        said = response.json()["message"]
    except (ValueError, KeyError, TypeError):
        said = response.text
    return re.sub(r"\s+", " ", str(said)).strip()[:500]


def _wait_s(headers: Mapping[str, str]) -> float:
    said = headers.get("Retry-After") or headers.get("RateLimit-Reset") or ""
    return min(LONGEST_BACKOFF_S, float(said)) if said.isdigit() else _LIMIT_S
