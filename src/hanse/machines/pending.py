"""Why a job waits, in words: the scheduler's own reason, what it means, and what its owner can do about it.

Reasons are those that Slurm documents (squeue(1) and its page on job reason codes); one that is not known is shown as
it stands, never explained by a guess.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

NOTHING: Final = "You need do nothing."
_SHORTER: Final = "Ask for less at a time: fewer nodes, or a smaller where.wall_time_s."
_OPERATOR: Final = "Ask the site's support, with the job's id; until then it keeps its place."
_HOURS: Final = "Look at what is left with 'hanse status'; ask for more hours, or launch on another machine."


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """`reason` is the scheduler's own word."""

    reason: str
    words: str
    what_you_can_do: str
    known: bool = True


_EXACT: Final[dict[str, tuple[str, str]]] = {
    "None": ("The scheduler has not looked at it yet.", NOTHING),
    "Priority": ("Jobs of higher priority are before it in the queue.", NOTHING),
    "Resources": ("It is next in line and waits for nodes to become free.", NOTHING),
    "Dependency": ("It was queued ahead and starts when the job before it has ended.", NOTHING),
    "DependencyNeverSatisfied": ("The job it waits for ended in a way that lets it never start.", _OPERATOR),
    "BeginTime": ("It may not start before a set time; after a requeue that is a minute or two.", NOTHING),
    "Licenses": ("It waits for a licence that others hold.", NOTHING),
    "Reservation": ("It waits for the reservation it was submitted to.", NOTHING),
    "ReservationDeleted": ("The reservation it was submitted to is gone.", _OPERATOR),
    "ReqNodeNotAvail": ("Nodes it needs are down, drained, or kept free for maintenance.", NOTHING),
    "NodeDown": ("A node it needs is down.", NOTHING),
    "BadConstraints": ("No node has what it asks for.", "Plan again for this machine, or name another partition."),
    "Prolog": ("Its nodes are being prepared.", NOTHING),
    "Cleaning": ("It was requeued, and its former nodes are still being cleaned.", NOTHING),
    "PartitionDown": ("Its partition takes no jobs at present.", "Wait, or allow another machine in where.machines."),
    "PartitionInactive": ("Its partition starts no jobs at present.", "Wait, or allow another machine."),
    "PartitionNodeLimit": ("It asks for more nodes than its partition gives one job.", _SHORTER),
    "PartitionTimeLimit": ("It asks for more time than its partition gives one job.", _SHORTER),
    "PartitionConfig": ("What it asks for does not fit the partition's settings.", _SHORTER),
    "AccountNotAllowed": ("Its account may not use the partition.", "Set where.partition to one your award names."),
    "QOSNotAllowed": ("Its QoS may not be used by the account or in the partition.", _OPERATOR),
    "InvalidAccount": ("The scheduler does not take its account.", "Check where.account, or the award's account."),
    "InvalidQOS": ("The scheduler does not take its QoS.", _OPERATOR),
    "JobHeldAdmin": ("An administrator of the site holds it.", _OPERATOR),
    "JobHeldUser": ("It was put on hold under your own name there.", "Release it there: scontrol release JOBID."),
    "JobArrayTaskLimit": ("As many tasks of its array run as may at once.", NOTHING),
    "JobLaunchFailure": ("It could not be started; a node or the file system failed.", _OPERATOR),
    "JobHoldMaxRequeue": ("It was requeued too often and is held.", _OPERATOR),
    "NodeFail": ("A node of it failed.", NOTHING),
    "NonZeroExitCode": ("It ended with an exit code other than 0.", "Read its log: hanse logs."),
    "OutOfMemory": ("It ran out of memory.", "Plan again with more nodes, or a smaller batch."),
    "TimeLimit": ("Its wall time was over.", NOTHING),
    "InactiveLimit": ("It was inactive for longer than the site allows.", _OPERATOR),
    "RaisedSignal": ("A signal ended it.", "Read its log: hanse logs."),
    "SystemFailure": ("The scheduler, a node or the file system failed.", NOTHING),
    "SchedDefer": ("The scheduler was asked to put it off until its next full pass.", NOTHING),
    "DeadLine": ("It can no longer end before its deadline.", "Launch it again without the deadline."),
    "BurstBufferOperation": ("An operation of its burst buffer failed.", _OPERATOR),
    "BurstBufferResources": ("It waits for room in the burst buffer.", NOTHING),
    "BurstBufferStageIn": ("Its data is being brought in.", NOTHING),
    "FedJobLock": ("Another cluster of the site is deciding whether to start it.", NOTHING),
    "FrontEndDown": ("No front-end node can start it.", NOTHING),
    "PowerNotAvail": ("There is not power enough for it now.", NOTHING),
    "PowerReserved": ("Power is kept back for others.", NOTHING),
    "MaxRequeue": ("It was requeued as often as the site allows.", _OPERATOR),
    "QOSUsageThreshold": ("Its QoS asks for more usage than your account has.", _OPERATOR),
    "QOSJobLimit": ("As many jobs of its QoS run as may at once.", NOTHING),
    "QOSResourceLimit": ("Its QoS holds all it may at once.", NOTHING),
    "QOSTimeLimit": ("It asks for more time than its QoS has left.", _SHORTER),
    "AssociationJobLimit": ("As many jobs of your account run as may at once.", NOTHING),
    "AssociationResourceLimit": ("Your account holds all it may at once.", NOTHING),
    "AssociationTimeLimit": ("Your account's time is used up.", _HOURS),
    "AccountingPolicy": ("A limit of the site's accounting keeps it back.", _OPERATOR),
    "launch failed requeued held": ("It could not be started, and is held after a requeue.", _OPERATOR),
    "job requeued in held state": ("It was requeued and is held.", _OPERATOR),
}

_RESOURCES: Final = {
    "GRES": "accelerators", "GRESMinutes": "accelerator time", "GRESRunMinutes": "accelerator time of running jobs",
    "Billing": "billing units", "BillingMinutes": "billed time", "BillingRunMinutes": "billed time of running jobs",
    "Cpu": "cores", "CPU": "cores", "CPUMinutes": "core time", "CpuMinutes": "core time",
    "CPURunMinutes": "core time of running jobs", "CpuRunMinutes": "core time of running jobs", "Node": "nodes",
    "NodeMinutes": "node time", "NodeRunMinutes": "node time of running jobs", "Mem": "memory", "Memory": "memory",
    "MemMinutes": "memory time", "MemRunMinutes": "memory time of running jobs", "Energy": "energy",
    "EnergyMinutes": "energy", "EnergyRunMinutes": "energy of running jobs", "License": "licences",
    "LicenseMinutes": "licence time", "LicenseRunMinutes": "licence time of running jobs", "BB": "burst buffer",
    "BBMinutes": "burst-buffer time", "BBRunMinutes": "burst-buffer time of running jobs", "Jobs": "jobs",
    "SubmitJobs": "submitted jobs", "JobsRun": "running jobs", "WallDuration": "wall time", "Wall": "wall time",
    "WallDurationPerJob": "wall time of one job", "Unknown": "a resource", "UnknownMinutes": "a resource's time",
    "UnknownRunMinutes": "a resource's time of running jobs", "JobsPerAccount": "jobs of one account",
    "JobsPerUser": "jobs of one user",
}  # fmt: skip
_LIMIT: Final = re.compile(
    r"^(?P<whose>Assoc|QOS)(?P<kind>Grp|Max|Min)(?P<what>[A-Za-z]+?)"
    r"(?P<each>PerJob|PerNode|PerUser|PerAccount|PU|PA)?(?:Limit)?$"
)
_EACH: Final = {
    "PerJob": " in one job", "PerNode": " on one node", "PerUser": " for one person", "PU": " for one person",
    "PerAccount": " for one account", "PA": " for one account",
}  # fmt: skip


def explain(reason: str, *, expected_start_at: datetime | None = None, now: datetime) -> Pending:
    """Of a reason as squeue prints it, with or without brackets and what follows a comma."""
    plain = reason.strip().strip("()")
    name = re.split(r"[,:]", plain, maxsplit=1)[0].strip()
    found = _EXACT.get(plain) or _EXACT.get(name) or _limit(name)
    when = _when(expected_start_at, now)
    if found is None:
        told = f"The scheduler says: {plain}." if plain else "The scheduler gives no reason."
        return Pending(reason=plain, words=told + when, what_you_can_do=NOTHING, known=False)
    words, advice = found
    return Pending(reason=plain, words=words + when, what_you_can_do=advice)


def _limit(name: str) -> tuple[str, str] | None:
    """The many limits of associations and QoS are built alike; so are their names."""
    if not (found := _LIMIT.match(name)):
        return None
    what = _RESOURCES.get(found["what"] + (found["each"] or "")) or _RESOURCES.get(found["what"])
    if what is None:
        return None
    whose = "account" if found["whose"] == "Assoc" else "QoS"
    each = _EACH.get(found["each"] or "", "") if " of one " not in what else ""
    if found["kind"] == "Min":
        return f"It asks for less {what} than its {whose} wants of a job.", "Plan for more nodes."
    if found["kind"] == "Max":
        waits = found["what"] in {"Jobs", "SubmitJobs"} or found["each"] in {"PerUser", "PerAccount", "PU", "PA"}
        advice = NOTHING if waits else _SHORTER
        return f"It is over what its {whose} allows of {what}{each}.", advice
    spent = found["what"].endswith("Minutes") and not found["what"].endswith("RunMinutes")
    if spent or found["what"] in {"Wall", "WallDuration"}:
        return f"All its {whose} was granted of {what} is used or spoken for.", _HOURS
    return f"All that its {whose} may hold at once of {what} is in use.", NOTHING


def _when(start: datetime | None, now: datetime) -> str:
    if start is None:
        return ""
    seconds = (start - now).total_seconds()
    if seconds < 60:
        return " It is expected to start any moment."
    sizes = ((86400, "day"), (3600, "hour"), (60, "minute"))
    size, noun = next((pair for pair in sizes if seconds >= 1.5 * pair[0]), sizes[-1])
    count = max(1, round(seconds / size))
    unit = noun if count == 1 else f"{noun}s"
    return f" It is expected to start in about {count} {unit}, at {start:%-d %B %H:%M} UTC."
