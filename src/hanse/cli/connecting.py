"""What `hanse connect` looks at on a machine where somebody already has an account: everything a job will need.

It looks and changes nothing; each finding that stands in the way says what to do. One that cannot be known is said so.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from hanse.cli.checks import SLURM_COMMANDS, Check
from hanse.contracts.base import now
from hanse.contracts.errors import SchedulerUnknown
from hanse.contracts.machine import Machine
from hanse.schedulers import accounting
from hanse.schedulers.host import Completed, Host
from hanse.schedulers.room import ask_room

LITTLE_BYTES = 10 * 10**9
"""Less room than this is told as something to look at."""
OFFSET_S = 30
"""Clocks further apart than this make times of jobs and of the service hard to compare."""
RUNTIMES = ("apptainer", "singularity", "enroot", "podman-hpc", "podman")
_PYTHON_FACTS = """
import importlib.util, json, platform, socket, sys
try:
    socket.create_connection(("pypi.org", 443), 5).close(); net = True
except OSError:
    net = False
print(json.dumps({"version": platform.python_version(), "machine": platform.machine(),
    "libc": " ".join(platform.libc_ver()), "hanse": importlib.util.find_spec("hanse") is not None, "net": net}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is to run where."""

    machine: Machine
    account: str
    partition: str | None = None
    work: PurePosixPath | None = None


def look(host: Host, target: Target) -> tuple[Check, ...]:
    """Every finding, in the order in which one would mend them. Raises HostUnreachable if the host is lost."""
    absent = _absent(host, SLURM_COMMANDS)
    if absent:
        missing = Check(
            "Slurm", "missing", f"no {', '.join(absent)} on PATH", "Log in where the site's users submit jobs."
        )
        return (missing, *_software(host, target))
    asked = _slurm(host, ["sinfo", "--noheader", "--format=%R"])
    if asked.returncode != 0:
        words = " ".join(asked.stderr.split())[:200] or "silence"
        silent = Check("Slurm", "missing", f"it does not answer: {words}", "Log in where the site's users submit jobs.")
        return (silent, *_software(host, target))
    version = _slurm(host, ["squeue", "--version"]).stdout.strip()
    return (Check("Slurm", "good", version), *_slurm_side(host, target), *_software(host, target))


def _slurm_side(host: Host, target: Target) -> Iterator[Check]:
    yield _account(host, target)
    yield _partition(host, target)
    yield _budget(host, target)
    yield _submission(host, target)


def _account(host: Host, target: Target) -> Check:
    user = host.run(["id", "-un"]).stdout.strip()
    done = _slurm(host, ["sacctmgr", "-nP", "show", "association", f"user={user}", "format=Account,QOS"])
    rows = [line.split("|") for line in done.stdout.splitlines() if "|" in line]
    if done.returncode != 0 or not rows:
        return Check("account", "look", f"Slurm lists no accounts of {user}; the submission below will tell")
    accounts = sorted({row[0] for row in rows})
    if target.account not in accounts:
        fix = f"Use --account {' or '.join(accounts)}, or ask the project's leader to add {user}."
        return Check("account", "missing", f"{user} is not in {target.account}", fix)
    qos = ", ".join(sorted({name for row in rows if row[0] == target.account for name in row[1].split(",") if name}))
    return Check("account", "good", f"{target.account}, as {user}" + (f"; QoS {qos}" if qos else ""))


def _partition(host: Host, target: Target) -> Check:
    names = dict.fromkeys(_slurm(host, ["sinfo", "--noheader", "--format=%R"]).stdout.split())
    wanted = _wanted_partition(target)
    if wanted is None:
        return Check("partition", "good", f"the site's default, of {', '.join(names)}")
    if wanted not in names:
        found = f"there is no {wanted}" + (f" among {', '.join(names)}" if names else "")
        return Check("partition", "missing", found, "Name one of them with --partition.")
    shown = _slurm(host, ["scontrol", "--oneliner", "show", "partition", wanted]).stdout
    limits = dict(re.findall(r"\b(State|MaxNodes|MaxTime|TotalNodes)=(\S+)", shown))
    said = ", ".join(f"{name} {value}" for name, value in limits.items() if value != "UNLIMITED")
    if limits.get("State", "UP") != "UP":
        return Check("partition", "look", f"{wanted}: {said}", "Jobs wait there until the site opens it.")
    return Check("partition", "good", f"{wanted}: {said}")


def _budget(host: Host, target: Target) -> Check:
    machine = target.machine
    try:
        shown = _slurm(host, [*accounting.assoc_mgr_arguments((target.account,))]).stdout
        found = accounting.read_assoc_mgr(
            shown, machine.accelerators_per_node, at=now(), cpus_per_node=machine.scheduler.cpus_per_node
        )
    except (SchedulerUnknown, ValueError):
        found = ()
    budget = next((one for one in found if one.account == target.account), None)
    if budget is None or budget.limit is None:
        return Check("budget", "look", "Slurm tells no limit of this account", "The site's own tool may know it.")
    used = budget.used or 0.0
    words = f"{used:,.0f} of {budget.limit:,.0f} {budget.unit} used"
    if used >= budget.limit:
        return Check("budget", "missing", words, "Nothing is left: ask the site, or use another account.")
    return Check("budget", "good", words)


def _submission(host: Host, target: Target) -> Check:
    """The surest question: Slurm itself judges a small job of this account, and keeps nothing of it."""
    partition = _wanted_partition(target)
    facts = target.machine.scheduler
    qos = next((one.qos for one in target.machine.partitions if one.name == partition), None)
    options = [partition and f"--partition={partition}", qos and f"--qos={qos}", facts.gpu_request]
    command = ["sbatch", "--test-only", f"--account={target.account}", "--nodes=1", "--time=10", *filter(None, options)]
    done = _slurm(host, [*command, "--wrap=true"])
    if done.returncode == 0:
        starts = re.search(r"to start at (\S+)", done.stderr)
        return Check("a job", "good", f"Slurm would take it{f', to start at {starts[1]} UTC' if starts else ''}")
    words = " ".join(re.sub(r"^\w+: (error: )?", "", line).strip() for line in done.stderr.splitlines())
    return Check(
        "a job", "missing", words or "Slurm refused it without a word", "Mend account, partition or QoS first."
    )


def _software(host: Host, target: Target) -> Iterator[Check]:
    python = target.machine.scheduler.python or "python3"
    try:
        facts = json.loads(host.run([python, "-c", _PYTHON_FACTS]).stdout)
    except (FileNotFoundError, ValueError):
        facts = {}
    if not facts:
        fix = "Write the path of a Python 3.11 or newer as scheduler.python into the machine's description."
        yield Check("Python", "missing", f"{python} does not run there", fix)
    else:
        old = tuple(int(part) for part in re.findall(r"\d+", facts["version"])[:2]) < (3, 11)
        said = f"{facts['version']} ({python}), {facts['machine']}, {facts['libc']}"
        fix = "Hanse needs 3.11: name another interpreter as scheduler.python." if old else ""
        yield Check("Python", "missing" if old else "good", said, fix)
        pack = f"Run: hanse pack --machine {target.machine.id}, and unpack it there."
        yield (
            Check("Hanse", "good", "installed there")
            if facts["hanse"]
            else Check("Hanse", "missing", "not there", pack)
        )
        net = (
            "reached from the login" if facts["net"] else "not reached from the login: what a run needs must be brought"
        )
        yield Check("internet", "good" if facts["net"] else "look", net)
    found = sorted(set(RUNTIMES) - set(_absent(host, RUNTIMES)), key=RUNTIMES.index)
    yield Check("containers", "good" if found else "absent", ", ".join(found) or "no runtime on PATH")
    yield _folder(host, target)
    yield _clock(host)


def work_folder(host: Host, target: Target) -> PurePosixPath:
    """Where runs lie over there: the one named, else `hanse` in the user's home. Raises HostUnreachable."""
    return target.work or _home(host) / "hanse"


def _home(host: Host) -> PurePosixPath:
    return PurePosixPath(host.run(["sh", "-c", 'printf %s "$HOME"']).stdout)


def _folder(host: Host, target: Target) -> Check:
    work = str(target.work or _home(host))
    room = ask_room(host, PurePosixPath(work))
    if room is None or host.run(["test", "-w", work]).returncode != 0:
        return Check("work folder", "missing", f"{work} is not there or not writable", "Name another with --work.")
    if room.free_bytes is None:
        return Check("work folder", "good", f"{work}: no limit is told")
    what = f"of the quota of {room.by}" if room.by.startswith("project ") else "on its file system"
    said = f"{work}: {room.free_bytes / 1e9:,.0f} GB free {what}"
    if room.free_bytes < LITTLE_BYTES:
        return Check("work folder", "look", said, "A checkpoint may not fit: make room, or name another with --work.")
    return Check("work folder", "good", said)


def _clock(host: Host) -> Check:
    said = host.run(["date", "+%s"]).stdout.strip()
    offset_s = int(said) - now().timestamp() if said.isdigit() else 0.0
    if abs(offset_s) <= OFFSET_S:
        return Check("clock", "good", "agrees with this one")
    return Check("clock", "look", f"{offset_s:+.0f} s against this one", "Set the clock that is wrong.")


def _wanted_partition(target: Target) -> str | None:
    return target.partition or (target.machine.partitions[0].name if target.machine.partitions else None)


def _absent(host: Host, commands: tuple[str, ...]) -> list[str]:
    line = "; ".join(f"command -v {shlex.quote(name)} >/dev/null || echo {shlex.quote(name)}" for name in commands)
    return host.run(["sh", "-c", line]).stdout.split()


def _slurm(host: Host, command: list[str]) -> Completed:
    """A command that is not there has said nothing, with the code a shell gives it."""
    try:
        return host.run(command, environment={"TZ": "UTC", "SLURM_TIME_FORMAT": "standard"})
    except (FileNotFoundError, TimeoutError) as error:
        return Completed(127, b"", str(error).encode())
