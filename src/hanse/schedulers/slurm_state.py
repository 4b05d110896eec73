"""How a Slurm machine is, read from sinfo, squeue, `sbatch --test-only` and scontrol. Pure: text in, contracts out.

Times are asked for in UTC (TZ) and in Slurm's standard form. What is not told is left out; an answer without its
header is no answer.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from hanse.contracts.errors import SchedulerUnknown
from hanse.contracts.machine import Machine
from hanse.contracts.site import BadNode, Maintenance, PartitionState, QueueWait
from hanse.schedulers.slurm_text import expand_nodes, timestamp

SINFO_FORMAT: Final = "%R|%a|%D|%T"
_SINFO_HEADER = "PARTITION|AVAIL|NODES|STATE"
LOAD_FORMAT: Final = "%P|%T"
_LOAD_HEADER = "PARTITION|STATE"
REASON_FORMAT: Final = "%N|%H|%E"
_REASON_HEADER = "NODELIST|TIMESTAMP|REASON"

_UNUSABLE = (
    "down",
    "drain",
    "fail",
    "maint",
    "reboot",
    "unknown",
    "power",
    "inval",
    "perfctrs",
    "blocked",
    "no_respond",
    "future",
    "external",
)
_ESTIMATE = re.compile(r"Job \d+ to start at (\S+)")
_USUAL_WALL_TIMES_S: Final = (3600, 86400)


def read_partitions(sinfo: str, squeue: str) -> tuple[PartitionState, ...]:
    """A pending job that may go to several partitions counts in each of them."""
    load: Counter[tuple[str, str]] = Counter()
    for names, state in _rows(squeue, _LOAD_HEADER, "squeue"):
        load.update((name, state) for name in names.split(","))
    found: dict[str, PartitionState] = {}
    for name, available, count, word in _rows(sinfo, _SINFO_HEADER, "sinfo"):
        nodes = int(count) if count.isdigit() else 0
        state = word.lower()
        before = found.get(name) or PartitionState(
            name=name, up=available == "up", reason="" if available == "up" else available,
            running_jobs=load[name, "RUNNING"], pending_jobs=load[name, "PENDING"],
        )  # fmt: skip
        found[name] = before.model_copy(
            update={
                "nodes": before.nodes + nodes,
                "nodes_idle": before.nodes_idle + (nodes if state == "idle" else 0),
                "nodes_down": before.nodes_down + (nodes if is_unusable(state) else 0),
            }
        )
    return tuple(found.values())


def is_unusable(state: str) -> bool:
    """sinfo's long state; a trailing '*' is a node that does not answer, other marks are about its power."""
    return state.endswith("*") or any(word in state for word in _UNUSABLE)


def sizes(machine: Machine, partitions: Sequence[PartitionState]) -> Iterator[tuple[str, int, int]]:
    """Partition, nodes and wall time of usual jobs: one node and a quarter of them, an hour and a day.

    Only partitions that the machine's description names, or all where it names none.
    """
    known = {partition.name: partition for partition in machine.partitions}
    for state in partitions:
        if not state.up or (known and state.name not in known):
            continue
        facts = known.get(state.name)
        most = min(state.nodes - state.nodes_down, (facts and facts.max_nodes) or state.nodes)
        longest = (facts and facts.max_wall_time_s) or _USUAL_WALL_TIMES_S[0]
        for nodes in sorted({1, most // 4} - {0}) if most > 0 else ():
            for wall_time_s in sorted({min(usual, longest) for usual in _USUAL_WALL_TIMES_S}):
                yield state.name, nodes, wall_time_s


def read_estimate(said: str, at: datetime) -> float | None:
    """Seconds from `at` to the start in `sbatch --test-only`'s message; None where it names none."""
    found = _ESTIMATE.search(said)
    starts = timestamp(found[1]) if found else None
    return None if starts is None else max(0.0, (starts - at).total_seconds())


def wait_of(partition: str, nodes: int, wall_time_s: int, wait_s: float) -> QueueWait:
    return QueueWait(partition=partition, nodes=nodes, wall_time_s=wall_time_s, wait_s=wait_s)


def read_reservations(stdout: str) -> tuple[Maintenance, ...]:
    """Those of `scontrol --oneliner show reservation` that carry the flag MAINT: others are somebody's nodes."""
    found = []
    for line in stdout.splitlines():
        cell = dict(re.findall(r"(\w+)=(\S*)", line))
        starts, ends = timestamp(cell.get("StartTime", "")), timestamp(cell.get("EndTime", ""))
        if "MAINT" not in cell.get("Flags", "").split(",") or starts is None or ends is None:
            continue
        everything = "ALL_NODES" in cell["Flags"].split(",")
        count = cell.get("NodeCnt", "")
        found.append(
            Maintenance(
                name=cell.get("ReservationName", ""), starts=starts, ends=ends,
                nodes=int(count) if count.isdigit() and not everything else None,
            )
        )  # fmt: skip
    return tuple(found)


def read_reasons(stdout: str) -> tuple[BadNode, ...]:
    """Nodes that are down or drained, with the reason the site gave. A reason may hold the delimiter."""
    return tuple(
        BadNode(name=name, reason=reason, since=timestamp(since))
        for nodes, since, reason in _rows(stdout, _REASON_HEADER, "sinfo")
        for name in expand_nodes(nodes)
    )


def _rows(stdout: str, header: str, command: str) -> Iterator[list[str]]:
    lines = [line for line in stdout.splitlines() if line.strip() and not line.startswith("CLUSTER:")]
    if not lines or lines[0] != header:
        raise SchedulerUnknown(f"{command} gave no usable answer", where=repr(stdout[:200]))
    columns = header.count("|")
    for line in lines[1:]:
        if line == header:  # once a cluster
            continue
        cells = line.split("|", columns)
        if len(cells) != columns + 1:
            raise SchedulerUnknown(f"{command} printed a row that cannot be read", where=repr(line))
        yield cells
