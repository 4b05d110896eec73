"""`hanse apply`: what is missing or wrong is named as it was given; the screening is the service's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hanse.cli import applying, compute
from hanse.contracts.decision import Decision
from tests.cli.conftest import Hanse

FORM = {
    "--call": "playground", "--organisation": "Kontor 17", "--kind": "start-up", "--country": "DE", "--title": "A walk",
    "--purpose": "Learn.", "--machine": "local", "--gpu-hours": "10", "--months": "1", "--email": "ada@example.org",
}  # fmt: skip
FILE = """\
call: playground
organisation: Kontor 17
organisation_kind: start-up
country: DE
title: A walk
purpose: Learn.
machine: local
gpu_hours: 10
duration_months: 1
contact_email: ada@example.org
answers: {%s}
"""


def options(**changed: str) -> list[str]:
    merged = {**FORM, **{f"--{key.replace('_', '-')}": value for key, value in changed.items()}}
    return [part for pair in merged.items() for part in pair]


def answered(**changed: bool) -> str:
    given = {**compute.answers(), **{key.replace("_", "-"): value for key, value in changed.items()}}
    return ", ".join(f"{key}: {str(value).lower()}" for key, value in given.items())


def test_in_a_script_all_that_is_missing_is_named_at_once(hanse: Hanse) -> None:
    answer = hanse("apply", "--call", "playground", "--title", "x")
    assert answer.code == 2
    for option in ("--organisation", "--kind", "--country", "--machine", "--gpu-hours", "--months", "--email"):
        assert option in answer.err


def test_a_wrong_value_is_named_by_its_option(hanse: Hanse) -> None:
    answer = hanse("apply", *options(kind="startup"), "--check")
    assert answer.code == 2
    assert "--kind" in answer.err
    assert "'startup'" in answer.err


def test_a_mistake_in_a_file_is_named_with_key_and_line(hanse: Hanse, tmp_path: Path) -> None:
    (tmp_path / "application.yaml").write_text((FILE % "").replace("country:", "contry:"))
    answer = hanse("apply", "--from", "application.yaml", "--check")
    assert answer.code == 2
    assert "contry" in answer.err
    assert "application.yaml:4" in answer.err


def test_a_check_says_what_call_and_gate_say_and_sends_nothing(hanse: Hanse, tmp_path: Path, own_home: Path) -> None:
    (tmp_path / "application.yaml").write_text(FILE % answered())
    answer = hanse("apply", "--from", "application.yaml", "--check", "--json")
    assert answer.code == 0
    assert Decision.from_json(answer.out).verdict in ("allow", "condition")
    assert not own_home.exists()


def test_a_refusal_is_an_exit_code_and_says_what_would_change_it(hanse: Hanse, tmp_path: Path) -> None:
    (tmp_path / "application.yaml").write_text(FILE % answered(civilian_purpose=False))
    answer = hanse("apply", "--from", "application.yaml", "--check")
    assert answer.code == 1
    assert "✗ deny" in answer.out
    assert "What would change it" in answer.out


def test_options_overrule_the_file(hanse: Hanse, tmp_path: Path) -> None:
    (tmp_path / "application.yaml").write_text(FILE % answered())
    answer = hanse("apply", "--from", "application.yaml", "--answer", "civilian-purpose=no", "--check", "--json")
    assert json.loads(answer.out)["verdict"] == "deny"


def test_an_answer_to_no_question_names_the_nearest(hanse: Hanse) -> None:
    answer = hanse("apply", *options(), "--answer", "civilian-purpse=yes", "--check")
    assert answer.code == 2
    assert "civilian-purpose" in answer.err
    assert hanse("apply", *options(), "--answer", "civilian-purpose", "--check").code == 2


def test_an_unknown_call_is_named(hanse: Hanse) -> None:
    answer = hanse("apply", *options(call="playgrond"), "--check")
    assert answer.code == 2
    assert "playgr" in answer.err


def test_on_a_terminal_a_question_that_follows_is_asked_only_after_a_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def confirm(text: str, default: bool | None) -> bool:
        assert default is None
        asked.append(text)
        return False

    monkeypatch.setattr(applying, "interactive", lambda: True)
    monkeypatch.setattr(applying.typer, "confirm", confirm)
    given = {
        "call": "playground", "organisation": "Kontor 17", "organisation_kind": "start-up", "country": "DE",
        "title": "A walk", "purpose": "Learn.", "machine": "local", "gpu_hours": 10, "duration_months": 1,
        "contact_email": "ada@example.org",
    }  # fmt: skip
    made = applying.form(given, ["civilian-purpose=yes"], None)
    assert made.answers["civilian-purpose"] is True
    assert not any("civilian" in text for text in asked)
    assert "health-data" in made.answers
    assert "health-data-permit" not in made.answers
