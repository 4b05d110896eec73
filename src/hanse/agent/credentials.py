"""The agent's own token: got for a one-time code, kept in a file that its owner alone may read, renewed in time.

The service keeps the old token valid for a day after it gave out a new one, so that an agent killed between the two
only asks again.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import ValidationError

from hanse.client.agent import redeem
from hanse.client.transport import LOOPBACK
from hanse.contracts.base import Contract, Identifier, Timestamp, now
from hanse.contracts.errors import UsageError
from hanse.files.durable import write_atomically

NAME = "credentials"


class Credentials(Contract):
    url: str
    machine: Identifier
    token: str
    issued_at: Timestamp
    expires_at: Timestamp | None = None

    def is_due(self, at: datetime) -> bool:
        """Whether the last third of its life has begun."""
        return self.expires_at is not None and at >= self.expires_at - (self.expires_at - self.issued_at) / 3

    def renewed(self, token: str, expires_at: datetime | None) -> Credentials:
        return self.model_copy(update={"token": token, "issued_at": now(), "expires_at": expires_at})


def enrol(url: str, code: str, machine: str, folder: Path) -> Credentials:
    """Exchange a one-time code for a token and keep it. Raises UsageError where the code is for another machine."""
    given = redeem(url, code, machine)
    credentials = Credentials(
        url=url, machine=machine, token=given.token, issued_at=now(), expires_at=given.expires_at
    )  # fmt: skip
    keep(credentials, folder)
    return credentials


def keep(credentials: Credentials, folder: Path) -> None:
    """Write the file whole or not at all, readable by nobody else at any moment."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / NAME, credentials.to_json(), private=True)


def read(folder: Path) -> Credentials | None:
    """What was kept; None if nothing was. Raises UsageError for a file that is damaged or that others may read."""
    path = folder / NAME
    try:
        open_to = path.stat().st_mode & 0o077
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return None
    if open_to:
        raise UsageError("others may read the agent's token", where=str(path), fix=f"chmod 600 {path}")
    try:
        return Credentials.from_json(text)
    except ValidationError:
        raise UsageError(
            "the agent's credentials are damaged", where=str(path), fix="Enrol again: hanse agent --enrol CODE"
        ) from None


def require_safe(url: str, *, insecure: bool) -> None:
    """A token goes over TLS, or stays on this machine. Raises UsageError for anything else."""
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and (parts.hostname in LOOPBACK or insecure)):
        return
    raise UsageError(
        f"the agent's token would travel in clear text to {url}" if parts.scheme == "http" else f"{url} is no address",
        where="--url",
        fix="Give the service's https:// address; --insecure allows http:// for a try in a network of your own.",
    )
