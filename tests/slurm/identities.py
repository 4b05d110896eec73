"""Unix users for a test: an agent's, one it acts for, one it may not act for; and an agent that runs as the first.

A test's Python may lie where other users cannot read it; the agent's process is then allowed to read everything, and
nothing else. What the jobs' user may do is not touched by that.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"
GROUP = "hanse-t"


@dataclass(frozen=True, slots=True)
class People:
    agent: str = "hanse-t-agent"
    anna: str = "hanse-t-anna"
    bert: str = "hanse-t-bert"
    """Of the site, but not of the agent's."""


@contextmanager
def people() -> Iterator[People]:
    """Made for the test, and removed with what they own."""
    them = People()
    names = (them.agent, them.anna, them.bert)
    _remove(names)
    subprocess.run(["groupadd", GROUP], check=True)
    for name in names:
        also = [] if name == them.bert else ["--groups", GROUP]
        subprocess.run(["useradd", "--create-home", *also, name], check=True, capture_output=True)
    try:
        yield them
    finally:
        _remove(names)


def _remove(names: Sequence[str]) -> None:
    for name in names:
        with suppress(KeyError):
            pwd.getpwnam(name)
            subprocess.run(["pkill", "-KILL", "-u", name], check=False)
            subprocess.run(["userdel", "--remove", "--force", name], check=False, capture_output=True)
    subprocess.run(["groupdel", GROUP], check=False, capture_output=True)


def command_of(user: str, argv: Sequence[str]) -> list[str]:
    """`argv` as that user, who may become nobody else but by sudo."""
    reads = [] if _readable_by_all() else ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", *reads, *argv]


def _readable_by_all() -> bool:
    places = (Path(sys.executable).resolve(), Path(sys.prefix), SOURCE)
    return all(folder.stat().st_mode & 0o001 for place in places for folder in (place, *place.parents))


def surroundings(user: str, home: Path, further: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "HANSE"))}
    return kept | {"HOME": f"/home/{user}", "USER": user, "HANSE_HOME": str(home), "PYTHONPATH": str(SOURCE)} | further
