"""Processes Hanse keeps in the background: started once, found again by a file that names them, stopped politely.

A pid file is believed only if the process that wrote it still lives (see hanse.files.pidfile).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hanse.cli.output import ProgramError
from hanse.files.pidfile import birth


def describe_self(**facts: object) -> dict[str, Any]:
    """What a background process writes about itself."""
    import psutil

    return {"pid": os.getpid(), "birth": birth(os.getpid()), "started_at": psutil.Process().create_time(), **facts}


def write_json(path: Path, facts: Mapping[str, object]) -> None:
    """Whole or not at all; readable by its owner only, as it may hold a token."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(json.dumps(facts, indent=2) + "\n")
    scratch.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """The object in `path`; empty if there is none or it is damaged."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def alive(facts: Mapping[str, Any]) -> bool:
    """Whether the process that wrote `facts` still runs."""
    import psutil

    try:
        process = psutil.Process(int(facts["pid"]))
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return bool(facts["birth"] == birth(process.pid))
    except (KeyError, TypeError, ValueError, psutil.Error):
        return False


@contextlib.contextmanager
def only_one(lock: Path) -> Iterator[None]:
    """Two commands that both find nothing running must not both start it."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def wait_unlocked(lock: Path, *, within_s: float) -> None:
    """Wait until nobody holds `lock`: what is left of a killed service needs a moment to notice and end."""
    deadline = time.monotonic() + within_s
    while lock.exists():
        with lock.open("r", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    return
                time.sleep(0.1)
                continue
        return


class Started(NamedTuple):
    process: subprocess.Popen[bytes]
    log: Path
    log_begins: int
    """Where in the log this process begins; before it stand its predecessors' words."""


def start(arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> Started:
    """Start `python -m hanse <arguments>` in a session of its own: it outlives this command and its Ctrl-C."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        begins = output.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "hanse", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    return Started(process, log, begins)


def last_lines(log: Path, begins: int = 0, count: int = 4) -> tuple[str, ...]:
    """The end of a log, for an error's history; nothing from before the byte `begins`."""
    try:
        lines = log.read_bytes()[begins:].decode(errors="replace").splitlines()
    except OSError:
        return ()
    return tuple(line.strip() for line in lines if line.strip())[-count:]


def stop(facts: Mapping[str, Any], *, within_s: float = 15.0) -> bool:
    """Ask the process to end, insist after `within_s`; False if it did not run."""
    import psutil

    if not alive(facts):
        return False
    process = psutil.Process(int(facts["pid"]))
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=within_s)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(timeout=within_s)
    return True


def wait_for(child: Started, ready: Callable[[], bool], *, what: str, within_s: float, every_s: float = 0.1) -> None:
    """Poll `ready()` until it is true.

    Raises:
        ProgramError: the process ended or the time ran out; the log's last lines are its history.
    """
    deadline = time.monotonic() + within_s
    while not ready():
        code = child.process.poll()
        if code is not None or time.monotonic() > deadline:
            ended = f"ended with code {code}" if code is not None else f"did not answer within {within_s:g} s"
            raise ProgramError(
                f"{what} {ended}.",
                where=str(child.log),
                fix="'hanse doctor' checks what it needs.",
                history=last_lines(child.log, child.log_begins),
            )
        time.sleep(every_s)
