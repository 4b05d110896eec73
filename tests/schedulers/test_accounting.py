"""What Slurm prints of an account's jobs and of its own counter, read from recorded answers."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from hanse.contracts.errors import SchedulerUnknown
from hanse.schedulers.accounting import (
    FIELDS,
    counter_period,
    counts_accelerators,
    read_assoc_mgr,
    read_jobs,
    read_sshare,
    sacct_arguments,
)

RECORDED = Path(__file__).parent / "recorded"
AT = datetime(2026, 11, 23, 0, 45, tzinfo=UTC)
CONFIG = (RECORDED / "config-22.05.txt").read_text()


def rows(*lines: str) -> str:
    return "\n".join(("|".join(FIELDS), *lines, ""))


def a_row(
    job_id: str = "7",
    *,
    state: str = "COMPLETED",
    end: str = "2026-11-22T10:10:05",
    elapsed: int = 600,
    tres: str = "billing=32,cpu=32,gres/gpu=4,mem=480G,node=1",
    energy: str = "",
    name: str = "train",
) -> str:
    return (
        f"{job_id}|proj1|ada|gpu|{state}|0:0|2026-11-22T10:00:00|2026-11-22T10:00:05|{end}|{elapsed}|1|n1|"
        f"{tres}|{energy}|{name}"
    )


def test_each_run_of_a_requeued_job_is_a_job_of_its_own_and_the_sum_is_what_the_counter_says() -> None:
    jobs = read_jobs((RECORDED / "sacct-22.05-account.txt").read_text(), 1)
    held = [(job.report.job_id, job.report.elapsed_s, job.report.state) for job in jobs]
    assert held == [("1", 3, "completed"), ("2", 3, "cancelled"), ("3", 60, "completed"), ("2", 25, "completed")]
    charged = sum(int(job.site_amount.split()[0]) for job in jobs if job.site_amount)
    assert charged == 154, "as UsageRaw of the association"
    assert {job.account for job in jobs} == {"proj1"} and {job.user for job in jobs} == {"root"}


def test_separators_and_line_breaks_in_a_jobs_name_do_no_harm() -> None:
    jobs = read_jobs((RECORDED / "sacct-22.05-account.txt").read_text(), 1)
    assert [job.report.name for job in jobs] == ["fo|reign", "again", "new\nline", "again"]
    assert jobs[2].report.nodes == ("n1", "n2")


def test_a_running_job_has_its_time_so_far_and_no_end() -> None:
    [job] = read_jobs(rows(a_row(state="RUNNING", end="Unknown", elapsed=34)), 4)
    assert (job.report.state, job.report.ended_at, job.report.accelerator_seconds) == ("running", None, 136)


def test_accelerators_are_those_held_and_of_whole_nodes_where_a_site_does_not_count_them() -> None:
    part = a_row(tres="billing=8,cpu=8,gres/gpu=2,node=1")
    typed = a_row("8", tres="cpu=8,gres/gpu:a100=3,node=1")
    blind = a_row("9", tres="cpu=8,node=1")
    assert [job.report.accelerators for job in read_jobs(rows(part, typed, blind), 4)] == [2, 3, 4]
    assert read_jobs(rows(blind), 4, tracked=True)[0].report.accelerators == 0


def test_energy_of_steps_is_the_largest_never_the_sum() -> None:
    steps = [a_row("7.batch", energy="90"), a_row("7.0", energy="1200")]
    assert read_jobs(rows(a_row(), *steps), 4)[0].report.energy_joules == 1200
    assert read_jobs(rows(a_row(energy="18446744073709551614")), 4)[0].report.energy_joules is None


@pytest.mark.parametrize("text", ["", "\n", "slurm_persist_conn_open: failed to connect", "JobID|State\n1|COMPLETED"])
def test_what_is_no_answer_is_unknown(text: str) -> None:
    with pytest.raises(SchedulerUnknown):
        read_jobs(text, 4)


def test_no_jobs_is_an_answer() -> None:
    assert read_jobs(rows(), 4) == ()


def test_the_question_names_the_accounts_and_a_time_in_utc() -> None:
    asked = sacct_arguments(("proj1", "proj2"), AT)
    assert asked[0] == "sacct" and "proj1,proj2" in asked and "2026-11-23T00:45:00" in asked
    assert "--duplicates" in asked and "--allusers" in asked


def test_the_controllers_counter_is_the_accounts_own_not_its_users() -> None:
    [budget] = read_assoc_mgr((RECORDED / "assoc-mgr-22.05.txt").read_text(), 1, at=AT, config=CONFIG)
    assert (budget.account, budget.used, budget.limit, budget.unit) == ("proj1", 2.0, None, "node-minutes")
    assert budget.used_accelerator_seconds == 120
    assert budget.since == datetime(2026, 11, 1, tzinfo=UTC)


def test_a_limit_in_gpu_minutes_is_told_in_gpu_minutes() -> None:
    text = "ClusterName=a Account=p UserName= Partition= ID=3\n    GrpTRESMins=cpu=N(70),node=N(9),gres/gpu=40(2)\n"
    [budget] = read_assoc_mgr(text, 4, at=AT)
    assert (budget.used, budget.limit, budget.unit) == (2.0, 40.0, "GPU-minutes")
    assert (budget.used_accelerator_seconds, budget.limit_accelerator_seconds) == (120, 2400)


def test_sshare_tells_the_same_to_those_who_may_not_ask_the_controller() -> None:
    [budget] = read_sshare((RECORDED / "sshare-22.05.txt").read_text(), 1, at=AT, config=CONFIG)
    assert (budget.account, budget.used, budget.unit) == ("proj1", 2.0, "node-minutes")
    with pytest.raises(SchedulerUnknown):
        read_sshare("sshare: error: Problem talking to the database", 1, at=AT)


def test_a_counter_that_forgets_says_so() -> None:
    since, note = counter_period("PriorityDecayHalfLife   = 7-00:00:00\nPriorityUsageResetPeriod = NONE\n", at=AT)
    assert since is None and "7-00:00:00" in note
    assert counter_period("PriorityDecayHalfLife = 00:00:00\nPriorityUsageResetPeriod = NONE\n", at=AT) == (None, "")


def test_whether_a_site_counts_accelerators_is_asked_of_its_accounting() -> None:
    assert counts_accelerators("cpu|\nnode|\ngres|gpu\n") and not counts_accelerators("cpu|\nnode|\n")
