"""Text of others made safe for a terminal: a job's log may hold sequences that move the cursor, retitle the window or
type for the reader (ECMA-48). Letters, line ends and tabs are let through; what a pipe gets is left as it is.
"""

from __future__ import annotations

import re

_SEQUENCES = re.compile(
    r"\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)"  # OSC: titles, links, clipboard
    r"|\x1b[PX^_][^\x1b\n]*\x1b\\"  # DCS, SOS, PM, APC
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[ -/]*[0-~]"
)
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """`text` without anything a terminal would obey."""
    return _CONTROLS.sub("", _SEQUENCES.sub("", text))


class LogLines:
    """A log that comes in pieces, shown by whole lines; of a line written over, as progress bars do, its last state."""

    def __init__(self) -> None:
        self._held = ""

    def take(self, piece: str) -> str:
        whole = self._held + piece
        # A carriage return at the very end may be half of a line end.
        cut = max(whole.rfind("\n"), whole.rfind("\r", 0, -1)) + 1
        self._held = whole[cut:]
        return "".join(f"{self._shown(line)}\n" for line in _lines(whole[:cut]))

    def rest(self) -> str:
        """What is left when nothing more comes."""
        held, self._held = self._held, ""
        return "".join(f"{self._shown(line)}\n" for line in _lines(held))

    @staticmethod
    def _shown(line: str) -> str:
        states = [state for state in line.split("\r") if state]
        return plain(states[-1]) if states else ""


def _lines(text: str) -> list[str]:
    lines = text.replace("\r\n", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]
