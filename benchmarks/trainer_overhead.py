"""Tokens/s of Hanse's trainer beside a plain DistributedDataParallel loop: two ranks, turn by turn in one group.

Hanse's step times come from its own telemetry: from the end of the step before, checkpoints left out, so telemetry,
fingerprints, checks and the stop flag are all in them. The model is small on purpose: whatever a trainer adds to a
step weighs most where steps are short.
"""

from __future__ import annotations

import statistics
from pathlib import Path

from benchmarks.figures import Table, alternate, load, ratios
from benchmarks.ranks import Ranks
from benchmarks.trainings import RANKS, make_run, spec
from hanse.contracts.layout import Layout

TARGET = 0.97
STEPS = 9
BUDGET_S = 20.0
LAYOUT = Layout(nodes=RANKS, dp=RANKS, micro_batch=8)
HEADER = ("model", "Hanse tokens/s", "plain DDP tokens/s", "Hanse / plain", "same by CPU time a step", "load")


def measure(scratch: Path) -> Table:
    rows, medians = [], []
    for training in (spec("stdlib-lm"),):
        run = make_run(scratch / training.name, training, layout=LAYOUT)
        assert training.model is not None and training.model.shape is not None
        tokens = LAYOUT.global_batch * training.model.shape.context
        with Ranks() as ranks:
            pairs = alternate(
                (lambda: ranks.hanse(run, STEPS), lambda: ranks.plain(run, STEPS)),  # noqa: B023 - called here
                budget_s=BUDGET_S,
            )
        speed = ratios((plain.step_s, ours.step_s) for ours, plain in pairs)
        cpu = ratios((plain.cpu_s, ours.cpu_s) for ours, plain in pairs)
        medians.append(speed.median)
        ours_s, plain_s = (statistics.median(turn.step_s for turn in each) for each in zip(*pairs, strict=True))
        rows.append(
            (training.name, f"{tokens / ours_s:,.0f}", f"{tokens / plain_s:,.0f}", str(speed), str(cpu), load())
        )
    met = "Met" if min(medians) >= TARGET else "Missed"
    return Table(HEADER, rows, f"Target: at least {TARGET:.2f} of the plain loop's tokens/s. {met}.")
