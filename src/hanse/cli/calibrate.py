"""Measuring this machine once, and remembering it until the software or the hardware it was measured with changes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from hanse.cli import machine as machines
from hanse.cli.output import ProgramError
from hanse.contracts.errors import HanseError

if TYPE_CHECKING:
    from hanse.contracts.machine import Machine

LIMIT_S = 120


def _torch_version() -> str:
    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return ""


def still_true(cached: Machine) -> bool:
    """Whether the remembered calibration was made with this torch and so many ranks as would run now."""
    from hanse.machines.local import local_machine

    if cached.calibration is None:
        return False
    current = local_machine()
    same_shape = (current.nodes, current.accelerators_per_node) == (cached.nodes, cached.accelerators_per_node)
    return same_shape and _torch_version().split("+")[0] in cached.calibration.software


def calibrated(*, again: bool = False, say: Callable[[str], None] = lambda _: None) -> tuple[Machine, bool]:
    """This machine with its calibration, and whether it was measured just now.

    Raises:
        HanseError: torch is not installed, or the measurement failed.
    """
    cached = machines.cached_local()
    if cached is not None and not again and still_true(cached):
        return cached, False
    if find_spec("torch") is None:
        raise HanseError(
            "This machine cannot be measured without PyTorch.",
            fix="'hanse doctor' says how to install it here.",
        )
    from hanse.contracts.machine import Calibration
    from hanse.machines.local import local_machine

    here = local_machine()
    ranks = (here.nodes or 1) * here.accelerators_per_node
    say(f"Measuring this machine with {ranks} ranks busy; this takes up to half a minute and is remembered.")
    with TemporaryDirectory(prefix="hanse-calibrate-") as folder:
        out = Path(folder) / "calibration.json"
        try:
            done = subprocess.run(
                [sys.executable, "-m", "hanse.training.calibrate", "--ranks", str(ranks), "--out", str(out)],
                capture_output=True, text=True, check=False, timeout=LIMIT_S,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise HanseError(
                f"Measuring this machine took more than {LIMIT_S} s and was stopped.",
                fix="Something else keeps it busy; try again when it is quiet: hanse machines calibrate --again",
            ) from None
        if done.returncode or not out.exists():
            said = tuple(line.strip() for line in done.stderr.splitlines() if line.strip())[-3:]
            raise ProgramError(
                "Measuring this machine failed.",
                fix="'hanse doctor' checks what it needs.",
                history=said,
            )
        return machines.keep_local(Calibration.from_json(out.read_bytes())), True
