"""`hanse doctor`: what this machine has, what is missing, how to get it. Ends with 1 if the demo could not run here."""

from __future__ import annotations

from typing import Annotated

import typer


def run(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    from hanse.cli.checks import examine
    from hanse.cli.output import print_json, tell

    found = examine()
    ready = not any(check.blocks_demo for check in found)
    if as_json:
        print_json({"demo_can_run": ready, "checks": [check._asdict() for check in found]})
        raise typer.Exit(0 if ready else 1)
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column()
    signs = {
        "good": ("✓ good", "green"),
        "absent": ("· absent", "dim"),
        "look": ("! look", "yellow"),
        "missing": ("✗ missing", "red"),
    }
    for check in found:
        said = Text(check.found)
        if check.fix and check.state != "good":
            said.append(f"\n{check.fix}", style="dim")
        grid.add_row(Text(signs[check.state][0], style=signs[check.state][1]), check.name, said)
    tell(grid, "")
    if ready:
        tell(Text.assemble("Ready: ", ("hanse demo", "bold"), " can run here."))
    else:
        blocking = ", ".join(check.name for check in found if check.blocks_demo)
        tell(Text.assemble(("hanse demo", "bold"), f" cannot run here yet: {blocking}."))
    raise typer.Exit(0 if ready else 1)
