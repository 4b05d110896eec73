"""Write the job scripts on record: tests/schedulers/golden, one for every machine of the catalogue that has a Slurm.

Run it after a change of the scripts or of a machine's facts that you decided on, and read the difference.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from tests.schedulers.golden_cases import FOLDER, scripts  # noqa: E402


def main() -> None:
    wanted = scripts()
    changed = [name for name, text in wanted.items() if _read(FOLDER / name) != text]
    for name in changed:
        (FOLDER / name).write_text(wanted[name])
        print(f"{(FOLDER / name).relative_to(ROOT)}")
    print(f"{len(wanted)} scripts, {len(changed)} of them written")


def _read(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


if __name__ == "__main__":
    main()
