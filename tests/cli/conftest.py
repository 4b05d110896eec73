"""Every test of the command line has a HANSE_HOME of its own and none of the caller's settings."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hanse.cli.main import app

SOURCE = Path(__file__).parents[2] / "src"
Hanse = Callable[..., "Answer"]


class Answer:
    """What a command said and how it ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith(("SLURM_", "HANSE_")) or name in ("NO_COLOR", "COLUMNS"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", str(SOURCE))
    home = tmp_path / "home"
    monkeypatch.setenv("HANSE_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    return home


@pytest.fixture
def hanse() -> Hanse:
    def run(*arguments: str) -> Answer:
        from hanse.cli.output import console

        console.cache_clear()
        result = CliRunner().invoke(app, list(arguments), prog_name="hanse")
        console.cache_clear()
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Answer(result.exit_code, result.stdout, result.stderr)

    return run
