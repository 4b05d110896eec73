"""What the planner says a step takes, over what Hanse's trainer then measures, on this machine.

The machine is calibrated anew before each training, so that planner and training see about the same neighbours, and
the training runs as jobs do: one launcher a "node", a plan.json, torchrun below.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.figures import Table, load
from benchmarks.trainings import LONG, RANKS, WIDE, make_run, median_step_s, spec, train
from hanse.contracts.machine import Calibration
from hanse.machines.local import local_machine
from hanse.planning.plan import make
from hanse.workloads.shapes import workload_of

WITHIN = 0.25
STEPS = 40
HEADER = ("model", "layout", "predicted step (80 % interval)", "measured median", "predicted / measured", "load")


def measure(scratch: Path) -> Table:
    rows, off = [], []
    for training in (
        spec("stdlib-lm", steps=STEPS), spec("wide", WIDE, steps=STEPS), spec("long", LONG, batch=8, steps=STEPS)
    ):  # fmt: skip
        out = scratch / f"{training.name}.json"
        command = [sys.executable, "-m", "hanse.training.calibrate", "--ranks", str(RANKS), "--out", str(out)]
        subprocess.run(command, check=True, timeout=120)
        machine = local_machine(Calibration.from_json(out.read_bytes()), nodes=RANKS)
        plan = make(workload_of(training), machine, nodes=RANKS)
        run = make_run(scratch / f"predicted-{training.name}", training, plan=plan)
        train(run)
        said, measured_s = plan.step_time.total_s, median_step_s(run)
        ratio = said.expected / measured_s
        off.append(abs(ratio - 1))
        interval = f"{said.expected * 1e3:.0f} ms ({said.low * 1e3:.0f}–{said.high * 1e3:.0f})"
        rows.append(
            (training.name, plan.layout.describe(), interval, f"{measured_s * 1e3:.0f} ms", f"**{ratio:.2f}**", load())
        )
    met = sum(each <= WITHIN for each in off)
    return Table(HEADER, rows, f"Target: within {WITHIN:.0%}. {met} of {len(off)}; the worst is {max(off):.0%} off.")
