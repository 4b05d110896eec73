"""The facts `hanse doctor` gathers. Each check looks, never changes, and says how to get what is missing."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

from hanse.cli.home import home, short
from hanse.contracts.units import format_bytes
from hanse.files.places import file_system, on_network

State = Literal["good", "look", "absent", "missing"]

MINIMUM_PYTHON = (3, 11)
MINIMUM_MEMORY_BYTES = 2_000_000_000
MINIMUM_DISK_BYTES = 1_000_000_000
CORE = ("pydantic", "yaml", "numpy", "httpx", "cryptography", "psutil", "holidays", "rich")
SERVICE = ("django", "ninja", "django_htmx", "csp", "whitenoise", "gunicorn", "dj_database_url")
SLURM_COMMANDS = ("sbatch", "squeue", "sacct", "scancel")


class Check(NamedTuple):
    """`state`: good; look (works, but); absent (not needed for the demo); missing (the demo cannot run)."""

    name: str
    state: State
    found: str
    fix: str = ""

    @property
    def blocks_demo(self) -> bool:
        return self.state == "missing"


def _python() -> Check:
    version = platform.python_version()
    if (sys.version_info.major, sys.version_info.minor) >= MINIMUM_PYTHON:
        return Check("Python", "good", f"{version} at {sys.executable}")
    return Check(
        "Python", "missing", f"{version}; Hanse needs 3.11 or newer", "apt install python3 on Debian 12 brings it"
    )


def _modules(name: str, modules: tuple[str, ...], extra: str) -> Check:
    absent = [module for module in modules if find_spec(module) is None]
    if not absent:
        return Check(name, "good", "all there")
    wanted = f"hanse[{extra}]" if extra else "hanse"
    return Check(name, "missing", f"not installed: {', '.join(absent)}", f"{sys.executable} -m pip install '{wanted}'")


def _torch() -> Check:
    get = (
        "Without an accelerator take the CPU build, about 1 GB installed instead of several: "
        "https://pytorch.org/get-started/locally shows the command; then pip install 'hanse[train]'."
    )
    try:
        version = metadata.version("torch")
    except metadata.PackageNotFoundError:
        return Check("PyTorch", "missing", "not installed", get)
    _, _, local = version.partition("+")
    build = {"cpu": "CPU build", "cu": "CUDA build", "ro": "ROCm build"}.get(
        local if local == "cpu" else local[:2], "default build"
    )
    major, minor = (int(part) for part in version.split(".")[:2])
    if (major, minor) < (2, 8):
        return Check("PyTorch", "missing", f"{version}; Hanse needs 2.8 or newer", get)
    absent = [module for module in ("safetensors", "tokenizers") if find_spec(module) is None]
    if absent:
        return Check("PyTorch", "missing", f"{version}, but not {', '.join(absent)}", "pip install 'hanse[train]'")
    return Check("PyTorch", "good", f"{version} ({build})")


def _accelerators() -> Check:
    for command, kind in (("nvidia-smi", "NVIDIA"), ("rocm-smi", "AMD")):
        if shutil.which(command):
            return Check("Accelerators", "good", f"{kind} tools found ({command})")
    return Check("Accelerators", "absent", "none; training here uses the processor's cores")


def _cores() -> Check:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if count < 2:
        return Check("Cores", "look", "1 core; two ranks will share it and the demo takes longer than four minutes")
    return Check("Cores", "good", f"{count} usable")


def _memory() -> Check:
    if find_spec("psutil") is None:
        return Check("Memory", "look", "unknown without psutil")
    import psutil

    memory = psutil.virtual_memory()
    found = f"{format_bytes(memory.available)} free of {format_bytes(memory.total)}"
    if memory.available < MINIMUM_MEMORY_BYTES:
        return Check(
            "Memory",
            "missing",
            found,
            f"The demo takes about {format_bytes(MINIMUM_MEMORY_BYTES)}: end what else runs.",
        )
    return Check("Memory", "good", found)


def _existing(path: Path) -> Path:
    return next(parent for parent in (path, *path.parents) if parent.exists())


def _home() -> Check:
    here = home()
    folder = _existing(here.root)
    network = on_network(here.root)
    free = shutil.disk_usage(folder).free
    found = f"{short(here.root)} on {file_system(here.root) or 'an unknown file system'}, {format_bytes(free)} free"
    if network:
        return Check("HANSE_HOME", "missing", found, "State needs a local disk: set HANSE_HOME to a folder on one.")
    if not os.access(folder, os.W_OK):
        return Check("HANSE_HOME", "missing", f"{found}, but not writable", "Set HANSE_HOME to a folder of yours.")
    if free < MINIMUM_DISK_BYTES:
        return Check("HANSE_HOME", "missing", found, f"The demo takes up to {format_bytes(MINIMUM_DISK_BYTES)} there.")
    return Check("HANSE_HOME", "good", found)


def _loopback() -> Check:
    try:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
    except OSError as error:
        return Check(
            "Ports", "missing", f"127.0.0.1 cannot be listened on: {error}", "The service and torchrun need loopback."
        )
    return Check("Ports", "good", f"127.0.0.1 can be listened on (tried {port})")


def _slurm() -> Check:
    from hanse.cli.embedded import slurm_variable

    variable = slurm_variable()
    if variable:
        return Check(
            "Slurm",
            "missing",
            f"{variable} is set: this is a node of a cluster, and no service is started here",
            "Run 'hanse serve' on a machine of yours and set HANSE_URL and HANSE_TOKEN here.",
        )
    present = [command for command in SLURM_COMMANDS if shutil.which(command)]
    if not present:
        return Check("Slurm", "absent", "no commands found; needed only to run on a cluster from here")
    lacking = [command for command in SLURM_COMMANDS if command not in present]
    if lacking:
        return Check(
            "Slurm", "look", f"{', '.join(present)} found, {', '.join(lacking)} not", "apt install slurm-client"
        )
    return Check("Slurm", "good", ", ".join(present))


def _processes() -> tuple[Check, Check]:
    from hanse.cli import embedded

    made = []
    for name, running in (("Service", embedded.service_status()), ("Agent", embedded.agent_status())):
        found = running.describe() if running else "not running; it is started when a command needs it"
        made.append(Check(name, "good" if running else "absent", found))
    return made[0], made[1]


def _calibration() -> Check:
    from hanse.cli.machine import cached_local

    machine = cached_local()
    if machine is None or machine.calibration is None:
        return Check(
            "Calibration",
            "absent",
            "not measured yet",
            "hanse machines calibrate (half a minute; the demo does it too)",
        )
    return Check(
        "Calibration",
        "good",
        f"measured {machine.calibration.measured_at:%-d %b %Y} with {machine.calibration.ranks} ranks",
    )


def examine() -> list[Check]:
    """Every check, in the order a newcomer would mend them."""
    found = [
        _python(),
        _modules("Core parts", CORE, ""),
        _modules("Service parts", SERVICE, "service"),
        _torch(),
        _accelerators(),
    ]
    found += [_cores(), _memory(), _home(), _loopback(), _slurm()]
    if not any(check.blocks_demo for check in found[:2]):
        found += [*_processes(), _calibration()]
    return found
