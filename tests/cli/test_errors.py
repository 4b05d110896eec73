"""Whatever goes wrong is one message: what, where, what was tried, what to do; the exit code says whose it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hanse.cli.output import describe, failure_lines
from hanse.contracts.errors import HanseError, PlanError, UsageError
from tests.cli.conftest import Hanse

GOOD = """\
name: small
model:
  shape: {layers: 2, hidden: 64, heads: 4, kv_heads: 2, ffn: 128, vocab: 512, context: 64}
tokenizer: {vocab: 512}
data:
  - {name: stdlib, source: python-stdlib, licence: PSF-2.0}
batch: 8
tokens: 5120
precision: fp32
where: {max_gpu_hours: 1}
"""


def test_an_error_is_set_as_what_where_tried_and_to_do() -> None:
    error = PlanError("Nothing fits.", where="leonardo", fix="Ask for more nodes.", history=("2 nodes: 70 of 64 GB",))
    assert failure_lines(error, None) == [
        "Error: Nothing fits.",
        "  Where: leonardo",
        "  Tried: 2 nodes: 70 of 64 GB",
        "  To do: Ask for more nodes.",
    ]


def test_long_text_hangs_under_its_word_on_a_narrow_terminal() -> None:
    lines = failure_lines(UsageError("one two three four five six seven eight nine ten"), 24)
    assert lines[0] == "Error: One two three"
    assert all(line.startswith("       ") and len(line) <= 24 for line in lines[1:])


@pytest.mark.parametrize(
    ("raised", "code", "says"),
    [
        (UsageError("wrong"), 2, "wrong"),
        (PlanError("no"), 1, "no"),
        (PermissionError(13, "Permission denied", "/root/x"), 1, "Permission denied"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), 1, "torch is not installed"),
        (ZeroDivisionError("division by zero"), 1, "Hanse itself failed"),
    ],
)
def test_every_failure_becomes_an_error_of_the_tree(raised: BaseException, code: int, says: str) -> None:
    known = describe(raised)
    assert isinstance(known, HanseError)
    assert known.exit_code == code
    assert says in known.what


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("batch: 8", "batsh: 8", ("batsh", "batch", "7")),
        ("heads: 4", "heads: 5", ("heads", "3")),
        ("batch: 8", "batch: many", ("batch", "7")),
        ("source: python-stdlib", "source: no/such/*.txt", ("data", "6")),
        ("where: {max_gpu_hours: 1}", "", ("where",)),
        ("name: small", "name: [", ("YAML", "train.yaml:3")),
    ],
)
@pytest.mark.parametrize("verb", ["plan", "launch"])
def test_a_mistake_in_train_yaml_is_one_message_with_file_key_and_line(
    hanse: Hanse, tmp_path: Path, verb: str, old: str, new: str, says: tuple[str, ...]
) -> None:
    path = tmp_path / "train.yaml"
    path.write_text(GOOD.replace(old, new))
    answer = hanse(verb, str(path))
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.count("Error: ") == 1
    assert "train.yaml" in answer.err
    for word in says:
        assert word in answer.err
    assert "Traceback" not in answer.err


def test_a_missing_train_yaml_is_named(hanse: Hanse) -> None:
    answer = hanse("plan")
    assert answer.code == 2
    assert "train.yaml" in answer.err


def test_an_unknown_machine_names_the_nearest(hanse: Hanse, tmp_path: Path) -> None:
    (tmp_path / "train.yaml").write_text(GOOD)
    answer = hanse("plan", "--machine", "leonado-booster")
    assert answer.code == 2
    assert "Did you mean leonardo-booster?" in answer.err


def test_a_wrong_option_is_usage(hanse: Hanse) -> None:
    answer = hanse("status", "--colour")
    assert answer.code == 2
    assert "--colour" in answer.err


@pytest.mark.parametrize(("debug", "traced"), [("", False), ("1", True)])
def test_a_traceback_is_shown_only_when_asked_for(tmp_path: Path, debug: str, traced: bool) -> None:
    import os

    done = subprocess.run(
        [sys.executable, "-m", "hanse", "plan", str(tmp_path / "nowhere.yaml")],
        capture_output=True, text=True, check=False, env={**os.environ, "HANSE_DEBUG": debug},
    )  # fmt: skip
    assert ("Traceback" in done.stderr) is traced
    assert "nowhere.yaml" in done.stderr
    if not traced:
        assert done.returncode == 2
        assert "\x1b" not in done.stderr


def test_a_report_that_could_not_be_written_is_refused_before_the_work(hanse: Hanse, tmp_path: Path) -> None:
    for out, said in ((tmp_path, "folder, not a file"), (tmp_path / "none" / "x.html", "no such folder")):
        for verb in ("report", "demo"):
            answer = hanse(verb, "--out", str(out))
            assert answer.code == 2
            assert said in answer.err


def test_a_home_that_cannot_be_written_is_named_as_such(
    hanse: Hanse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HANSE_HOME", str(tmp_path / "file"))
    answer = hanse("status")
    assert answer.code == 2
    assert "HANSE_HOME" in answer.err
    assert "folder of yours" in answer.err


def test_an_address_without_a_scheme_is_told(hanse: Hanse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANSE_URL", "hanse.example.eu")
    monkeypatch.setenv("HANSE_TOKEN", "x")
    answer = hanse("status")
    assert answer.code == 2
    assert "https://" in answer.err


def test_an_error_begins_with_a_capital_but_a_key_stays_as_it_is_written() -> None:
    assert failure_lines(HanseError("there is no such file", fix="hanse doctor"), None) == [
        "Error: There is no such file",
        "  To do: hanse doctor",
    ]
    assert failure_lines(HanseError("batch: must be a number"), None) == ["Error: batch: must be a number"]
    assert failure_lines(HanseError("it said \x1b[2Jnothing"), None) == ["Error: It said nothing"]
