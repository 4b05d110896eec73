"""`hanse comply`: answers as people write them, one message for what is wrong, and JSON with the fields promised."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from hanse.contracts.compliance import AskedQuestion, Check, ToldRule
from tests.cli.conftest import Hanse

HARMLESS = "everything-else: harmless\n"
TRAIN = """\
name: small
model:
  shape: {layers: 2, hidden: 64, heads: 2, kv_heads: 2, ffn: 128, vocab: 512, context: 64}
data: [{name: letters, source: letters.txt, licence: own, personal_data: true}]
batch: 8
tokens: 1000000
where: {max_gpu_hours: 1}
"""


def test_a_file_of_answers_is_checked_with_all_that_was_promised(hanse: Hanse, tmp_path: Path) -> None:
    (tmp_path / "answers.yaml").write_text(HARMLESS + "General_Purpose: Yes\ntraining-flops: 5e23\n")
    answer = hanse("comply", "check", "answers.yaml", "--as-of", "2026-11-23", "--json")
    assert answer.code == 0
    facts = json.loads(answer.out)
    assert {"outcome", "roles", "risk", "obligations", "upcoming", "citations", "because"} <= facts.keys()
    found = Check.from_json(answer.out)
    assert (found.outcome, found.risk, found.roles) == ("conditions", "general-purpose", ("provider",))
    assert "AI Act Art. 53(1)(c)" in {one.citation for one in found.citations}


def test_a_person_reads_outcome_duties_and_what_would_change_it(hanse: Hanse, tmp_path: Path) -> None:
    (tmp_path / "answers.yaml").write_text("social-scoring: yes\nas-of: 2026-11-23\n")
    said = hanse("comply", "check", "answers.yaml").out
    assert "✗ stop, as of 23 November 2026" in said
    assert "AI Act Art. 5(1)(c)" in said
    assert "What would change the outcome" in said
    assert "Not legal advice" in said


@pytest.mark.parametrize(
    ("written", "options", "named"),
    [
        ("social-scorin: yes", (), ["social-scorin", "Did you mean social-scoring?"]),
        ("social-scoring: perhaps", (), ["neither yes nor no", "social-scoring"]),
        ("training-flops: much", (), ["training_flops", "number"]),
        ("on-market-since: soon", (), ["not a date"]),
        ("high-risk-uses: [credit-scorng]", (), ["Did you mean credit-scoring?"]),
        ("social-scoring: no\nsocial-scoring-in-context: yes", (), ["contradict", "social-scoring-in-context"]),
        ("social-scoring: yes\nSocial_Scoring: no", (), ["answered twice"]),
        ("research-only: yes\non-market-since: 2026-01-01", (), ["contradict", "research"]),
        ("social-scoring: {a: b}", (), ["not a block", "answers.yaml:1"]),
        ("everything-else: fine", (), ["everything-else: harmless"]),
        ("social-scoring: yes", ("--as-of", "2024-07-31"), ["before the law", "2024-08-01"]),
        ("social-scoring: yes", ("--as-of", "tomorrow"), ["not a date", "--as-of"]),
    ],
)
def test_bad_input_gets_one_clear_message(
    hanse: Hanse, tmp_path: Path, written: str, options: tuple[str, ...], named: list[str]
) -> None:
    (tmp_path / "answers.yaml").write_text(written + "\n")
    answer = hanse("comply", "check", "answers.yaml", *options)
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.count("Error:") == 1
    for words in named:
        assert words in answer.err


def test_every_question_tells_its_allowed_answers_and_the_template_passes(hanse: Hanse, tmp_path: Path) -> None:
    asked = [AskedQuestion.model_validate(one) for one in json.loads(hanse("comply", "questions", "--json").out)]
    assert all(one.allowed for one in asked)
    assert "social-scoring: yes | no" in hanse("comply", "questions").out
    (tmp_path / "answers.yaml").write_text(hanse("comply", "questions", "--template").out)
    written = yaml.safe_load((tmp_path / "answers.yaml").read_text())
    assert set(written) <= {one.id for one in asked}
    found = Check.from_json(hanse("comply", "check", "answers.yaml", "--json").out)
    assert (found.outcome, found.open_questions) == ("pass", ())


def test_the_rules_of_a_day_are_those_in_force_on_it(hanse: Hanse) -> None:
    told = {}
    for day in ("2026-12-01", "2026-12-02"):
        listed = json.loads(hanse("comply", "rules", "--as-of", day, "--json").out)
        told[day] = {one.id: one for one in map(ToldRule.model_validate, listed)}
    assert "ban.intimate-images" in told["2026-12-02"].keys() - told["2026-12-01"].keys()
    assert told["2026-12-02"]["ban.intimate-images"].outcome == "stop"
    assert all(one.link.startswith("https://") for one in told["2026-12-02"].values())
    assert "rules in force on 2 December 2026" in hanse("comply", "rules", "--as-of", "2026-12-02").out
    assert hanse("comply", "rules", "--as-of", "2023-01-01").code == 2


def test_a_plan_tells_the_computation_and_its_data(hanse: Hanse, tmp_path: Path) -> None:
    (tmp_path / "answers.yaml").write_text("general-purpose: yes\ntraining-flops: 5e23\n")
    (tmp_path / "train.yaml").write_text(TRAIN)
    (tmp_path / "letters.txt").write_text("Dear Ada")
    answer = hanse("comply", "check", "answers.yaml", "--plan", "train.yaml", "--rest-harmless", "--json")
    found = Check.from_json(answer.out)
    assert found.answers["personal-data"] is True
    assert float(str(found.answers["training_flops"])) < 1e15
    assert "general-purpose" not in found.risks
    assert "personal-data-agreement" in {one.rule for one in found.because}
