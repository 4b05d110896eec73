"""`python -m benchmarks.chaos --kills N --seed S --json`: random deaths and cuts while short runs pass over two Slurms.

Struck are service, agents, slurmctld, slurmd, slurmdbd, batch scripts, workers, connections and disks. Afterwards every
run must have finished once, with each step effective once, and the ledger must say what sacct says, to the second.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.chaos_blows import deal
from benchmarks.chaos_world import World, as_json, world
from tests import federation_site
from tests.federation_site import Federation

RUNS, TRAININGS, OWN_DISKS = 50, 5, 6


def rage(
    passing: World, *, runs: int, trainings: int, own_disks: int, kills: int, steps: int, step_s: float,
    within_s: float, tell: bool = False,
) -> dict[str, object]:  # fmt: skip
    """Deal `kills` blows while `runs` pass, wait for the ends, count."""
    began, dealt = time.monotonic(), 0
    trains = {number * runs // trainings for number in range(trainings)} if trainings else set()
    disks = set([number for number in range(runs) if number not in trains][2 : 2 + own_disks])
    kinds: dict[str, int] = {}
    while dealt < kills or len(passing.passing) < runs:
        due = runs if dealt >= kills else min(runs, 1 + runs * (dealt + 4) // kills)
        while len(passing.passing) < due:
            number = len(passing.passing)
            passing.launch(training=number in trains, own_disk=number in disks, steps=steps, step_s=step_s)
        if dealt >= kills:
            break
        told = deal(passing)
        if told is None:
            continue
        dealt += 1
        kind = told.split(" of ")[0].rstrip("0123456789 ")
        kinds[kind] = kinds.get(kind, 0) + 1
        if tell:
            print(f"{time.monotonic() - began:6.1f} s  {dealt:3}  {told}", file=sys.stderr, flush=True)
        time.sleep(passing.chance.uniform(0.0, 0.6))
    passing.finish(within_s)
    return passing.figures(dealt) | {"struck": kinds, "took_s": round(time.monotonic() - began)}


@contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        kept.mkdir(parents=True)
        yield kept
        return
    with tempfile.TemporaryDirectory(prefix="hanse-chaos-") as folder:
        yield Path(folder)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--trainings", type=int, default=TRAININGS)
    parser.add_argument("--within-s", type=float, default=600, help="after the last blow")
    parser.add_argument("--json", action="store_true", help="print figures only")
    parser.add_argument("--keep", type=Path, help="leave logs and folders there")
    given = parser.parse_args(arguments)
    with _folder(given.keep) as home:
        root = Path(tempfile.mkdtemp(prefix="hs-", dir="/tmp"))
        federation: Federation = federation_site.up(root)
        try:
            with world(federation, home, random.Random(given.seed)) as passing:
                figures = rage(
                    passing, runs=given.runs, trainings=given.trainings, own_disks=OWN_DISKS, kills=given.kills,
                    steps=40, step_s=0.2, within_s=given.within_s, tell=not given.json,
                )  # fmt: skip
        finally:
            federation_site.down(root)
    print(as_json({"seed": given.seed} | figures))
    return 0 if figures["finished_once"] == figures["runs"] and figures["ledger_minus_sacct_s"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
