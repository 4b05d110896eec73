"""`hanse version`: what is installed, without importing it."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Annotated

import typer

PARTS = ("torch", "numpy", "pydantic", "typer", "django", "django-ninja")


def installed() -> dict[str, object]:
    """Versions by name; None for what is not installed."""
    from hanse import __version__

    versions: dict[str, object] = {"hanse": __version__, "python": platform.python_version()}
    for part in PARTS:
        try:
            versions[part] = metadata.version(part)
        except metadata.PackageNotFoundError:
            versions[part] = None
    return versions


def run(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    from hanse.cli.output import print_json

    versions = installed()
    if as_json:
        print_json(versions)
        return
    for name, version in versions.items():
        typer.echo(f"{name:13} {version or 'not installed'}")
