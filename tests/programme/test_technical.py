"""The technical check as it is prepared from a form: each answer with its numbers; what is not known is not said."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.contracts.application import Compute, Jobs, MonthOfUse, ScalingPoint, Storage, WholeForm
from hanse.contracts.errors import UsageError
from hanse.contracts.machine import Partition
from hanse.contracts.programme import ApplicationForm, ReviewStep, Room
from hanse.contracts.review_steps import FindingWord
from hanse.programme import calls
from hanse.programme.review import steps, technical
from tests.reporting import records

GB = 10**9
TERMS = calls.load("fast-lane")
MACHINE = records.machine().model_copy(
    update={
        "id": "big", "name": "Big", "nodes": 100, "accelerators_per_node": 4,
        "accelerator": records.machine().accelerator.model_copy(update={"memory_bytes": 64 * GB}),
        "partitions": (Partition(name="boost", max_nodes=32, max_wall_time_s=86_400), Partition(name="small", nodes=2)),
    }
)  # fmt: skip
JOBS = Jobs(
    nodes_largest=8, nodes_average=8, accelerators_per_node=4, wall_time_s=36_000, count=10,
    memory_bytes_largest=32 * 40 * GB,
)  # fmt: skip
SCALING = tuple(
    ScalingPoint(nodes=n, accelerators=4 * n, tokens_per_s=1000 * n * kept, speed_up=n * kept, efficiency=kept)
    for n, kept in ((1, 1.0), (8, 0.82), (16, 0.6), (32, 0.4))
)
COMPUTE = Compute(
    machine="big", partition="boost", gpu_hours=3200, jobs=JOBS, scaling=SCALING,
    storage=Storage(scratch_bytes=10**12, transfer_bytes=10**11),
    by_month=(MonthOfUse(month=1, gpu_hours=1600), MonthOfUse(month=2, gpu_hours=1600)),
)  # fmt: skip


def form(hours: int = 3200, **changes: object) -> ApplicationForm:
    compute = COMPUTE.model_copy(update={"gpu_hours": hours, **changes})
    return ApplicationForm(
        call="fast-lane", organisation="Firm", organisation_kind="sme", country="DK", title="A model", purpose="Train.",
        machine="big", gpu_hours=hours, duration_months=2, contact_email="a@firm.example",
        whole=WholeForm(compute=compute),
    )  # fmt: skip


def answers(made: ApplicationForm, **more: object) -> dict[str, str]:
    found = technical.check(made, TERMS, MACHINE, **more)  # type: ignore[arg-type]
    return {one.id: one.answer for one in found}


def test_a_plan_that_fits_is_said_to_fit_with_its_numbers() -> None:
    found = {one.id: one for one in technical.check(form(), TERMS, MACHINE)}
    said = {name: one.answer for name, one in found.items()}
    assert said == {"open": "yes", "size": "yes", "memory": "yes", "scales": "yes", "hours": "yes", "storage": "look"}
    assert found["memory"].numbers["memory_bytes_per_accelerator"] == 40 * GB
    assert found["hours"].numbers == {"gpu_hours": 3200, "gpu_hours_reckoned": 3200}
    assert found["scales"].numbers["efficiency"] == 0.82
    assert "8 nodes × 4 accelerators = 3,200 GPU-hours; 3,200 are asked for." in found["hours"].text


@pytest.mark.parametrize(
    ("finding", "answer", "changes"),
    [
        ("open", "no", {"partition": "gone"}),
        ("size", "no", {"jobs": JOBS.model_copy(update={"nodes_largest": 33})}),
        ("size", "no", {"jobs": JOBS.model_copy(update={"accelerators_per_node": 8})}),
        ("size", "no", {"jobs": JOBS.model_copy(update={"wall_time_s": 86_401})}),
        ("size", "no", {"partition": "small"}),
        ("size", "unknown", {"jobs": Jobs()}),
        ("memory", "no", {"jobs": JOBS.model_copy(update={"memory_bytes_largest": 32 * 65 * GB})}),
        ("memory", "look", {"jobs": JOBS.model_copy(update={"memory_bytes_largest": 32 * 60 * GB})}),
        ("memory", "unknown", {"jobs": Jobs(nodes_largest=2)}),
        ("scales", "look", {"jobs": JOBS.model_copy(update={"nodes_largest": 9})}),
        ("scales", "no", {"jobs": JOBS.model_copy(update={"nodes_largest": 32})}),
        ("scales", "look", {"scaling": SCALING[:1]}),
        ("scales", "unknown", {"scaling": ()}),
        ("scales", "yes", {"scaling": (), "jobs": Jobs(nodes_largest=1)}),
        ("hours", "look", {"by_month": (MonthOfUse(month=1, gpu_hours=1),)}),
        ("hours", "look", {"jobs": JOBS.model_copy(update={"count": 6})}),
        ("hours", "no", {"jobs": JOBS.model_copy(update={"count": 4})}),
        ("hours", "unknown", {"jobs": Jobs(nodes_largest=2)}),
        ("storage", "unknown", {"storage": Storage()}),
        ("storage", "look", {"storage": Storage(scratch_bytes=1, transfer_bytes=2)}),
    ],
)
def test_what_does_not_fit_is_said_at_its_finding(finding: str, answer: str, changes: dict[str, object]) -> None:
    assert answers(form(**changes))[finding] == answer  # type: ignore[arg-type]


def test_a_call_without_room_a_machine_that_drains_and_one_nobody_knows_are_not_open() -> None:
    shut = TERMS.model_copy(update={"rooms": (Room(machine="big", offered=False, as_of=date(2026, 9, 29)),)})
    assert technical.check(form(), shut, MACHINE)[0].text == "The call had no room on big boost on 29 September 2026."
    elsewhere = TERMS.model_copy(update={"rooms": (Room(machine="other", offered=True, as_of=date(2026, 9, 29)),)})
    assert technical.check(form(), elsewhere, MACHINE)[0].answer == "no"
    assert answers(form(), held_up="it drains")["open"] == "look"
    unknown = {one.id: one.answer for one in technical.check(form(), TERMS, None)}
    assert unknown == {
        "open": "unknown", "size": "unknown", "memory": "unknown", "scales": "yes", "hours": "yes", "storage": "look",
    }  # fmt: skip
    short = form().model_copy(update={"whole": None})
    assert {one.answer for one in technical.check(short, TERMS, None)} == {"unknown"}


@given(st.integers(1, 10**6), st.integers(1, 10**4))
def test_hours_are_judged_the_same_whether_too_many_or_too_few_are_asked(asked: int, times: int) -> None:
    def said(hours: int, count: int) -> str:
        jobs = Jobs(nodes_average=1, accelerators_per_node=1, wall_time_s=3600, count=count)
        return answers(form(hours, jobs=jobs, by_month=()))["hours"]

    assert said(asked, asked * times) == said(asked * times, asked)


def test_a_person_corrects_a_finding_with_a_reason_beside_what_was_prepared() -> None:
    found = technical.check(form(jobs=JOBS.model_copy(update={"count": 4})), TERMS, MACHINE)
    assert [one.id for one in technical.against(found)] == ["hours"]
    word = FindingWord(id="hours", answer="yes", reason="The rest is for evaluation, as agreed.")
    done = steps.corrected(found, [word])
    assert technical.against(done) == () and done[4].answer == "no" and done[4].holds == "yes"
    for wrong in ([word.model_copy(update={"reason": " "})], [word.model_copy(update={"id": "luck"})], [word, word]):
        with pytest.raises(UsageError):
            steps.corrected(found, wrong)


def test_the_steps_are_those_of_the_call_in_its_order_and_one_that_failed_ends_them() -> None:
    terms = calls.load("regular")
    assert steps.kinds(terms) == ("administrative", "technical", "scientific", "panel")
    assert steps.kinds(TERMS) == ("administrative", "technical") and steps.kinds(calls.load("playground"))
    assert steps.turn(terms, {}) == "administrative"
    assert steps.turn(terms, {"administrative": "passed"}) == "technical"
    assert steps.turn(terms, {"administrative": "passed", "technical": "failed"}) is None
    assert steps.before(terms, "scientific", {"administrative": "passed"}) == "technical"
    assert steps.before(TERMS, "scientific", {}) is None
    none = TERMS.model_copy(update={"review": (ReviewStep(kind="panel"),)})
    assert steps.turn(none, {"panel": "passed"}) is None
