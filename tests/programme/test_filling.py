"""The form from the plan: sums that hold, what a person wrote stays, and where each value came from."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.contracts.application import Draft, MonthOfUse
from hanse.contracts.errors import UsageError
from hanse.contracts.plan import Plan
from hanse.programme.filling import by_month, changed, fill
from tests.contracts.examples import EXAMPLES, MACHINE
from tests.programme.test_form import with_

PLAN = EXAMPLES["plan"]
SCALING = EXAMPLES["scaling-table"]
assert isinstance(PLAN, Plan)
LONG = PLAN.model_copy(
    update={
        "accelerator_seconds": 1_000_000,
        "wall_time_s": PLAN.wall_time_s.model_copy(update={"expected": 500_000.0}),
    }
)


def filled(plan: Any = LONG, draft: Draft | None = None, **more: Any) -> Draft:
    return fill(draft or with_("whole.project.duration_months", 3, Draft()), plan, **more)


def test_hours_jobs_storage_and_months_come_from_the_plan() -> None:
    compute = filled(machine=MACHINE).whole.compute
    assert compute.machine == PLAN.machine
    assert compute.gpu_hours == 278  # 277.8 h, rounded up
    assert sum(month.gpu_hours for month in compute.by_month) == 278
    assert [month.month for month in compute.by_month] == [1, 2, 3]
    assert (compute.jobs.nodes_largest, compute.jobs.accelerators_per_node) == (2, 1)
    assert compute.jobs.wall_time_s == 86_400, "the longest that the partition takes"
    assert compute.jobs.count == 6
    assert compute.jobs.memory_bytes_largest == PLAN.memory.total * PLAN.layout.world_size
    workload = PLAN.workload
    data, state = workload.total_tokens * 2, workload.parameters * 12
    assert compute.storage.scratch_bytes == pytest.approx((data + 2 * state + 10**9) * 1.2, abs=1)
    assert compute.storage.transfer_bytes == data


def test_the_arithmetic_says_how_the_hours_come_about() -> None:
    text = filled(spare=0.2).whole.compute.arithmetic
    assert text is not None
    assert f"{PLAN.steps:,} steps ×" in text
    assert "Charged for the whole run: 278 GPU-hours." in text or "GPU-hours." in text
    assert "spare for tests and repeated runs: 334 GPU-hours." in text


def test_a_scaling_study_becomes_a_table_and_a_text_that_says_predicted() -> None:
    compute = filled(scaling=SCALING).whole.compute
    assert len(compute.scaling) == len(SCALING.rows)
    assert compute.scaling_kind == SCALING.kind
    assert compute.scaling_evidence is not None
    assert compute.scaling_evidence.startswith("Predicted by Hanse's planner for local, not measured.")


def test_what_a_person_wrote_stays_and_both_are_seen() -> None:
    mine = with_("whole.compute.gpu_hours", 500, filled())
    again = filled(draft=mine)
    assert again.whole.compute.gpu_hours == 500
    (one, *_) = [each for each in changed(again) if each.path == "compute.gpu_hours"]
    assert one.value == "278"
    assert one.source.startswith(f"plan {PLAN.workload.name} on local, 14 January 2027")
    assert sum(month.gpu_hours for month in again.whole.compute.by_month) == 500


def test_a_new_plan_replaces_what_the_old_one_said() -> None:
    newer = LONG.model_copy(update={"accelerator_seconds": 7_200_000})
    again = filled(newer, filled())
    assert again.whole.compute.gpu_hours == 2000
    assert changed(again) == ()


def test_a_change_is_put_back_on_request() -> None:
    mine = with_("whole.compute.gpu_hours", 500, filled())
    back = filled(draft=mine, again=True)
    assert back.whole.compute.gpu_hours == 278
    assert changed(back) == ()


def test_filling_twice_is_filling_once() -> None:
    once = filled(machine=MACHINE, scaling=SCALING)
    assert filled(draft=once, machine=MACHINE, scaling=SCALING) == once
    assert Draft.from_json(once.to_json()) == once
    assert changed(Draft.from_json(once.to_json())) == ()


def test_a_scaling_table_of_another_machine_is_refused() -> None:
    with pytest.raises(UsageError, match="the plan is for local and the scaling table for lumi-g"):
        filled(scaling=SCALING.model_copy(update={"machine": "lumi-g"}))
    with pytest.raises(UsageError, match="spare share"):
        filled(spare=2)


@given(st.integers(0, 10**8), st.integers(1, 36))
@settings(max_examples=80, deadline=None)
def test_the_months_come_to_exactly_the_hours_and_differ_by_one_at_most(hours: int, months: int) -> None:
    spread: tuple[MonthOfUse, ...] = by_month(hours, months)
    amounts = [month.gpu_hours for month in spread]
    assert sum(amounts) == hours
    assert max(amounts) - min(amounts) <= 1
    assert [month.month for month in spread] == list(range(1, months + 1))
