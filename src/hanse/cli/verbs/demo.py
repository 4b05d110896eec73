"""`hanse demo`: the whole journey once, everything real, told in numbered steps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def run(
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to write the report.")] = Path("report.html"),
) -> None:
    from hanse.cli.journey import Journey
    from hanse.cli.output import console

    Journey(console(), out).travel()
