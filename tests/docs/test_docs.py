"""The docs say what is so: their commands run, their links lead somewhere, their tables list what there is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hanse.contracts import jobenv
from hanse.contracts.errors import HanseError
from hanse.contracts.run import AttemptState, RunState
from tools import reference

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TUTORIALS = ["first-run.md", "your-own-model.md"]
WITHIN_S = 900


def commands(page: Path) -> list[str]:
    """The lines that begin with '$ ' in console blocks."""
    blocks = re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL)
    lines = (line.strip() for block in blocks for line in block.splitlines())  # a block in a list is indented
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


def files(page: Path) -> dict[str, str]:
    """What blocks with a title hold, by that title."""
    return dict(re.findall(r'```yaml title="([^"]+)"\n(.*?)```', page.read_text(), re.DOTALL))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the examples in it, and an installation of its own."""
    here = tmp_path_factory.mktemp("tutorial")
    shutil.copytree(ROOT / "examples", here / "examples")
    yield here
    run("hanse serve --stop", here)


def run(command: str, here: Path) -> subprocess.CompletedProcess[str]:
    """A command as a reader types it, in the environment that the page has led to."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HANSE_", "SLURM_"))}
    environment.pop("COLUMNS", None)  # the width of whoever runs the tests is not the reader's
    environment |= {
        "HANSE_HOME": str(here / "home"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT / 'src'}",
    }
    # `make demo` sets up .venv, which these tests run in already, and then is this:
    typed = command.replace("make demo", "hanse demo")
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", typed], cwd=here, env=environment, capture_output=True, text=True,
        timeout=WITHIN_S, check=False,
    )  # fmt: skip


@pytest.mark.torch
@pytest.mark.timeout(2400)
def test_every_command_of_the_tutorials_runs(folder: Path) -> None:
    said: dict[str, str] = {}
    for name in TUTORIALS:
        page = DOCS / "tutorial" / name
        assert commands(page), name
        for path, text in files(page).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        for command in commands(page):
            done = run(command, folder)
            assert done.returncode == 0, f"{name}: {command}\n{done.stdout}\n{done.stderr}"
            assert "Traceback" not in done.stderr, command
            said[command] = done.stdout + done.stderr

    demo = said["make demo"]
    told = re.search(r"Loss ([\d.]+) nats.*?gives ([\d.]+)", demo, re.DOTALL)
    assert told is not None, demo
    loss, entropy = (float(x) for x in told.groups())
    assert loss < entropy - 1, "the model has learnt clearly more than how often tokens occur"
    assert (folder / "report.html").stat().st_size > 10_000
    assert "http://127.0.0.1:" in demo
    mistake = next(text for command, text in said.items() if "exit code" in command)
    assert "bacth" in mistake and "batch" in mistake and "exit code 2" in mistake
    assert re.search(r"train\.yaml:\d+", mistake), "the line is named"
    assert "finished" in said["hanse status mine"].lower()


@pytest.mark.parametrize("name", reference.PAGES)
def test_a_page_that_follows_from_the_code_is_up_to_date(name: str) -> None:
    assert (DOCS / "reference" / name).read_text() == reference.PAGES[name](), "run: make reference"


def test_every_variable_of_a_job_is_explained() -> None:
    page = (DOCS / "reference" / "variables.md").read_text()
    names = [value for key, value in vars(jobenv).items() if key.isupper() and isinstance(value, str)]
    assert [name for name in names if name not in page] == []


def test_every_state_is_explained() -> None:
    page = (DOCS / "reference" / "states.md").read_text()
    assert [state.value for state in (*RunState, *AttemptState) if state.value not in page] == []


def test_every_relative_link_leads_to_a_file() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")]
    links = ((page, target) for page in pages for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()))
    assert [
        f"{page.relative_to(ROOT)}: {target}" for page, target in links if not (page.parent / target).exists()
    ] == []


def test_every_kind_of_error_is_drawn_in_the_tree() -> None:
    import hanse.contracts.errors as errors

    kinds = {cls.__name__ for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, HanseError)}
    assert [kind for kind in kinds if kind not in (errors.__doc__ or "")] == []


def test_the_readme_fits_one_screen_and_shows_both_commands() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 60
    assert "make demo" in text and "make test" in text
    assert (ROOT / re.search(r"!\[[^]]+\]\(([^)]+)\)", text).group(1)).exists()
