"""`python -m benchmarks.run [NAME …]`: run all benchmarks, or those named; print them and keep them in RESULTS.md."""

from __future__ import annotations

import importlib
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.figures import load, machine, replace_block

NAMES = (
    "planner_speed", "planner_accuracy", "planner_memory", "start_up", "trainer", "across_machines", "malloc",
    "portal_load",
)  # fmt: skip
RESULTS = Path(__file__).parent / "RESULTS.md"


def main(wanted: list[str]) -> int:
    if unknown := set(wanted) - set(NAMES):
        print(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    began = time.monotonic()
    print(f"{machine()}\nload over 1 / 5 minutes: {load()}")
    for name in wanted or NAMES:
        since = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="hanse-bench-") as scratch:
            found = importlib.import_module(f"benchmarks.{name}").measure(Path(scratch)).markdown()
        print(f"\n{name} ({time.monotonic() - since:.0f} s)\n{found}", flush=True)
        # At once: what was measured is kept, whatever becomes of the next one.
        when = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        text = RESULTS.read_text(encoding="utf-8")
        text = replace_block(text, name, f"_{when}_\n\n{found}")
        RESULTS.write_text(replace_block(text, "machine", machine()), encoding="utf-8")
    print(f"\n{time.monotonic() - began:.0f} s in all; kept in {RESULTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
