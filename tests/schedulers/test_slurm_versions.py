"""Slurm 22.05 to 25.05: the words and columns that each version can print are read; a real 22.05's answers too."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hanse.contracts.job import FINAL_JOB_STATES
from hanse.schedulers import slurm_state
from hanse.schedulers.slurm_text import (
    SACCT_FIELDS,
    job_state,
    merge,
    nodes_and_gpus,
    read_sacct,
    read_squeue,
    timestamp,
)

RECORDED = Path(__file__).parent / "recorded"
VERSIONS: dict[str, dict[str, list[str]]] = json.loads((RECORDED / "slurm-words.json").read_text())["versions"]
ALIVE = {
    "COMPLETING", "CONFIGURING", "EXPEDITING", "PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESIZING",
    "RESV_DEL_HOLD", "RUNNING", "SIGNALING", "SPECIAL_EXIT", "STAGE_OUT", "STOPPED", "SUSPENDED",
}  # fmt: skip
USABLE = {"ALLOCATED", "ALLOCATED+", "CLOUD", "COMPLETING", "IDLE", "MIXED", "MIXED-", "PLANNED", "RESERVED"}
ORDERS = {"CANCEL_REBOOT", "RESUME", "UNDRAIN"}
each_version = pytest.mark.parametrize("version", VERSIONS)


def recorded(name: str) -> str:
    return (RECORDED / f"{name}-22.05.txt").read_text()


@each_version
def test_a_job_has_ended_when_this_version_says_so_and_never_before(version: str) -> None:
    for word in VERSIONS[version]["job_states"]:
        assert (job_state(word) not in FINAL_JOB_STATES) == (word in ALIVE), word
    assert job_state("CANCELLED by 1000") == "cancelled"


@each_version
def test_every_column_that_is_asked_for_is_known_to_this_version(version: str) -> None:
    columns: dict[str, list[str]] = VERSIONS[version]["columns"]  # type: ignore[assignment]
    for header in (recorded("squeue"), recorded("load")):
        assert set(header.splitlines()[0].split("|")) <= set(columns["squeue"])
    for header in (recorded("sinfo"), recorded("reasons")):
        assert set(header.splitlines()[0].split("|")) <= set(columns["sinfo"])
    assert set(SACCT_FIELDS) == set(columns["sacct"])


@each_version
def test_a_node_is_usable_when_this_version_says_so(version: str) -> None:
    for word in VERSIONS[version]["node_states"]:
        if word not in ORDERS:  # marks about its power make a node neither better nor worse
            usable = word.rstrip("~#%!@^$") in USABLE or word in USABLE
            assert slurm_state.is_unusable(word.lower()) != usable, word


def test_a_queue_that_a_real_slurm_printed_is_read() -> None:
    jobs = {job.name: job for job in read_squeue(recorded("squeue"), 4)}
    assert {name: job.state for name, job in jobs.items()} == {
        "hanse-ended": "cancelled", "hanse-done": "completed", "hanse-failed": "failed", "hanse-after": "queued",
        "hanse-held": "queued", "hanse-runs": "running",
    }  # fmt: skip
    assert jobs["hanse-held"].reason == "JobHeldUser" and jobs["hanse-held"].started_at is None
    assert jobs["hanse-done"].nodes == ("n1", "n2")


def test_what_a_real_accounting_printed_settles_what_the_queue_shows() -> None:
    jobs = {job.name: job for job in merge(read_squeue(recorded("squeue"), 4), read_sacct(recorded("sacct"), 4),
                                           at=datetime(2026, 11, 23, 6, tzinfo=UTC))}  # fmt: skip
    done, failed, ended = jobs["hanse-done"], jobs["hanse-failed"], jobs["hanse-ended"]
    assert (done.accelerators, done.elapsed_s, done.accelerator_seconds, done.exit_code) == (8, 5, 40, 0)
    assert (failed.state, failed.exit_code, failed.accelerator_seconds) == ("failed", 7, 3)
    assert (ended.state, ended.raw_state, ended.accelerator_seconds) == ("cancelled", "CANCELLED by 0", 8)
    assert (jobs["hanse-runs"].state, jobs["hanse-runs"].ended_at) == ("running", None)
    assert jobs["hanse-after"].state == "queued", "accounting does not know it yet"


def test_a_real_machines_state_is_read() -> None:
    boost, debug = slurm_state.read_partitions(recorded("sinfo"), recorded("load"))
    assert (boost.nodes, boost.nodes_idle, boost.nodes_down) == (4, 2, 1)
    assert (boost.running_jobs, boost.pending_jobs, debug.nodes_idle) == (1, 2, 2)
    (bad,) = slurm_state.read_reasons(recorded("reasons"))
    assert (bad.name, bad.reason) == ("n4", "bad|gpu 3")


@pytest.mark.parametrize("power", [" Watts=n/a", ""], ids=["until 23.11", "from 24.05 on"])
def test_a_maintenance_is_read_with_and_without_the_fields_that_versions_differ_in(power: str) -> None:
    (maintenance,) = slurm_state.read_reservations(recorded("reservation").replace(" Watts=n/a", power))
    assert (maintenance.name, maintenance.nodes) == ("maint", None)
    assert (maintenance.ends - maintenance.starts).total_seconds() == 3600


@pytest.mark.parametrize(
    "said",
    [
        "sbatch: Job 77 to start at 2026-11-23T06:00:00 using 8 processors on nodes n[1-2] in partition boost",
        "sbatch: Job 77 to start at 2026-11-23T06:00:00 a using 8 processors on nodes n[1-2] in partition boost",
        "sbatch: Job 77 to start at 2026-11-23T06:00:00 on cluster a using 8 processors on nodes n1 in partition b",
    ],
)
def test_an_estimate_is_read_as_each_version_words_it(said: str) -> None:
    assert slurm_state.read_estimate(said, datetime(2026, 11, 23, 5, tzinfo=UTC)) == 3600


@pytest.mark.parametrize(
    ("held", "nodes", "cards"),
    [
        ("billing=2,cpu=2,gres/gpu=8,node=2", 2, 8),
        ("billing=72,cpu=72,energy=1,gres/gpu:gh200=4,mem=800G,node=1", 1, 4),
        ("cpu=8,gres/gpu:a100=2,gres/gpu=2,mem=4000M,node=1", 1, 2),
        ("cpu=8,gres/gpu:a100=2,gres/gpu:h100=1,node=2", 2, 3),
        ("", 3, 0),
    ],
)
def test_cards_are_counted_once_however_a_site_counts_them(held: str, nodes: int, cards: int) -> None:
    assert nodes_and_gpus(held, "3") == (nodes, cards)


@pytest.mark.parametrize("word", ["Unknown", "None", "N/A", "NONE", "", "Unlimited"])
def test_what_is_no_time_is_none(word: str) -> None:
    assert timestamp(word) is None
