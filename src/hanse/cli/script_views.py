"""A job script with its reasons, for people: two columns on a terminal, comments above the lines into a pipe.

In both the script stays what it is: a terminal's columns never break a line, and the comments are comments to bash.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from hanse.cli.output import console, tell
from hanse.cli.views import sentences

if TYPE_CHECKING:
    from hanse.contracts.machine import Machine

Lines = Sequence[tuple[str, str]]

NARROWEST = 90
"""Columns of a terminal below which reasons stand above their lines."""
GAP = 2


def show(lines: Lines) -> None:
    out = console()
    if out.is_terminal and out.width >= NARROWEST:
        for line, reason in columns(lines, out.width):
            out.print(Text.assemble(line, (reason, "dim")), soft_wrap=True)
        return
    for is_reason, line in annotated(lines):
        out.print(Text(line, style="dim" if is_reason else ""), soft_wrap=True)


def columns(lines: Lines, width: int) -> Iterator[tuple[str, str]]:
    """Rows of script and reason for a terminal of `width` columns; a line too long for its column has a row alone."""
    left = width * 3 // 5
    said = ""
    for line, reason in lines:
        why = textwrap.wrap(reason, width - left, break_on_hyphens=False) if reason != said else []
        said = reason
        *whole, last = line.split("\n")
        for part in whole:
            yield part, ""
        if len(last) > left - GAP:
            yield last, ""
        else:
            yield (last.ljust(left), why.pop(0)) if why else (last, "")
        for more in why:
            yield " " * left, more


def annotated(lines: Iterable[tuple[str, str]]) -> Iterator[tuple[bool, str]]:
    """The script with its reasons as comments above the lines they explain; it is still the same script to bash.

    A comment may not stand inside a command that goes on over several lines, so those reasons come before it.
    """
    said, held, command = "", [], []
    for line, reason in lines:
        if reason and reason != said:
            held.append(reason)
        said = reason
        command.append(line)
        if line.endswith("\\"):
            continue
        indent = " " * (len(command[0]) - len(command[0].lstrip()))
        yield from ((True, f"{indent}# {each}") for each in held)
        yield from ((False, each) for each in command)
        held, command = [], []


def told(machine: Machine) -> None:
    """What the machine cannot do, and which of the facts above nobody published."""
    for title, said in ((f"# What {machine.name} cannot do", _cannot(machine)), ("# How sure this is", _sure(machine))):
        if said:
            tell("", Text(title, style="bold"), sentences(said))


def _cannot(machine: Machine) -> tuple[str, ...]:
    from hanse.machines.launch_facts import in_words

    return tuple(f"{in_words(one)} ({one.confidence})" for one in machine.scheduler.cannot)


def _sure(machine: Machine) -> list[str]:
    from hanse.machines.launch_facts import guesses, launch_facts

    guessed = guesses(machine)
    seen = [one.name for one in launch_facts(machine) if one.confidence == "observed"]
    said = []
    if guessed and machine.scheduler.kind != "local":
        said.append(
            f"Guessed, not published: {', '.join(one.name for one in guessed)}. Ask the site before a long job."
        )
    if seen:
        said.append(f"Seen in other users' job scripts rather than in the site's own pages: {', '.join(seen)}.")
    return said
