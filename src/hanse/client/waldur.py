"""Reading a Waldur over its REST API: resources that are in use, their customers, who stands in their projects.

It asks only; nothing is changed there. Lists come in pages: the header Link names the next one, X-Result-Count how many
there are in all. The token goes to the address that was given and nowhere else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit

from hanse import __version__
from hanse.client.transport import LOOPBACK, Answer, Unreachable, transport_for
from hanse.contracts.errors import ServiceError, UsageError

if TYPE_CHECKING:
    import httpx

PAGE: Final = 100
MOST: Final = 1000
"""Resources: as many rows as one import takes."""
_NEXT: Final = re.compile(r'<([^>]*)>\s*;\s*rel="?next"?')


class Waldur:
    """One Waldur, read with one token. `url` with or without /api at its end."""

    def __init__(
        self, url: str, token: str, *, transport: httpx.BaseTransport | None = None, timeout_s: float = 30.0
    ) -> None:
        bare = url.rstrip("/").removesuffix("/api")
        parts = urlsplit(bare)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
            raise UsageError(
                f"{url} is no address of a Waldur", where="URL", fix="Write it as https://waldur.example.eu."
            )
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise UsageError("the token would go there unencrypted", where=bare, fix="Write the address with https://.")
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise UsageError(
                "it holds no token", where="--token-file", fix="Put the token of your Waldur account there."
            )
        self.url = bare
        self.host = parts.hostname
        self._netloc, self._path = parts.netloc, parts.path
        self._headers = {
            "Authorization": f"Token {token}", "Accept": "application/json", "User-Agent": f"hanse/{__version__}",
        }  # fmt: skip
        self._transport = transport_for(self.url, timeout_s, transport)

    def close(self) -> None:
        self._transport.close()

    def resources(self, states: Sequence[str], *, offering: str = "") -> list[Mapping[str, Any]]:
        """All in one of these states that the token may see.

        Raises:
            UsageError: the token is not taken, or there are more than one import holds.
            ServiceError: it does not answer, or not as a Waldur does.
        """
        query: list[tuple[str, str]] = [("state", state) for state in states]
        if offering:
            query.append(("offering_slug", offering))
        return list(self._all("/api/marketplace-resources/", query))

    def customer(self, uuid: str) -> Mapping[str, Any]:
        found = self._json(self._get(f"/api/customers/{_uuid(uuid)}/"))
        return found if isinstance(found, dict) else {}

    def users_of_project(self, uuid: str) -> list[Mapping[str, Any]]:
        """With their roles in it."""
        return list(self._all(f"/api/projects/{_uuid(uuid)}/list_users/", []))

    def _all(self, path: str, query: Sequence[tuple[str, str]]) -> Iterator[Mapping[str, Any]]:
        target: str | None = f"{path}?{urlencode([*query, ('page_size', str(PAGE))])}"
        seen: set[str] = set()
        told = 0
        while target is not None:
            if target in seen:
                raise self._odd(target, "its pages go round in a circle")
            seen.add(target)
            answer = self._get(target)
            count = answer.headers.get("x-result-count", "")
            if count.isdecimal() and int(count) > MOST:
                raise UsageError(
                    f"it holds {int(count):,} resources, and one import takes {MOST:,}", where=self.url,
                    fix="Name one offering after another: --offering SLUG.",
                )  # fmt: skip
            items = self._json(answer)
            if not isinstance(items, list) or not all(isinstance(one, dict) for one in items):
                raise self._odd(target, "it is no list")
            told += len(items)
            if told > MOST:
                raise self._odd(target, f"it brings more than {MOST:,} items")
            yield from items
            target = self._next(answer)

    def _next(self, answer: Answer) -> str | None:
        found = _NEXT.search(answer.headers.get("link", ""))
        if found is None:
            return None
        parts = urlsplit(found[1])
        if parts.netloc and parts.netloc.split(":")[0] != self._netloc.split(":")[0]:
            raise self._odd(found[1], f"its next page lies at {parts.netloc}")
        path = parts.path.removeprefix(self._path)
        return f"{path}?{parts.query}" if parts.query else path

    def _get(self, target: str) -> Answer:
        try:
            answer = self._transport.send("GET", target, self._headers, None)
        except Unreachable as error:
            raise ServiceError(f"it does not answer ({error})", where=self.url, fix="Check the address.") from error
        if answer.status in (401, 403):
            raise UsageError(
                f"it does not take the token for {urlsplit(target).path} ({answer.status})", where=self.url,
                fix="Use a token of an account that sees these resources; tokens end after a while.",
            )  # fmt: skip
        if answer.status != 200:
            raise self._odd(target, f"it answered {answer.status} {answer.reason}")
        return answer

    def _json(self, answer: Answer) -> Any:
        try:
            return json.loads(answer.content)
        except ValueError:
            raise self._odd(answer.asked, "it is no JSON") from None

    def _odd(self, target: str, why: str) -> ServiceError:
        return ServiceError(
            f"it does not answer as a Waldur does: {why}", where=f"{self.url}{urlsplit(target).path}",
            fix="Check that the address is that of its API.",
        )  # fmt: skip


def _uuid(text: str) -> str:
    """Safe in an address. Raises ServiceError."""
    if not re.fullmatch(r"[0-9a-fA-F-]{8,40}", text):
        raise ServiceError("a resource names no project or customer", where=text[:60])
    return text
