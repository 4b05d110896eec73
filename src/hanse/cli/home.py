"""Where this installation keeps its state (HANSE_HOME), and paths as people would type them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from hanse.contracts import jobenv


class Home(NamedTuple):
    root: Path

    @property
    def service(self) -> Path:
        return self.root / "service"

    @property
    def endpoint(self) -> Path:
        return self.service / "endpoint.json"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def local_machine(self) -> Path:
        return self.root / "machines" / "local.json"

    @property
    def config(self) -> Path:
        return self.root / "config.toml"

    @property
    def connections(self) -> Path:
        """What `hanse connect` has saved, a file a machine."""
        return self.root / "connections"

    def connected(self) -> tuple[str, ...]:
        """The machines it has saved, by name; quick, as every verb asks."""
        return tuple(sorted(path.stem for path in self.connections.glob("*.json")))

    def agent(self, machine: str) -> Path:
        return self.root / "agent" / machine


def home() -> Home:
    """HANSE_HOME, else $XDG_DATA_HOME/hanse, else ~/.local/share/hanse. Nothing is created."""
    given = os.environ.get(jobenv.HOME)
    if given:
        return Home(Path(given).expanduser().absolute())
    data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Home(Path(data) / "hanse")


def short(path: Path) -> str:
    """A path as one would type it: relative to here, or with ~."""
    absolute = path.absolute()
    if absolute.is_relative_to(Path.cwd()):
        return str(absolute.relative_to(Path.cwd()))
    if absolute.is_relative_to(Path.home()):
        return f"~/{absolute.relative_to(Path.home())}"
    return str(absolute)
