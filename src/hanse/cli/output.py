"""How facts and failures reach the reader: consoles, JSON, and the one form every error is printed in.

On a terminal text is wrapped and coloured; into a pipe it is plain, unwrapped and stable. NO_COLOR is obeyed (by Rich).
"""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from hanse.cli.plaintext import plain
from hanse.contracts.errors import HanseError, PolicyError, UsageError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from hanse.contracts.base import Contract

PIPE_WIDTH = 160
"""Columns of a table that no terminal bounds."""


class ProgramError(HanseError):
    """A program did not do its work; `history` holds its own last words."""


@cache
def console(*, stderr: bool = False) -> Console:
    """Rich's console for one stream; highlighting of numbers is off: colour is used for states only."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
    return Console(
        stderr=stderr, highlight=False, markup=False, emoji=False, width=width, soft_wrap=not stream.isatty()
    )


def print_lines(out: Console, *parts: RenderableType) -> None:
    """Print one part under the other; into a pipe without the blanks Rich fills its columns with."""
    if out.is_terminal:
        out.print(*parts, sep="\n")
        return
    with out.capture() as captured:
        out.print(*parts, sep="\n")
    for line in captured.get().splitlines():
        out.file.write(line.rstrip() + "\n")
    out.file.flush()


def tell(*parts: RenderableType) -> None:
    """Facts for a person, on stdout."""
    print_lines(console(), *parts)


def interactive() -> bool:
    """Whether somebody sits there who can answer a question."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def note(text: str) -> None:
    """A remark for the person, not part of the answer: on stderr, so that pipes stay clean."""
    console(stderr=True).print(text, style="dim")


def print_json(facts: Contract | Sequence[Contract] | dict[str, object]) -> None:
    """Contract JSON on stdout: an object, or an array of objects."""
    if isinstance(facts, dict):
        text = json.dumps(facts, indent=2, ensure_ascii=False, default=str) + "\n"
    elif isinstance(facts, Sequence):
        text = json.dumps([fact.model_dump(mode="json") for fact in facts], indent=2, ensure_ascii=False) + "\n"
    else:
        text = facts.to_json()
    typer.echo(text, nl=False)


def describe(error: BaseException) -> HanseError:
    """Whatever was raised, as an error that says what, where and what to do."""
    if isinstance(error, HanseError):
        return error
    if isinstance(error, OSError) and error.strerror:
        return HanseError(
            f"{error.strerror[0].upper()}{error.strerror[1:]}.",
            where=str(error.filename or ""),
            fix="Check that path, its permissions and the free space, and try again.",
        )
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("hanse"):
        return HanseError(
            f"The Python module {error.name} is not installed.",
            fix="'hanse doctor' says which part of Hanse it belongs to and how to get it.",
        )
    return HanseError(
        f"Hanse itself failed: {type(error).__name__}: {error}".rstrip(": "),
        fix="This is a mistake in Hanse, not yours. Set HANSE_DEBUG=1 to see where, and report it with that text.",
    )


def history_word(error: HanseError) -> str:
    """What the lines of an error's history are: reasons of a refusal, words of a program, or what was tried."""
    if isinstance(error, PolicyError):
        return "Why:   "
    return "Said:  " if isinstance(error, ProgramError) else "Tried: "


def _begun(text: str) -> str:
    """With a capital, unless it begins with what is typed as it stands: a key, a name, a command."""
    first = text.split(" ", 1)[0]
    return text[:1].upper() + text[1:] if first.isalpha() and first != "hanse" else text


def require_file_can_be(out: Path) -> None:
    """Nothing if `out` can be written; said before the work, not after it.

    Raises:
        UsageError: it is a folder, or its folder is not there or not writable.
    """
    folder = out.absolute().parent
    if out.is_dir():
        raise UsageError(
            "This is a folder, not a file.", where=str(out), fix=f"For instance: --out {out / 'report.html'}"
        )
    if not folder.is_dir():
        raise UsageError("There is no such folder.", where=str(folder), fix="Make it first, or choose another --out.")
    if not os.access(out if out.exists() else folder, os.W_OK):
        raise UsageError("It cannot be written.", where=str(out), fix="Choose another --out.")


def failure_lines(error: HanseError, width: int | None) -> list[str]:
    """The message as lines, with hanging indents; `width` None leaves lines unwrapped."""
    rows = [("Error: ", _begun(error.what))]
    if error.where:
        rows.append(("  Where: ", error.where))
    rows += [(f"  {history_word(error)}", line) for line in error.history]
    if error.fix:
        rows.append(("  To do: ", _begun(error.fix)))
    lines: list[str] = []
    for head, said in rows:
        text = plain(said)
        first, *others = (text or "").splitlines() or [""]
        for start, part in ((head, first), *((" " * len(head), line) for line in others)):
            indent = " " * len(head)
            lines += (
                textwrap.wrap(part, width, initial_indent=start, subsequent_indent=indent, break_on_hyphens=False)
                if width and part
                else [start + part]
            )
    return lines


def print_failure(error: BaseException) -> int:
    """Print one message to stderr; return the exit code that goes with it."""
    known = describe(error)
    colour = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    width = min(console(stderr=True).width, 100) if sys.stderr.isatty() else None
    for line in failure_lines(known, width):
        head, colon, rest = line.partition(":")
        marked = typer.style(head + colon, bold=True, fg="red" if head == "Error" else None) + rest
        is_head = colon and head.strip() in ("Error", "Where", "Tried", "Why", "Said", "To do")
        typer.echo(marked if colour and is_head else line, err=True)
    return known.exit_code
