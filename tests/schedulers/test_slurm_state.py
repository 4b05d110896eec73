"""What a real Slurm 22.05 printed of itself, read into a MachineState's parts."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from hanse.contracts.errors import SchedulerUnknown
from hanse.schedulers import slurm_state

SINFO = """PARTITION|AVAIL|NODES|STATE
batch|up|1|drained
batch|up|1|idle
gpu|down|2|down*
"""
SQUEUE = """PARTITION|STATE
batch|RUNNING
batch,gpu|PENDING
batch|PENDING
"""
REASONS = """NODELIST|TIMESTAMP|REASON
n2|2026-11-23T01:49:35|bad|gpu 3
n[3-4]|Unknown|Not responding
"""
RESERVATION = (
    "ReservationName=maint1 StartTime=2026-11-23T02:49:35 EndTime=2026-11-23T03:49:35 Duration=01:00:00 Nodes=n[1-2] "
    "NodeCnt=2 CoreCnt=64 Features=(null) PartitionName=(null) Flags=MAINT,IGNORE_JOBS,SPEC_NODES{more} TRES=cpu=64 "
    "Users=root Groups=(null) Accounts=(null) Licenses=(null) State=INACTIVE BurstBuffer=(null) Watts=n/a\n"
)


def test_partitions_count_their_nodes_and_their_load() -> None:
    batch, gpu = slurm_state.read_partitions(SINFO, SQUEUE)
    assert (batch.name, batch.up, batch.nodes, batch.nodes_idle, batch.nodes_down) == ("batch", True, 2, 1, 1)
    assert (batch.running_jobs, batch.pending_jobs) == (1, 2)
    assert (gpu.up, gpu.reason, gpu.nodes_down, gpu.pending_jobs) == (False, "down", 2, 1)


def test_an_answer_without_its_header_or_with_a_torn_row_is_no_answer() -> None:
    for sinfo in ("", "slurm_load_partitions: Unable to contact slurm controller\n", SINFO + "batch|up\n"):
        with pytest.raises(SchedulerUnknown):
            slurm_state.read_partitions(sinfo, SQUEUE)


def test_a_reason_may_hold_the_delimiter_and_a_time_be_unknown() -> None:
    bad = slurm_state.read_reasons(REASONS)
    assert [(one.name, one.reason) for one in bad] == [
        ("n2", "bad|gpu 3"), ("n3", "Not responding"), ("n4", "Not responding")
    ]  # fmt: skip
    assert bad[0].since == datetime(2026, 11, 23, 1, 49, 35, tzinfo=UTC) and bad[1].since is None


def test_only_maintenance_is_maintenance() -> None:
    everything, some = slurm_state.read_reservations(
        RESERVATION.format(more=",ALL_NODES") + RESERVATION.format(more="") + RESERVATION.replace("MAINT,", "")
    )
    assert (everything.name, everything.nodes, some.nodes) == ("maint1", None, 2)
    assert (some.ends - some.starts).total_seconds() == 3600
    assert slurm_state.read_reservations("No reservations in the system\n") == ()


def test_an_estimate_is_a_wait_from_now_and_never_negative() -> None:
    said = "sbatch: Job 3 to start at 2026-11-23T01:49:35 using 1 processors on nodes n1 in partition batch\n"
    assert slurm_state.read_estimate(said, datetime(2026, 11, 23, 1, 39, 35, tzinfo=UTC)) == 600
    assert slurm_state.read_estimate(said, datetime(2026, 11, 23, 2, tzinfo=UTC)) == 0
    assert slurm_state.read_estimate("allocation failure: Requested node configuration", datetime.now(UTC)) is None
