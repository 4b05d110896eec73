"""Real daemons on this machine, for tests: started in a private folder, remembered by process id, ended completely.

No systemd: each runs in the foreground under its own user; its output lies in `<root>/log`.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

SBIN = "/usr/sbin:/sbin:/usr/local/sbin"


def start(
    root: Path, name: str, command: list[str], *, user: str, environment: Mapping[str, str] | None = None
) -> psutil.Process:
    log = folder(root / "log", owner="slurm", mode=0o755) / f"{name}.out"
    entry = pwd.getpwnam(user)
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, env=surroundings(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/",
            start_new_session=True, user=entry.pw_uid, group=entry.pw_gid, extra_groups=[],
        )  # fmt: skip
    remember(root, name, process.pid)
    return psutil.Process(process.pid)


def remember(root: Path, name: str, pid: int) -> None:
    """So that `end` ends it too; `name` begins with the program's."""
    (root / "pids.json").write_text(json.dumps(pids(root) | {name: pid}))


def kill(root: Path, name: str) -> None:
    """SIGKILL, as a crash would; what has ended already is fine."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pids(root)[name])
        process.kill()
        process.wait(10)


def end(root: Path) -> None:
    """End the daemons of a folder and whatever still speaks to a Slurm in it, then remove the folder."""
    daemons = [
        process
        for each in (root, *(path.parent for path in root.glob("*/pids.json")))
        for name, pid in pids(each).items()
        if (process := _still(pid, name.split("-")[0])) is not None
    ]
    ours = [process for process in psutil.process_iter() if _belongs(process, root)]
    for process in daemons:
        with suppress(psutil.Error):
            process.send_signal(signal.SIGTERM if "mariadbd" in process.name() else signal.SIGKILL)
    for process in ours:
        with suppress(psutil.Error):
            process.kill()
    _, alive = psutil.wait_procs([*daemons, *ours], timeout=10)
    for process in alive:
        with suppress(psutil.Error):
            process.kill()
    shutil.rmtree(root, ignore_errors=True)


def pids(root: Path) -> dict[str, int]:
    with suppress(FileNotFoundError):
        known: dict[str, int] = json.loads((root / "pids.json").read_text())
        return known
    return {}


def surroundings(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a daemon or a command of it sees: no variable of the tests' own."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
    return kept | {"PATH": f"{os.environ.get('PATH', '')}:{SBIN}"} | dict(more or {})


def missing(programs: tuple[str, ...], users: tuple[str, ...]) -> list[str]:
    path = surroundings()["PATH"]
    reasons = [f"{name} is not installed" for name in programs if shutil.which(name, path=path) is None]
    known = {entry.pw_name for entry in pwd.getpwall()}
    return reasons + [f"there is no user {name}" for name in users if name not in known]


def folder(path: Path, *, owner: str, mode: int) -> Path:
    if not path.exists():
        path.mkdir(parents=True)
        path.chmod(mode)
        own(path, owner)
    return path


def own(path: Path, user: str) -> None:
    entry = pwd.getpwnam(user)
    os.chown(path, entry.pw_uid, grp.getgrgid(entry.pw_gid).gr_gid)


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def last_lines(root: Path) -> str:
    logs = sorted([*root.glob("log/*"), *root.glob("*/log/*")])
    return "\n".join(
        f"--- {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-8:])
        for log in logs
    )  # fmt: skip


def _still(pid: int, word: str) -> psutil.Process | None:
    """The daemon of that id, unless the id has gone to another process."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        if word in " ".join(process.cmdline()):
            return process
    return None


def _belongs(process: psutil.Process, root: Path) -> bool:
    """Jobs know their configuration; slurmstepd, which outlives slurmd, wrote its title over its environment."""
    try:
        if process.name() == "slurmstepd":
            return any(file.path.startswith(f"{root}/") for file in process.open_files())
        return process.pid != os.getpid() and process.environ().get("SLURM_CONF", "").startswith(f"{root}/")
    except (psutil.Error, OSError):
        return False
