"""How the demo tells what it does: numbered steps, what was done with a tick, waits with a turning sign.

A story is calm: one line says what will happen, the lines under it what came of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.text import Text

from hanse.cli.output import print_lines

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

INDENT = 3
WIDTH = 96
"""Text is set no wider than this, however wide the terminal is."""


class Story:
    """Writes to one console; the only thing it remembers is the number of the step."""

    def __init__(self, console: Console) -> None:
        self.console = console
        console.width = min(console.width, WIDTH)
        self._step = 0

    def title(self, text: str) -> None:
        self.console.print(Text(text, style="bold"))

    def step(self, title: str) -> None:
        self._step += 1
        self.console.print()
        self.console.print(Text.assemble((f"{self._step}", "bold dark_orange3"), "  ", (title, "bold")))

    def say(self, *parts: RenderableType) -> None:
        for part in parts:
            print_lines(self.console, Padding(part, (0, 0, 0, INDENT)))

    def done(self, text: str) -> None:
        self._signed("✓", "green", text)

    def open(self, text: str) -> None:
        """A fact that is neither good nor bad, but should be known."""
        self._signed("!", "yellow", text)

    def _signed(self, sign: str, style: str, text: str) -> None:
        from rich.table import Table

        row = Table.grid(padding=(0, 1))
        row.add_row(Text(sign, style=style), Text(text))
        self.say(row)

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """A wait of seconds: a turning sign on a terminal, one line elsewhere."""
        if not self.console.is_terminal:
            self.say(f"{text} …")
            yield
            return
        with self.console.status(Padding(Text(text), (0, 0, 0, 1)), spinner="dots", spinner_style="dark_orange3"):
            yield
