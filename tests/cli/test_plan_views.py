"""A plan on terminals of every usual width, and the files `hanse plan` writes beside it."""

from __future__ import annotations

import io
import tomllib
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from hanse.cli import plan_tables, plan_views
from hanse.contracts.layout import Layout
from hanse.contracts.plan import Expense, Interval
from hanse.machines import catalogue
from tests.cli.conftest import Hanse
from tests.cli.test_errors import GOOD
from tests.contracts.examples import PLAN
from tests.planning import plans

LEONARDO = catalogue.load("leonardo-booster")


def shown(what: RenderableType, width: int) -> list[str]:
    out = Console(file=io.StringIO(), width=width, highlight=False, markup=False, emoji=False)
    out.print(what)
    return out.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [80, 100, 120])
@pytest.mark.parametrize("layout", [plans.SMALL, plans.HYBRID, plans.PIPELINED, plans.EXPERT], ids=Layout.describe)
@pytest.mark.parametrize("details", [False, True])
def test_nothing_of_a_plan_is_cut_on_a_terminal(layout: Layout, width: int, details: bool) -> None:
    plan = plans.plan(layout)
    lines = shown(plan_views.overview(plan, LEONARDO, details=details), width)
    assert max(map(len, lines)) <= width
    drawn = [line for line in lines if "stage 1" not in line and "→" not in line]
    assert not any("…" in line for line in drawn)
    text = " ".join(" ".join(line.split()) for line in lines)
    for figure in ("10.7 s", "52.0 GB of 61.0 GB", "42 % MFU", "matrix products", "with twice the batch"):
        assert figure in text
    for kind in ("parameters", "gradients", "optimiser", "activations", "other"):
        assert f"{kind} " in text


def test_the_answer_fits_one_screen_and_details_tell_the_rest() -> None:
    plan = plans.plan(plans.PIPELINED)
    brief = shown(plan_views.overview(plan, LEONARDO), 100)
    whole = shown(plan_views.overview(plan, LEONARDO, details=True), 100)
    assert len(brief) <= 50
    assert "--details" in brief[-1]
    said = " ".join(whole)
    assert all(each in said for each in plan.estimates)
    assert "stage 8" in said and "the fullest" in said
    assert "hidden behind computation" in said


def test_a_memory_bar_keeps_its_width_and_shows_what_lies_beyond_the_limit() -> None:
    memory = plans.plan(plans.SMALL).memory
    fits = plan_views.memory_bar(memory)
    assert len(fits) == 49 and fits.endswith("│")
    beyond = plan_views.memory_bar(memory.model_copy(update={"activations": 60 * plans.GB}))
    assert len(beyond) == 49
    assert beyond.index("│") < 48 and "·" not in beyond


def test_machines_and_scaling_stand_in_tables_that_fit(width: int = 100) -> None:
    options = shown(plan_tables.options(plans.options()), width)
    assert sum(line.startswith("■") for line in options) == sum(one.best for one in plans.options()) + 1
    assert any("lumi-g" in line for line in options)
    assert max(map(len, shown(plan_tables.scaling(plans.strong()), width))) <= width


@pytest.fixture
def spec_path(tmp_path: Path) -> Path:
    path = tmp_path / "train.yaml"
    path.write_text(GOOD)
    return path


def test_a_layout_is_exported_to_stdout_or_into_a_file(hanse: Hanse, spec_path: Path, tmp_path: Path) -> None:
    answer = hanse("plan", "--machine", "leonardo", "--nodes", "2", "--export", "torchtitan")
    assert answer.code == 0
    assert tomllib.loads(answer.out)["parallelism"]
    written = hanse("plan", "-m", "leonardo", "-n", "2", "--export", "accelerate", "-o", "fsdp.yaml")
    assert (written.code, written.out) == (0, "")
    assert "num_processes: 8" in (tmp_path / "fsdp.yaml").read_text()
    assert "gradient_accumulation_steps" in written.err


def test_a_page_is_written_beside_the_answer(hanse: Hanse, spec_path: Path, tmp_path: Path) -> None:
    answer = hanse("plan", "--html", "plan.html")
    assert answer.code == 0
    assert "Step time" in answer.out
    page = (tmp_path / "plan.html").read_text()
    assert page.startswith("<!doctype html>") and "<script" not in page


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["--export", "torchtitn"], 'did you mean "torchtitan"'),
        (["--out", "x.toml"], "--export"),
        (["--html", "no/such/folder.html"], "no such folder"),
        (["--budget", "0"], "above 0"),
        (["--machine", "leonardo-boster"], "Did you mean"),
        (["--nodes", "0"], "--nodes"),
    ],
)
def test_what_is_typed_wrong_gets_one_message(typed: list[str], said: str, hanse: Hanse, spec_path: Path) -> None:
    answer = hanse("plan", *typed)
    assert answer.code == 2
    assert said.lower() in answer.err.lower()
    assert answer.err.count("Error:") == 1
    assert "Traceback" not in answer.err


def test_energy_and_carbon_tell_their_range_in_a_unit_of_which_there_is_one() -> None:
    spent = Expense(
        energy_joules=Interval(low=3.6e6, expected=7.2e6, high=1.08e7),
        co2_grams=Interval(low=400.0, expected=800.0, high=1200.0),
    )
    said = plan_views._energy(PLAN.model_copy(update={"expense": spent}))
    assert said == "about 2.00 (1.00 to 3.00)\N{NO-BREAK SPACE}kWh; 800 (400 to 1,200)\N{NO-BREAK SPACE}g CO₂"
