"""`hanse apply --draft` and `--suggest`: a file that is begun, filled, checked, exported, and never lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hanse.cli import apply_page, compute
from hanse.cli.apply_draft import read, save
from hanse.contracts.application import Draft
from hanse.programme import calls
from hanse.rules.prefill import training_flops
from tests.cli.conftest import Hanse
from tests.contracts.examples import EXAMPLES
from tests.programme.test_form import DRAFT

MINE = Path("mine.yaml")


def plan_file(name: str = "plan.json", *, scaling: bool = False) -> str:
    plan = json.loads(EXAMPLES["plan"].to_json())
    facts = {"plan": plan, "scaling": json.loads(EXAMPLES["scaling-table"].to_json())} if scaling else plan
    Path(name).write_text(json.dumps(facts))
    return name


def test_a_draft_is_begun_with_all_that_the_call_wants_to_be_written_in(hanse: Hanse, own_home: Path) -> None:
    answer = hanse("apply", "--draft", "mine.yaml", "--call", "fast-lane", "--country", "SE", "--kind", "sme")
    assert answer.code == 0
    assert "whole.organisation.vat_number: Missing: the VAT number." in answer.out
    assert "4 working days after it is sent" in answer.out
    text = MINE.read_text()
    assert "vat_number: null" in text and "by_month: []" in text and "call_version: 2" in text
    assert not own_home.exists(), "nothing was started or sent"
    again = hanse("apply", "--draft", "mine.yaml")
    assert again.out == answer.out and MINE.read_text() == text


def test_a_plan_fills_the_draft_and_a_change_of_it_is_shown_and_put_back(hanse: Hanse) -> None:
    hanse("apply", "--draft", "mine.yaml", "--call", "playground", "--months", "2", "--gpu-hours", "7")
    answer = hanse("apply", "--draft", "mine.yaml", "--plan", plan_file(scaling=True))
    assert answer.code == 0, answer.err
    assert "compute.gpu_hours: plan stdlib-lm on local, 14 January 2027" in answer.out
    held = read(MINE)
    assert held.whole.compute.gpu_hours == 7
    assert [month.gpu_hours for month in held.whole.compute.by_month] == [3, 4]
    assert held.whole.compute.scaling
    assert held.answers["training-flops"] == pytest.approx(training_flops(EXAMPLES["plan"].workload)[0]), (
        "the gate's own question"
    )
    back = hanse("apply", "--draft", "mine.yaml", "--plan", "plan.json", "--again")
    assert "Changed since" not in back.out
    assert read(MINE).whole.compute.gpu_hours == 1
    more = hanse("apply", "--draft", "mine.yaml", "--gpu-hours", "100")
    assert more.code == 0
    assert [month.gpu_hours for month in read(MINE).whole.compute.by_month] == [50, 50]


@pytest.mark.parametrize("name", ["mine.yaml", "mine.json"])
def test_what_is_saved_is_read_back_as_it_was(name: str, tmp_path: Path) -> None:
    for draft in (Draft(), DRAFT):
        save(tmp_path / name, draft, ())
        assert read(tmp_path / name) == draft


def test_a_mistake_in_the_file_is_named_with_key_and_line_and_the_file_stays(hanse: Hanse) -> None:
    hanse("apply", "--draft", "mine.yaml", "--call", "fast-lane")
    wrong = MINE.read_text().replace("gpu_hours: null", "gpu_hours: many")
    MINE.write_text(wrong)
    answer = hanse("apply", "--draft", "mine.yaml", "--title", "New")
    assert answer.code == 2
    assert "gpu_hours" in answer.err and "mine.yaml:" in answer.err
    assert MINE.read_text() == wrong


def test_a_draft_that_lacks_something_is_not_sent_and_the_first_thing_is_named(hanse: Hanse, tmp_path: Path) -> None:
    Path("plan.json").write_text("{}")
    assert hanse("apply", "--draft", "mine.yaml", "--plan", "plan.json").code == 2
    assert not MINE.exists()
    assert hanse("apply", "--draft", "mine.yaml", "--call", "fast-line").code == 2
    assert hanse("apply", "--draft", str(tmp_path / "no" / "mine.yaml"), "--call", "fast-lane").code == 2
    assert hanse("apply", "--draft", "mine.yaml", "--call", "fast-lane", "--check").code == 1
    as_json = json.loads(hanse("apply", "--draft", "mine.yaml", "--json").out)
    assert {"section", "field", "message", "kind"} == set(as_json["gaps"][0])


def test_the_size_test_stands_line_by_line_under_the_draft(hanse: Hanse) -> None:
    save(MINE, DRAFT, ())
    answer = hanse("apply", "--draft", "mine.yaml", "--check")
    assert answer.code == 0
    assert "complete: --send sends it" in answer.out
    assert "2025: Its own figures. 12 persons, turnover EUR 1,000,000" in answer.out
    assert "It is a small enterprise." in answer.out


def test_another_call_takes_what_still_holds(hanse: Hanse) -> None:
    save(MINE, DRAFT, ())
    answer = hanse("apply", "--draft", "mine.yaml", "--call", "large-scale")
    assert "Large scale access" in answer.out and "ethics.fairness" in answer.out
    held = read(MINE)
    assert held.call == "large-scale" and held.whole.organisation == DRAFT.whole.organisation


def test_a_draft_is_exported_as_a_page_that_stands_alone_and_as_json(hanse: Hanse) -> None:
    save(MINE, DRAFT, ())
    assert hanse("apply", "--draft", "mine.yaml", "--export", "mine.html").code == 0
    page = Path("mine.html").read_text()
    for text in ("Nordic 30B", "40,000", "10.0 TB", "Norrlyd AB", "Use by month", "Size by the figures given"):
        assert text.replace(" ", "\N{NO-BREAK SPACE}") in page or text in page, text
    assert "http" not in page.replace("http://www.w3.org", "")
    assert hanse("apply", "--draft", "mine.yaml", "--export", "all.json").code == 0
    assert Draft.from_json(Path("all.json").read_text()) == DRAFT
    assert hanse("apply", "--draft", "mine.yaml", "--export", "mine.docx").code == 2


def test_the_page_draws_the_scaling_and_escapes_what_was_written(tmp_path: Path) -> None:
    from hanse.contracts.plan import Plan
    from hanse.contracts.scaling import ScalingTable
    from hanse.programme.filling import fill
    from tests.programme.test_form import with_

    plan, table = EXAMPLES["plan"], EXAMPLES["scaling-table"]
    assert isinstance(plan, Plan) and isinstance(table, ScalingTable)
    option = table.rows[-1].option.model_copy(update={"nodes": 64, "accelerators": 64})
    table = table.model_copy(update={"rows": (table.rows[0], table.rows[-1].model_copy(update={"option": option}))})
    draft = with_("whole.project.title", "<script>", fill(Draft(), plan, scaling=table))
    page = apply_page.render(draft, calls.load("playground"))
    assert "<svg" in page and "&lt;script&gt;" in page and "<script" not in page


def test_a_call_is_suggested_with_reasons_and_the_others_with_why_not(hanse: Hanse) -> None:
    wanted = ("--gpu-hours", "40000", "--kind", "start-up", "--country", "DE", "--for", "train-ai")
    answer = hanse("apply", "--suggest", *wanted)
    assert answer.code == 0
    assert answer.out.startswith("Fast lane access (--call fast-lane)")
    assert "✗ playground: does not fit" in answer.out and "at most 5,000" in answer.out
    routes = json.loads(hanse("apply", "--suggest", *wanted, "--json").out)["routes"]
    assert routes[0]["call"] == "fast-lane" and len(routes) == len(calls.ids())
    save(MINE, DRAFT, ())
    assert "fast-lane: fits" in hanse("apply", "--suggest", "--draft", "mine.yaml").out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--suggest",), "--gpu-hours, --kind, --country"),
        (("--suggest", "--gpu-hours", "5", "--kind", "shop", "--country", "DE"), "--kind"),
        (("--plan", "plan.json"), "--draft"),
        (("--send",), "--draft"),
        (("--draft", "mine.yaml", "--again"), "--plan"),
        (("--draft", "mine.yaml", "--from", "other.yaml"), "--from"),
        (("--draft", "mine.yaml", "--answer", "nothing"), "has no value"),
    ],
)
def test_options_that_make_no_sense_are_named(hanse: Hanse, words: tuple[str, ...], says: str) -> None:
    answer = hanse("apply", *words)
    assert answer.code == 2
    assert says in answer.err
    assert not MINE.exists()


def test_the_demos_answers_are_answers_of_the_draft_too(hanse: Hanse) -> None:
    first = next(iter(compute.answers()))
    assert hanse("apply", "--draft", "mine.yaml", "--answer", f"{first}=yes").code == 0
    assert read(MINE).answers == {first: True}
