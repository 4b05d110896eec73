"""Laws of reading what Slurm prints."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.contracts.errors import SchedulerUnknown
from hanse.schedulers.slurm_text import (
    SACCT_FIELDS,
    QueueLines,
    exit_code,
    expand_nodes,
    job_state,
    merge,
    read_sacct,
    read_squeue,
    submitted_id,
    timestamp,
    tres,
)

QUEUE_HEADER = "JOBID|STATE|SUBMIT_TIME|START_TIME|END_TIME|NODES|NODELIST|NAME|REASON"
ACCOUNT_HEADER = "|".join(SACCT_FIELDS)
T = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def row(job_id: str, state: str, *, elapsed: int = 60, tres: str = "cpu=8,gres/gpu=16,node=2", **changes: str) -> str:
    cells = {
        "JobIDRaw": job_id, "JobName": "hanse-a1", "State": state, "ExitCode": "0:0", "Submit": _at(0),
        "Start": _at(10), "End": _at(10 + elapsed), "ElapsedRaw": str(elapsed), "NNodes": "2",
        "NodeList": "n[1-2]", "AllocTRES": tres, "ConsumedEnergyRaw": "0", "Reason": "None",
    }  # fmt: skip
    return "|".join((cells | changes)[field] for field in SACCT_FIELDS)


def accounts(*rows: str) -> str:
    return "\n".join([ACCOUNT_HEADER, *rows]) + "\n"


def _at(seconds: int) -> str:
    return (T + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")


@given(
    st.lists(
        st.tuples(st.sampled_from(["nid", "lrdn", "n1-"]), st.integers(0, 900), st.integers(0, 40), st.integers(1, 6)),
        min_size=1, max_size=4,
    )
)  # fmt: skip
def test_a_node_list_expands_to_every_node_in_order(groups: list[tuple[str, int, int, int]]) -> None:
    compact = ",".join(f"{p}[{low:0{w}d}-{low + more:0{w}d}]" for p, low, more, w in groups)
    names = tuple(f"{p}{n:0{w}d}" for p, low, more, w in groups for n in range(low, low + more + 1))
    assert expand_nodes(compact) == names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ()), ("None assigned", ()), ("(null)", ()), ("n1", ("n1",)), ("n1,g2", ("n1", "g2")),
        ("n[1,3-4]-ib", ("n1-ib", "n3-ib", "n4-ib")), ("r[1-2]c[7,9]", ("r1c7", "r1c9", "r2c7", "r2c9")),
    ],
)  # fmt: skip
def test_node_lists_as_sites_write_them(text: str, names: tuple[str, ...]) -> None:
    assert expand_nodes(text) == names


@given(st.text(max_size=60))
def test_no_text_at_all_is_taken_for_an_answer_without_jobs(text: str) -> None:
    with pytest.raises(SchedulerUnknown):
        read_squeue(text, 1)
    with pytest.raises(SchedulerUnknown):
        read_sacct(text, 1)


def test_a_header_alone_is_an_answer_without_jobs() -> None:
    assert read_squeue(QUEUE_HEADER + "\n", 1) == ()
    assert read_sacct(ACCOUNT_HEADER + "\n", 1) == ()


@given(st.integers(1, 10**9), st.sampled_from(["", ";lumi", ";c-1"]))
def test_the_id_of_a_submission_is_found_with_and_without_a_cluster(number: int, cluster: str) -> None:
    assert submitted_id(f"{number}{cluster}\n") == str(number)


@given(st.text(st.characters(categories=["L", "P", "Zs"]), max_size=20))
def test_an_answer_without_an_id_is_unknown(text: str) -> None:
    with pytest.raises(SchedulerUnknown):
        submitted_id(text)


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("PENDING", "queued"), ("RUNNING", "running"), ("COMPLETING", "running"), ("CANCELLED by 1000", "cancelled"),
        ("NODE_FAIL", "node-failed"), ("PREEMPTED", "node-failed"), ("OUT_OF_MEMORY", "out-of-memory"),
        ("TIMEOUT", "timeout"), ("SOMETHING_NEW", "running"), ("", "running"),
    ],
)  # fmt: skip
def test_slurms_words_become_ours_and_an_unknown_word_is_never_an_end(word: str, state: str) -> None:
    assert job_state(word) == state


def test_exit_codes_follow_the_shell() -> None:
    assert [exit_code(text) for text in ("0:0", "3:0", "0:9", "0:125", "", "x")] == [0, 3, 137, 253, None, None]


def test_times_are_utc_and_what_is_no_time_is_none() -> None:
    assert timestamp("2026-11-22T12:00:00") == T
    assert [timestamp(text) for text in ("Unknown", "N/A", "None", "")] == [None] * 4


def test_accelerators_come_from_what_was_allocated_and_else_from_the_nodes() -> None:
    typed = row("5", "COMPLETED", tres="billing=8,gres/gpu:a100=8,gres/gpu=8,mem=100G,node=2")
    assert read_sacct(accounts(typed), 4)[0].accelerators == 8
    assert read_sacct(accounts(row("5", "COMPLETED", tres="cpu=8,node=2")), 4)[0].accelerators == 8
    assert read_sacct(accounts(row("5", "PENDING", tres="", Start="Unknown")), 4)[0].accelerators == 0
    assert tres("cpu=4,mem=1500M") == {"cpu": 4}


def test_energy_is_the_jobs_own_figure_or_the_largest_of_its_steps_never_a_sum() -> None:
    steps = [row("5.batch", "COMPLETED", ConsumedEnergyRaw="90"), row("5.0", "COMPLETED", ConsumedEnergyRaw="100")]
    (report,) = read_sacct(accounts(row("5", "COMPLETED"), *steps), 4)
    assert report.energy_joules == 100
    (report,) = read_sacct(accounts(row("5", "COMPLETED", ConsumedEnergyRaw="120"), *steps), 4)
    assert report.energy_joules == 120
    nothing = row("5", "COMPLETED", ConsumedEnergyRaw="18446744073709551614")
    assert read_sacct(accounts(nothing), 4)[0].energy_joules is None


@given(st.lists(st.integers(0, 10**5), min_size=1, max_size=5))
def test_a_job_requeued_by_force_is_charged_for_every_time_it_ran(elapsed: list[int]) -> None:
    words = ["NODE_FAIL"] * (len(elapsed) - 1) + ["COMPLETED"]
    rows = [row("5", w, elapsed=s, Submit=_at(i)) for i, (w, s) in enumerate(zip(words, elapsed, strict=True))]
    (report,) = read_sacct(accounts(*rows), 4)
    assert (report.state, report.elapsed_s) == ("completed", sum(elapsed))
    assert report.accelerator_seconds == sum(elapsed) * 16


def test_a_job_that_waits_again_after_a_node_failed_is_queued_and_keeps_what_it_held() -> None:
    waiting = f"{QUEUE_HEADER}\n5|PENDING|{_at(99)}|N/A|N/A|2||hanse-a1|BeginTime\n"
    (report,) = merge(read_squeue(waiting, 8), read_sacct(accounts(row("5", "NODE_FAIL", elapsed=40)), 8), at=T)
    assert (report.state, report.elapsed_s, report.ended_at) == ("queued", 40, None)


def test_an_end_known_to_accounting_outweighs_a_queue_that_was_asked_before_it() -> None:
    still = f"{QUEUE_HEADER}\n5|RUNNING|{_at(0)}|{_at(10)}|{_at(600)}|2|n[1-2]|hanse-a1|None\n"
    (report,) = merge(read_squeue(still, 8), read_sacct(accounts(row("5", "FAILED", ExitCode="3:0")), 8), at=T)
    assert (report.state, report.exit_code, report.elapsed_s) == ("failed", 3, 60)


def test_an_end_that_accounting_has_not_heard_of_yet_is_no_end_for_a_minute() -> None:
    over = read_squeue(f"{QUEUE_HEADER}\n5|FAILED|{_at(0)}|{_at(10)}|{_at(70)}|2|n[1-2]|hanse-a1|NonZeroExitCode\n", 8)
    for known in (read_sacct(accounts(row("5", "RUNNING", End="Unknown")), 8), ()):
        (report,) = merge(over, known, at=T + timedelta(seconds=100))
        assert (report.state, report.raw_state, report.ended_at) == ("running", "FAILED", None)
        (report,) = merge(over, known, at=T + timedelta(seconds=131))
        assert (report.state, report.elapsed_s, report.accelerator_seconds) == ("failed", 60, 960)


def test_where_no_accounting_is_kept_the_queues_own_times_are_taken() -> None:
    over = f"{QUEUE_HEADER}\n5|COMPLETED|{_at(0)}|{_at(10)}|{_at(70)}|2|n[1-2]|hanse-a1|None\n"
    (report,) = merge(read_squeue(over, 8), None, at=T + timedelta(seconds=71))
    assert (report.state, report.elapsed_s, report.accelerator_seconds) == ("completed", 60, 960)


def test_answers_of_several_clusters_carry_a_heading_and_a_header_each() -> None:
    text = f"CLUSTER: a\n{QUEUE_HEADER}\nCLUSTER: b\n{QUEUE_HEADER}\n7|PENDING|{_at(0)}|N/A|N/A|1||hanse-a1|Priority\n"
    (report,) = read_squeue(text, 1)
    assert (report.job_id, report.reason, report.accelerators) == ("7", "Priority", 0)


def test_a_reason_may_contain_the_delimiter() -> None:
    text = f"{QUEUE_HEADER}\n7|PENDING|{_at(0)}|N/A|N/A|1||hanse-a1|held|by site\n"
    assert read_squeue(text, 1)[0].reason == "held|by site"


def test_a_waiting_jobs_estimate_of_its_start_is_read_and_survives_accounting() -> None:
    line = "5|PENDING|2026-11-21T10:00:00|2026-11-21T13:00:00|N/A|1|(null)|hanse-a|Priority"
    queue = read_squeue(f"{QUEUE_HEADER}\n{line}\n", 4)
    assert queue[0].expected_start_at == datetime(2026, 11, 21, 13, tzinfo=UTC) and queue[0].started_at is None
    known = read_sacct(accounts(row("5", "PENDING", tres="", Start="Unknown", End="Unknown")), 4)
    assert merge(queue, known, at=T)[0].expected_start_at == queue[0].expected_start_at


def test_a_queue_looked_at_again_reads_only_what_changed_and_only_what_was_asked_for() -> None:
    def line(number: int, state: str = "PENDING", name: str = "") -> str:
        return f"{number}|{state}|2026-11-21T10:00:00|N/A|N/A|1|(null)|{name or f'hanse-{number}'}|Priority"

    lines = QueueLines()
    first = lines.read(
        "\n".join([QUEUE_HEADER, line(1), line(2), line(3, name="strangers")]), 4, {"hanse-1", "hanse-2"}
    )
    again = lines.read("\n".join([QUEUE_HEADER, line(1), line(2, "RUNNING")]), 4, {"hanse-1", "hanse-2"})
    assert [job.name for job in first] == ["hanse-1", "hanse-2"]
    assert again[0] is first[0] and again[1].state == "running"
    assert lines.read("\n".join([QUEUE_HEADER, line(1)]), 4, {"hanse-2"}) == (), "no longer asked for"
