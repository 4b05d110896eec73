"""Which service a command speaks to: HANSE_URL and HANSE_TOKEN, else HANSE_HOME/config.toml, else the embedded one.

config.toml holds `url` and `token` at its top level.
"""

from __future__ import annotations

import os
import tomllib
from typing import TYPE_CHECKING, NamedTuple

from hanse.cli.home import home, short
from hanse.contracts import jobenv
from hanse.contracts.errors import UsageError

if TYPE_CHECKING:
    from hanse.client.api import Client
    from hanse.client.http import Connection


class Endpoint(NamedTuple):
    url: str
    token: str
    configured_by: str
    """'environment', a file, or 'embedded'."""


def configured() -> Endpoint | None:
    """The service somebody chose; None if nobody did.

    Raises:
        UsageError: half of it was given, or config.toml is damaged.
    """
    url, token = os.environ.get(jobenv.URL, ""), os.environ.get(jobenv.TOKEN, "")
    if url and not url.startswith(("http://", "https://")):
        raise UsageError(
            f"{url!r} is no address of a service.",
            where=f"{jobenv.URL} in the environment",
            fix="It begins with https:// (or http:// for this machine).",
        )
    if url and token:
        return Endpoint(url.rstrip("/"), token, "environment")
    if url or token:
        given, lacking = (jobenv.URL, jobenv.TOKEN) if url else (jobenv.TOKEN, jobenv.URL)
        raise UsageError(
            f"{given} is set, but {lacking} is not.",
            where="environment",
            fix=f"Set both to use that service, or unset {given} to use the embedded one.",
        )
    path = home().config
    if not path.exists():
        return None
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(
            f"It is not valid TOML: {error}.", where=short(path), fix='It needs url = "…" and token = "…".'
        ) from None
    if not (isinstance(values.get("url"), str) and isinstance(values.get("token"), str)):
        raise UsageError("It lacks url or token.", where=short(path), fix='Write url = "…" and token = "…" at its top.')
    return Endpoint(values["url"].rstrip("/"), values["token"], short(path))


def endpoint() -> Endpoint:
    """The service to use; the embedded one is started if it does not run."""
    chosen = configured()
    if chosen is not None:
        return chosen
    from hanse.cli import embedded

    service = embedded.ensure()
    return Endpoint(service.url, service.token, "embedded")


def running() -> Client | None:
    """A client of the service somebody chose, or of the embedded one if it runs already; nothing is started."""
    from hanse.cli import embedded
    from hanse.client.api import Client

    chosen = configured() or embedded.service_status()
    return Client(chosen.url, chosen.token) if chosen else None


def connection() -> Connection:
    """The service to use, for a question whose answer is no contract."""
    from hanse.client.http import Connection

    chosen = endpoint()
    return Connection(chosen.url, chosen.token)


def client(*, timeout_s: float = 30.0) -> Client:
    """A client of the service to use. Calling it again looks after the embedded service, if that is the one."""
    from hanse.client.api import Client

    chosen = endpoint()
    return Client(chosen.url, chosen.token, timeout_s=timeout_s)
