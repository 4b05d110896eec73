"""An award as objects of the site's Slurm: account, users, limit, QoS, a folder. What exists already is left alone.

`look` reads what there is, `commands` says what is lacking and why, `close` takes an ended allocation out of use:
limits go to nothing, nothing is deleted, and no running job is killed. Whoever calls prints the commands, and runs them
only if asked to.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hanse.contracts.errors import SiteError, UsageError
from hanse.contracts.machine import Machine
from hanse.contracts.programme import Allocation
from hanse.contracts.units import format_gpu_hours

Ask = Callable[[Sequence[str]], str]
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")
_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    argv: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How the site wants it."""

    qos: str = ""
    """A quality of service of the allocation's own; '' makes none."""
    tres: str = ""
    """What is limited: gres/gpu, node or cpu; '' is what the site's accounting counts best."""
    folder: str = ""
    """Where the project's folder must be; `{account}` stands for the account."""
    folder_hook: tuple[str, ...] = ()
    """The site's program that makes it: account and folder are added as arguments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Existing:
    """What the site's accounting holds of one account."""

    cluster: str
    account: bool = False
    users: frozenset[str] = frozenset()
    limits: Mapping[str, int] = field(default_factory=dict)
    account_qos: frozenset[str] = frozenset()
    submits: int | None = None
    """How many jobs the account may have; None: any number."""
    qos: bool = False
    qos_flags: frozenset[str] = frozenset()
    qos_limits: Mapping[str, int] = field(default_factory=dict)
    counts_accelerators: bool = False
    forgets: bool = False
    """The site's usage decays or starts anew each period, so that a limit of the account alone does not hold."""
    enforced: bool = True
    folder: bool = False
    running_jobs: int = 0


def here(argv: Sequence[str]) -> str:
    """Run one command on this host. Raises SiteError with its own words."""
    try:
        done = subprocess.run(list(argv), capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except FileNotFoundError:
        raise SiteError(
            f"{argv[0]} is not on this host", fix="run this where the site's administrators do, beside sacctmgr"
        ) from None
    except subprocess.TimeoutExpired:
        raise SiteError(f"{argv[0]} gave no answer in {_TIMEOUT_S:.0f} s") from None
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split())
        raise SiteError(f"'{' '.join(argv)}' failed: {said}")
    return done.stdout


def look(ask: Ask, account: str, policy: Policy) -> Existing:
    """Raises SiteError if Slurm does not answer, UsageError if it keeps no accounting."""
    config = dict(re.findall(r"^(\w+)\s*=\s*(.*?)\s*$", ask(("scontrol", "show", "config")), re.MULTILINE))
    if "slurmdbd" not in config.get("AccountingStorageType", ""):
        raise UsageError("this Slurm keeps no accounting (slurmdbd)", fix="limits cannot be set here")
    cluster = config["ClusterName"]
    where = ("where", f"account={account}", f"cluster={cluster}")
    rows = _rows(ask(("sacctmgr", "-nP", "show", "assoc", *where, "format=User,GrpTRESMins,QOS,GrpSubmit")), 4)
    own = next((row for row in rows if not row[0]), None)
    qos = policy.qos and _rows(
        ask(("sacctmgr", "-nP", "show", "qos", "where", f"name={policy.qos}", "format=Name,Flags,GrpTRESMins")), 3
    )
    kinds = ask(("sacctmgr", "-nP", "show", "tres", "format=Type,Name")).splitlines()
    running = ask(("squeue", "-h", "-A", account, "-t", "RUNNING,COMPLETING", "-o", "%i")) if own else ""
    half_life, period = config.get("PriorityDecayHalfLife", ""), config.get("PriorityUsageResetPeriod", "NONE")
    return Existing(
        cluster=cluster,
        account=own is not None,
        users=frozenset(row[0] for row in rows if row[0]),
        limits=_limits(own[1]) if own else {},
        account_qos=frozenset(own[2].split(",")) if own else frozenset(),
        submits=int(own[3]) if own and own[3].isdigit() else None,
        qos=bool(qos),
        qos_flags=frozenset(qos[0][1].split(",")) if qos else frozenset(),
        qos_limits=_limits(qos[0][2]) if qos else {},
        counts_accelerators=any(line.startswith("gres|gpu") for line in kinds),
        forgets=half_life not in ("", "0", "00:00:00") or period not in ("", "NONE", "NOW"),
        enforced={"limits", "safe"} & set(config.get("AccountingStorageEnforce", "").split(",")) != set(),
        folder=bool(policy.folder) and Path(policy.folder.format(account=account)).exists(),
        running_jobs=len(running.split()),
    )


def limit_of(allocation: Allocation, machine: Machine, existing: Existing, policy: Policy) -> tuple[str, int]:
    """(what is limited, in how many minutes): the grant in the site's own counting."""
    minutes = -(-allocation.granted_accelerator_seconds // 60)
    per_node = machine.accelerators_per_node
    tres = policy.tres or ("gres/gpu" if existing.counts_accelerators else "node")
    if tres == "gres/gpu":
        return tres, minutes
    if tres == "node":
        return tres, -(-minutes // per_node)
    cpus = machine.scheduler.cpus_per_node
    if tres == "cpu" and cpus:
        return tres, -(-minutes * cpus // per_node)
    raise UsageError(
        f"the grant cannot be told in minutes of {tres}", where=machine.id,
        fix="limit gres/gpu or node, or say scheduler.cpus_per_node in the machine's description",
    )  # fmt: skip


def commands(
    allocation: Allocation, users: Sequence[str], machine: Machine, existing: Existing, policy: Policy
) -> tuple[Command, ...]:
    """What is lacking, in the order in which it must be run; () if nothing is."""
    account = account_of(allocation)
    for name in (account, *users, *([policy.qos] if policy.qos else [])):
        if not _NAME.fullmatch(name):
            raise UsageError(f"{name!r} is no name Slurm takes for an account, user or QoS", fix="a-z, 0-9, . _ -")
    tres, minutes = limit_of(allocation, machine, existing, policy)
    grant = format_gpu_hours(allocation.granted_accelerator_seconds)
    cluster = f"cluster={existing.cluster}"
    found = []
    argv: tuple[str, ...]
    if not existing.account:
        argv = ("sacctmgr", "-i", "add", "account", account, cluster, f"description={allocation.id}")
        found.append(Command(argv=argv, why=f"the account of {allocation.id}, project {allocation.project}"))
    if existing.submits == 0:
        argv = _modify(account, existing, "GrpSubmitJobs=-1")
        found.append(Command(argv=argv, why="the account was closed; it may submit again"))
    if policy.qos and not existing.qos:
        found.append(Command(argv=("sacctmgr", "-i", "add", "qos", policy.qos), why="a QoS of the allocation's own"))
    if policy.qos and existing.forgets and "NoDecay" not in existing.qos_flags:
        argv = ("sacctmgr", "-i", "modify", "qos", policy.qos, "set", "Flags=NoDecay")
        found.append(Command(argv=argv, why="this site's usage decays or starts anew; the QoS remembers all of it"))
    if policy.qos and existing.forgets and existing.qos_limits.get(tres) != minutes:
        argv = ("sacctmgr", "-i", "modify", "qos", policy.qos, "set", f"GrpTRESMins={tres}={minutes}")
        found.append(Command(argv=argv, why=f"{grant} over the whole of the allocation"))
    if existing.limits.get(tres) != minutes:
        argv = _modify(account, existing, f"GrpTRESMins={tres}={minutes}")
        found.append(Command(argv=argv, why=f"{grant}, as minutes of {tres}"))
    if policy.qos and policy.qos not in existing.account_qos:
        argv = _modify(account, existing, f"QOS+={policy.qos}", f"DefaultQOS={policy.qos}")
        found.append(Command(argv=argv, why="its jobs run under that QoS"))
    found += [
        Command(
            argv=("sacctmgr", "-i", "add", "user", user, f"account={account}", cluster), why=f"{user} may submit to it"
        )
        for user in dict.fromkeys(users)
        if user not in existing.users
    ]
    if policy.folder and policy.folder_hook and not existing.folder:
        folder = policy.folder.format(account=account)
        found.append(
            Command(argv=(*policy.folder_hook, account, folder), why="the project's folder, by the site's hook")
        )
    return tuple(found)


def close(allocation: Allocation, machine: Machine, existing: Existing, policy: Policy) -> tuple[Command, ...]:
    """Take the account out of use. Slurm kills what runs under a limit that is used up, so that comes last."""
    account = account_of(allocation)
    if not existing.account:
        return ()
    tres, _ = limit_of(allocation, machine, existing, policy)
    found = []
    if existing.submits != 0:
        argv = _modify(account, existing, "GrpSubmitJobs=0")
        found.append(Command(argv=argv, why="no new jobs; those that run go on to their end"))
    if existing.running_jobs == 0 and existing.limits.get(tres) != 0:
        argv = _modify(account, existing, f"GrpTRESMins={tres}=0")
        found.append(Command(argv=argv, why="nothing left to use; accounting keeps what was used"))
    return tuple(found)


def remarks(existing: Existing, policy: Policy, *, closing: bool = False) -> tuple[str, ...]:
    """What whoever runs the commands should know."""
    found = []
    if not existing.enforced:
        found.append("This Slurm stores limits and does not enforce them: AccountingStorageEnforce lacks limits.")
    if existing.forgets and not policy.qos and not closing:
        found.append("This site's usage decays or starts anew each period: without a QoS the limit holds per period.")
    if closing and existing.running_jobs:
        found.append(f"{existing.running_jobs} jobs still run; run this again when they have ended.")
    return tuple(found)


def account_of(allocation: Allocation) -> str:
    return allocation.account or f"hanse-{allocation.id.removeprefix('alc-')}"


def _modify(account: str, existing: Existing, *changes: str) -> tuple[str, ...]:
    where = ("where", f"name={account}", f"cluster={existing.cluster}")
    return ("sacctmgr", "-i", "modify", "account", *where, "set", *changes)


def _rows(stdout: str, cells: int) -> list[list[str]]:
    return [row for line in stdout.splitlines() if len(row := line.split("|")) == cells]


def _limits(text: str) -> dict[str, int]:
    return {name: int(value) for name, value in re.findall(r"([^,=]+)=(\d+)", text)}
