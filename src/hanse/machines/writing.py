"""Machine files as text: a whole machine, or new curves in a file whose other lines stay as they are."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

import yaml

from hanse.contracts.machine import Calibration, Machine

_BLOCK: Final = re.compile(r"^calibration:.*\n(?:[ \t#-].*\n|\n)*", re.MULTILINE)
"""The key at the left margin and every line under it that is indented, empty, a list's or a comment."""


def as_yaml(machine: Machine) -> str:
    """The machine as a file of its own; what is at its default is left out."""
    facts = machine.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump({"schema_version": 1, **facts}, sort_keys=False, allow_unicode=True, width=120)


def with_calibration(text: str, calibration: Calibration) -> str:
    """`text` with `calibration` in the place of an older one; every other line stays."""
    rest = _BLOCK.sub("", text if text.endswith("\n") else text + "\n")
    facts = calibration.model_dump(mode="json", exclude_defaults=True)
    return rest + yaml.safe_dump({"calibration": facts}, sort_keys=False, allow_unicode=True, width=120)


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Put the curves into a machine file, whole or not at all."""
    write(path, with_calibration(path.read_text(encoding="utf-8"), calibration))


def write(path: Path, text: str) -> None:
    """Replace the file's text, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)
