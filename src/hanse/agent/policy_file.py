"""The site's policy as a file: read at the start, again whenever it changes, never half.

A damaged file at the start is an error; later the last good one goes on binding, and that is said.
"""

from __future__ import annotations

from pathlib import Path

from hanse.contracts.errors import SpecError
from hanse.contracts.policy import SitePolicy
from hanse.files import contract, document


def load(path: Path) -> SitePolicy:
    """Raises SpecError with file, line and key of the first mistake."""
    return contract.build(SitePolicy, document.read(path))


class PolicyFile:
    """`path` None: there is no policy, and nothing is bound."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._stamp = self._look()
        self.policy = load(path) if path else SitePolicy()

    def changed(self) -> str | None:
        """Read the file again if it is another one than before; what is to be said of it, if anything."""
        if self.path is None or (stamp := self._look()) == self._stamp:
            return None
        self._stamp = stamp
        try:
            self.policy = load(self.path)
        except SpecError as error:
            fault = str(error).replace("\n", " ")
            return f"the policy file was changed and cannot be used, the one before it still binds: {fault}"
        return "the policy file was changed and binds from now on"

    def _look(self) -> tuple[int, int, int] | None:
        """What tells one state of the file from another."""
        try:
            facts = self.path.stat() if self.path else None
        except OSError:
            return None
        return (facts.st_mtime_ns, facts.st_size, facts.st_ino) if facts else None
