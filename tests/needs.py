"""What a test needs of the machine: without it the test is skipped, and with CI=true it fails, so that nothing is
skipped unseen."""

from __future__ import annotations

import os
import shutil

import pytest


def lacking(what: str) -> None:
    """End the test: `what` is not here."""
    pytest.fail(what) if os.environ.get("CI") == "true" else pytest.skip(what)


def program(name: str, *, package: str) -> str:
    """The path of a program of Debian's `package`."""
    found = shutil.which(name)
    if found is None:
        lacking(f"no {name} on this machine (Debian: apt-get install {package})")
    assert found is not None
    return found
