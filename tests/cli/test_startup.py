"""Start-up is what every command pays: nothing heavy is imported until a verb needs it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from hanse.cli.registry import VERBS

HEAVY = ("pydantic", "httpx", "numpy", "torch", "django", "rich", "yaml", "cryptography", "psutil")


def imported_by(code: str) -> set[str]:
    """The top-level names in sys.modules of a fresh interpreter that ran `code`."""
    end = "import sys, json; sys.stderr.write(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    run = f"try:\n    {code}\nexcept SystemExit:\n    pass\n{end}"
    done = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, check=True)
    return set(json.loads(done.stderr))


def test_importing_the_command_line_imports_nothing_heavy() -> None:
    assert imported_by("import hanse.cli.main") & set(HEAVY) == set()


def test_the_list_of_verbs_is_printed_without_importing_any_verb() -> None:
    code = "import sys; sys.argv = ['hanse', '--help']; from hanse.cli.main import main; main()"
    assert imported_by(code) & set(HEAVY) == set()


@pytest.mark.parametrize("verb", [verb.name for verb in VERBS])
def test_the_help_of_a_verb_is_printed_without_anything_heavy(verb: str) -> None:
    code = f"import sys; sys.argv = ['hanse', {verb!r}, '--help']; from hanse.cli.main import main; main()"
    assert imported_by(code) & set(HEAVY) == set()
