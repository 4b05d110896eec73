"""`hanse logs`: what a run's job wrote; as it is into a pipe, without control characters onto a terminal."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer

POLL_S = 1.0


def run(
    run_id: Annotated[str | None, typer.Argument(metavar="[RUN]", help="Id of a run; the latest if left out.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing until the run ends.")] = False,
) -> None:
    from hanse.cli import pick
    from hanse.cli.connect import client as connect
    from hanse.cli.output import note
    from hanse.cli.plaintext import LogLines
    from hanse.contracts.run import FINAL_RUN_STATES

    client = connect()
    found = pick.run(client, run_id)
    offset, printed, lines = 0, False, LogLines() if sys.stdout.isatty() else None
    try:
        while True:
            ended = client.run(found.id).state in FINAL_RUN_STATES
            part = client.log(found.id, offset=offset)
            while part.text:
                typer.echo(lines.take(part.text) if lines else part.text, nl=False)
                offset, printed = part.next_offset, True
                part = client.log(found.id, offset=offset)
            if not follow or ended:
                break
            time.sleep(POLL_S)
    except KeyboardInterrupt:
        from hanse.cli.watch import keeps_going

        typer.echo(keeps_going(found.id), err=True)
        return
    if lines:
        typer.echo(lines.rest(), nl=False)
    if not printed:
        note(f"{found.id} is {found.state} and has written nothing yet.")
