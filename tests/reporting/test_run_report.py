"""What the run report says and never says, for runs of every kind."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import get_args

import pytest

from hanse.contracts.base import now
from hanse.contracts.decision import Decision, Finding
from hanse.contracts.plan import StepPart
from hanse.contracts.record import RunRecord
from hanse.contracts.run import RunState
from hanse.contracts.units import NBSP
from hanse.reporting.measured import breakdown, comparisons, repeated_steps
from hanse.reporting.run_report import render
from hanse.reporting.sections import decision_block
from hanse.reporting.sentences import opening
from tests.reporting import records

_VOID = {"meta", "br", "wbr", "link", "input"}


class Reader(HTMLParser):
    """Balanced tags, the headings in order, every attribute, and the words between."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _VOID:
            self.open.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "title"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).replace(NBSP, " ").split())


@pytest.mark.parametrize("kind", records.ALL)
def test_a_report_is_one_sound_document_that_loads_nothing(kind: str) -> None:
    page = render(records.ALL[kind]())
    reader = Reader(page)
    assert reader.open == []
    assert reader.headings.count("h1") == 1
    levels = [int(heading[1]) for heading in reader.headings]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert not [tag for tag, name, _ in reader.attributes if name == "style" or name.startswith("on")]
    assert "<script" not in page
    loaded = [value for tag, name, value in reader.attributes if name in ("src", "srcset") or (tag == "link")]
    assert loaded == []
    assert "url(http" not in page
    assert "@import" not in page
    links = [value for tag, name, value in reader.attributes if name == "href"]
    assert all(link.startswith(("#", "data:application/json;base64,")) for link in links)


@pytest.mark.parametrize("kind", records.ALL)
def test_every_cell_names_its_column_for_phones(kind: str) -> None:
    page = render(records.ALL[kind]())
    assert page.count("<td") == len(re.findall(r"<td [^>]*data-label=", page))
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'aria-labelledby="([^"]+)"', page)) <= set(ids)


@pytest.mark.parametrize("kind", records.ALL)
def test_the_data_in_the_report_is_the_record(kind: str) -> None:
    record = records.ALL[kind]()
    match = re.search(r'href="data:application/json;base64,([^"]+)"', render(record))
    assert match
    back = RunRecord.from_json(base64.b64decode(match[1]))
    assert back.model_copy(update={"telemetry": ()}) == record.model_copy(update={"telemetry": ()})
    assert len(back.telemetry) <= 1001
    if record.telemetry:
        assert back.telemetry[0] == record.telemetry[0]
        assert back.telemetry[-1] == record.telemetry[-1]


def test_names_that_are_markup_are_shown_and_never_run() -> None:
    page = render(records.hostile())
    assert "<script" not in page
    assert "<b>bold" not in page
    assert page.count("&lt;script&gt;alert(") > 8
    assert "\x00" not in page


def test_the_opening_says_what_how_long_at_what_cost_and_against_which_prediction() -> None:
    said = opening(records.finished()).replace(NBSP, " ")
    assert said == (
        "A language model of 5.30 million parameters, trained on 1.97 million tokens on 2 nodes of This machine in "
        "2 min 59 s. It used 0.0994 GPU-hours, 9.8 % more than predicted. It reached a loss of 2.94 (3.11 on held-out "
        "text), 3.1 below what token frequencies alone give."
    )


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("under-way", "that is under way on 2 nodes of This machine after 1 min 12 s, at step 96 of 240, 40 %."),
        ("waiting", "that waits to start on 2 nodes of This machine."),
        ("failed", "whose training failed"),
        ("failed", "Reason: Two attempts in a row ended without a step."),
        ("command", "A program of the user's, run to its end on 1 node of This machine in 1 min 33 s."),
        ("command", "nothing was predicted for it"),
    ],
)
def test_the_opening_fits_a_run_that_did_not_simply_finish(kind: str, words: str) -> None:
    assert words in opening(records.ALL[kind]()).replace(NBSP, " ")


def test_whatever_left_its_range_is_said_in_either_direction() -> None:
    found = {one.quantity: one.verdict for one in comparisons(records.interrupted())}
    assert found["Wall time"] == "above"
    assert found["Step time"] == "inside"
    fast = records.record(RunState.FINISHED, (), telemetry=records.rows(1, 40, step_s=0.2), step=40)
    assert {one.quantity: one.verdict for one in comparisons(fast)}["Step time"] == "below"
    assert {one.quantity: one.verdict for one in comparisons(fast)}["Throughput"] == "above"


def test_a_quantity_that_still_grows_is_never_called_below() -> None:
    found = {one.quantity: one.verdict for one in comparisons(records.under_way())}
    assert found["Wall time"] == "not-over"
    assert found["GPU-hours"] == "not-over"


def test_measured_mfu_follows_the_measured_throughput() -> None:
    found = {one.quantity: one for one in comparisons(records.finished())}
    speed, mfu = found["Throughput"], found["MFU"]
    assert speed.measured is not None
    assert mfu.measured is not None
    assert mfu.measured / mfu.predicted == pytest.approx(speed.measured / speed.predicted)


def test_the_parts_of_a_step_add_up_to_it_and_the_unmeasured_ones_say_so() -> None:
    record = records.finished()
    parts = breakdown(record)
    assert parts is not None
    step = {one.quantity: one.measured for one in comparisons(record)}["Step time"]
    assert sum(value for _, _, value in parts.groups) == pytest.approx(step)
    assert [name for name, predicted, _ in parts.groups if predicted is None] == ["Waiting for data", "Other"]
    plan = record.run.plan
    assert plan is not None
    predicted = sum(value or 0 for _, value, _ in parts.groups)
    assert predicted == pytest.approx(sum(plan.step_time.parts.values()))


def test_every_part_a_plan_may_have_finds_its_place_in_the_breakdown() -> None:
    record = records.finished()
    plan = record.run.plan
    assert plan is not None
    every = plan.step_time.model_copy(update={"parts": dict.fromkeys(get_args(StepPart), 0.01)})
    run = record.run.model_copy(update={"plan": plan.model_copy(update={"step_time": every})})
    parts = breakdown(record.model_copy(update={"run": run}))
    assert parts is not None
    assert sum(value or 0 for _, value, _ in parts.groups) == pytest.approx(0.01 * len(get_args(StepPart)))
    assert len(parts.within_compute) == len(get_args(StepPart)) - 1


def test_work_done_twice_after_a_lost_node_is_counted_and_told() -> None:
    record = records.interrupted()
    lost = record.run.legs[0].attempts[0]
    assert repeated_steps(record, lost) == 17
    text = Reader(render(record)).text
    assert "Attempt 1 failed. Node lrdn0387 was lost." in text
    assert "17 steps were done again" in text


def test_energy_nobody_counted_is_unknown_and_not_zero() -> None:
    assert "unknown: nobody counted it" in Reader(render(records.finished())).text
    assert "11.4 Wh, by the site's counters" in Reader(render(records.interrupted())).text


def test_the_gate_shows_its_findings_citations_and_conditions() -> None:
    text = Reader(render(records.finished())).text
    assert "Regulation (EU) 2024/1689, Article 53(1)(d)" in text
    assert "Conditions to keep Acknowledge the programme in publications." in text
    assert "secondary source" in text


def test_a_report_closes_with_where_it_comes_from() -> None:
    record = records.command()
    text = Reader(render(record)).text
    assert "python fold.py --epochs 3 | tee log" in text
    assert "9a9a9a9a 9a9a9a9a" in text
    assert "PSF-2.0" in Reader(render(records.finished())).text


def test_a_run_of_thousands_of_steps_is_still_a_small_file() -> None:
    assert len(render(records.long())) < 1_500_000


def test_where_a_rule_was_read_is_said_as_it_is_and_once_where_it_holds_for_all() -> None:
    page = render(records.finished())
    assert "Nobody has read" not in page
    finding = Finding(rule="a.b-c", verdict="allow", reason="Fine.", citation="Art. 5", confidence="secondary")
    read, unread = (finding.model_copy(update={"confidence": word}) for word in ("read", "unread"))

    def shown(*findings: Finding) -> str:
        made = Decision(subject="x", verdict="allow", findings=findings, decided_at=now(), decided_by="rules")
        return str(decision_block(made, "The gate"))

    assert shown(finding, finding).count("secondary sources") == shown(finding).count("secondary sources") == 1
    assert "Read in a secondary source." not in shown(finding)
    assert shown(finding, finding, read).count("Read in a secondary source.") == 2
    assert "secondary" not in shown(read) and "Nobody has read" in shown(unread)
    assert "<code>a.<wbr>b-<wbr>c</code>" in shown(read)


def test_a_run_across_machines_shows_each_leg_its_curve_its_plan_and_what_it_exchanged() -> None:
    record = records.across()
    said = Reader(render(record)).text
    assert "on 6 nodes of Leonardo and Lumi and Karolina in 2 min 59 s" in said, said
    assert said.count("Loss fell from") == 3, "each leg's curve"
    for expected in (
        "Leonardo 4 planned 4 100 %", "21.4 MB planned 21.5 MB", "9.00 s 5.7 % of its time", "Lumi 4 planned 4 94 %",
        "1 late",
        "Karolina 2 planned 4 75 %", "given up", "1\N{EN DASH}3 Leonardo, Lumi, Karolina", "4 Leonardo, Lumi Karolina",
        "All legs held the same weights after each of 16 exchanges", "Lumi came too late for an exchange : the part",
        "Karolina refused a file : a.outer: its payload is damaged",
    ):  # fmt: skip
        assert expected in said, (expected, said)
    whole = {one.quantity: one for one in comparisons(record)}
    assert set(whole) == {"Wall time", "GPU-hours"}, "steps are each leg's own"
    one_plan = record.run.plan
    assert one_plan is not None
    assert whole["GPU-hours"].predicted == 3 * one_plan.accelerator_seconds
    assert whole["Wall time"].measured == 179.0 and said.count("Step time") == 3


def test_legs_that_come_to_different_weights_are_said_to() -> None:
    record = records.across()
    assert record.across is not None
    parted = record.model_copy(update={"across": record.across.model_copy(update={"differing": 2})})
    assert "After 2 exchanges two legs held different weights" in Reader(render(parted)).text


def test_a_record_without_legs_abreast_keeps_its_hash() -> None:
    assert b'"across":{' not in records.finished().canonical() and b'"differing"' in records.across().canonical()
