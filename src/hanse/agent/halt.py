"""The kill switch: while it is on, every job of Hanse's on this machine is ended and none is submitted.

It is a file, so that it works without service, network or a running agent; the service has one of its own.
"""

from __future__ import annotations

from pathlib import Path

from hanse.files.durable import write_atomically

NAME = "STOP"


class Halt:
    """`folder` is the agent's own, HANSE_HOME/agent/<machine>."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / NAME
        self.by_service = False

    def pull(self, because: str) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self._file, because.strip() + "\n")

    def lift(self) -> bool:
        """False if it was not on."""
        try:
            self._file.unlink()
        except FileNotFoundError:
            return False
        return True

    def reason(self) -> str:
        """Why nothing may run here; empty while all may. A file that cannot be read counts as on."""
        try:
            because = self._file.read_text("utf-8", "replace").strip()[:500]
        except FileNotFoundError:
            return "The service's kill switch for this machine is on." if self.by_service else ""
        except OSError as error:
            because = f"{self._file} cannot be read: {error.strerror}"
        return "The site's kill switch for this machine is on" + (f": {because}" if because else ".")
