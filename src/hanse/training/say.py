"""The trainer's one way of speaking: whole lines on stdout, which is the job's log."""

from __future__ import annotations

import os
import sys


def say(line: str) -> None:
    """One write a line, so that lines of several ranks do not run into each other."""
    sys.stdout.flush()
    os.write(1, f"{line}\n".encode())
