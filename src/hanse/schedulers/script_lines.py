"""What the rooms of a job script share: lines with their reasons, and exports whose values survive the shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from hanse.contracts.errors import SiteError

Lines = list[tuple[str, str]]
"""Each line of the script with the reason a person reads; an empty line has none."""

CANNOT_CREATE = 73
"""The exit code of a job that could not make its claim or enter its folder (sysexits' EX_CANTCREAT)."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FIXED = frozenset({"BASHOPTS", "BASH_VERSINFO", "EUID", "PPID", "SHELLOPTS", "UID"})
"""What bash lets nobody set."""
_OURS = "hanse_"
"""How the script's own variables and functions begin."""


def exports(variables: Mapping[str, str], reason: str) -> Lines:
    for name in variables:
        if not _NAME.fullmatch(name):
            raise SiteError(f"{name!r} is no name for an environment variable", where="environment")
        if name in _FIXED or name.startswith(_OURS):
            owner = "bash" if name in _FIXED else "the job script"
            raise SiteError(f"{name} belongs to {owner} and cannot be set", where="environment", fix="Rename it.")
    return [(f"export {name}={shlex.quote(value)}", reason) for name, value in variables.items()]
