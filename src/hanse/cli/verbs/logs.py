"""`hanse logs`: what a run's jobs wrote; as it is into a pipe, without control characters onto a terminal."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hanse.client.answers import LogText
    from hanse.client.api import Client

POLL_S = 1.0


class Printer:
    """Prints a run's log as it grows, with a line of its own wherever another attempt begins.

    That of the first attempt is told once there is a second: most runs have one.
    """

    def __init__(self, client: Client, run_id: str) -> None:
        from hanse.cli.plaintext import LogLines

        self.printed = False
        self._client, self._run_id = client, run_id
        self._offset, self._attempt, self._at_line_start = 0, ("", 0), True
        self._lines = LogLines() if sys.stdout.isatty() else None

    def more(self) -> None:
        """Everything that has come since."""
        part = self._client.log(self._run_id, offset=self._offset)
        while part.text:
            self._take(part)
            part = self._client.log(self._run_id, offset=self._offset)

    def _take(self, part: LogText) -> None:
        attempt = (part.machine, part.attempt)
        if self.printed and attempt != self._attempt:
            self.rest()
            typer.echo(("" if self._at_line_start else "\n") + separator(*attempt))
        text = self._lines.take(part.text) if self._lines else part.text
        typer.echo(text, nl=False)
        self._at_line_start = text.endswith("\n") if text else self._at_line_start
        self._offset, self._attempt, self.printed = part.next_offset, attempt, True

    def rest(self) -> None:
        """What stands in a line that was not ended."""
        if self._lines and (text := self._lines.rest()):
            typer.echo(text, nl=False)
            self._at_line_start = text.endswith("\n")


def separator(machine: str, attempt: int) -> str:
    return f"──── attempt {attempt}{f' on {machine}' if machine else ''} ────"


def run(
    run_id: Annotated[str | None, typer.Argument(metavar="[RUN]", help="Id of a run; the latest if left out.")] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Keep printing until the run ends, wherever it goes on.")
    ] = False,
) -> None:
    from hanse.cli import pick
    from hanse.cli.connect import client as connect
    from hanse.cli.output import note
    from hanse.contracts.run import FINAL_RUN_STATES

    client = connect()
    found = pick.run(client, run_id)
    printer = Printer(client, found.id)
    try:
        while True:
            ended = client.run(found.id).state in FINAL_RUN_STATES
            printer.more()
            if not follow or ended:
                break
            time.sleep(POLL_S)
    except KeyboardInterrupt:
        from hanse.cli.watch import keeps_going

        typer.echo(keeps_going(found.id), err=True)
        return
    printer.rest()
    if not printer.printed:
        note(f"{found.id} is {found.state} and has written nothing yet.")
