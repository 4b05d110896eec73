"""Every page a person sees stands in the documentation with its picture: a new page cannot be forgotten."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.service import environment

environment.set_up()

from tests.service import permissions  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
FILES = re.compile(r"\.(csv|json|pdf|txt|\{kind\})$|/download/$")


@pytest.fixture(scope="module")
def tool() -> Any:
    spec = importlib.util.spec_from_file_location("screenshots", ROOT / "tools/screenshots.py")
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules["screenshots"] = made
    spec.loader.exec_module(made)
    return made


def shown() -> set[str]:
    """Addresses outside the APIs at which somebody is shown something."""
    gets = {act.removeprefix("GET "): seen for act, seen in permissions.table().items() if act.startswith("GET ")}
    return {
        one for one, seen in gets.items() if "200" in seen and not one.startswith("/api/") and not FILES.search(one)
    }


def test_every_page_has_its_entry_and_every_entry_its_page(tool: Any) -> None:
    named = [page.address for page in tool.listed()]
    assert len(named) == len(set(named)), "a page stands there twice"
    assert not set(named) & set(tool.no_pages())
    lacking = shown() - set(named) - set(tool.no_pages())
    assert not lacking, f"name them in tools/pages.yaml and run tools/screenshots.py: {sorted(lacking)}"
    gone = set(named) | set(tool.no_pages())
    assert gone <= shown(), f"tools/pages.yaml names what is no page: {sorted(gone - shown())}"


def test_every_page_has_one_picture_that_is_small(tool: Any) -> None:
    named = {page.picture for page in tool.listed()}
    assert len(named) == len(tool.listed())
    assert {path.name for path in tool.PICTURES.iterdir()} == named, "run tools/screenshots.py, and delete what is gone"
    for path in sorted(tool.PICTURES.iterdir()):
        head = path.read_bytes()[:24]
        assert head.startswith(b"\x89PNG") and int.from_bytes(head[16:20]) == tool.WIDTH, path.name
        assert path.stat().st_size <= tool.MOST_BYTES, path.name


def test_the_page_of_pages_is_written_from_the_list(tool: Any) -> None:
    assert tool.PAGE.read_text("utf-8") == tool.written(), "run tools/screenshots.py --page"
