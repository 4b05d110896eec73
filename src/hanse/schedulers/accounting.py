"""All jobs of a scheduler account, and the site's own counter of it, from what Slurm prints. Pure: text to contracts.

A job the site requeued has one row for each time it ran, told apart by its time of submission: each is a SiteJob of
its own, as each held its nodes. Times are asked for in UTC (TZ=UTC, SLURM_TIME_FORMAT=standard). sacct's fields stand
in this order so that the job's name, the one text a user chooses freely, comes last.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from hanse.contracts.errors import SchedulerUnknown
from hanse.contracts.job import FINAL_JOB_STATES, JobReport
from hanse.contracts.site import SiteBudget, SiteJob
from hanse.schedulers.slurm_text import exit_code, expand_nodes, job_state, joules, nodes_and_gpus, timestamp, tres

FIELDS: Final = (
    "JobIDRaw", "Account", "User", "Partition", "State", "ExitCode", "Submit", "Start", "End", "ElapsedRaw", "NNodes",
    "NodeList", "AllocTRES", "ConsumedEnergyRaw", "JobName",
)  # fmt: skip
"""All of them as sacct has called them since 21.08."""

BUDGET_FIELDS: Final = ("Account", "User", "RawUsage", "GrpTRESMins", "GrpTRESRaw")

_HEADER = "|".join(FIELDS)
_ROW = re.compile(r"\d+(?:[_+][^|.]*)?(?:\.[^|]*)?\|")
"""How a row begins; any other line goes on with the name of the job before it."""
_UNIT: Final[Mapping[str, int]] = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


def sacct_arguments(accounts: Sequence[str], since: datetime) -> tuple[str, ...]:
    """Of every user, every time each job ran, for jobs that were alive at some time since `since`."""
    return (
        "sacct", "--allusers", "--duplicates", "--parsable2", "--accounts", ",".join(accounts), "--starttime",
        f"{since.astimezone(UTC):%Y-%m-%dT%H:%M:%S}", "--endtime", "now", "--format", ",".join(FIELDS),
    )  # fmt: skip


def read_jobs(stdout: str, accelerators_per_node: int, *, tracked: bool = False) -> tuple[SiteJob, ...]:
    """Rows of `sacct_arguments`, steps folded into their job. Jobs that never held anything are among them.

    Where the site counts accelerators (`tracked`, see `counts_accelerators`), a job without any held none; elsewhere
    it is taken to have held those of all its nodes.

    Raises:
        SchedulerUnknown: the answer cannot be read; an empty one is no answer.
    """
    lines = stdout.splitlines()
    if not lines or lines[0] != _HEADER:
        raise SchedulerUnknown("sacct gave no usable answer", where=repr(stdout[:200]))
    jobs: dict[tuple[str, datetime | None], SiteJob] = {}
    step_energy: dict[tuple[str, datetime | None], int] = {}
    latest: dict[str, tuple[str, datetime | None]] = {}
    for line in _whole(lines[1:]):
        cell = dict(zip(FIELDS, line.split("|", len(FIELDS) - 1), strict=False))
        if len(cell) < len(FIELDS):
            raise SchedulerUnknown("sacct printed a row that cannot be read", where=repr(line))
        job_id, dot, _ = cell["JobIDRaw"].partition(".")
        if dot:
            # A step stands below the run of the job it belongs to, and says its own time of submission.
            key = latest.get(job_id, (job_id, None))
            step_energy[key] = max(step_energy.get(key, 0), joules(cell["ConsumedEnergyRaw"]) or 0)
            continue
        job = _job(cell, accelerators_per_node, tracked=tracked)
        key = latest[job_id] = (job_id, job.report.submitted_at)
        jobs[key] = job
    for key, energy in step_energy.items():
        # Steps of one job measure the same nodes at the same time: the largest figure, never the sum.
        if energy and key in jobs and jobs[key].report.energy_joules is None:
            report = jobs[key].report.model_copy(update={"energy_joules": energy})
            jobs[key] = jobs[key].model_copy(update={"report": report})
    return tuple(jobs.values())


def counts_accelerators(stdout: str) -> bool:
    """`sacctmgr -nP show tres format=Type,Name`: whether accounting keeps gres/gpu."""
    return any(line.strip().lower().startswith("gres|gpu") for line in stdout.splitlines())


def assoc_mgr_arguments(accounts: Sequence[str]) -> tuple[str, ...]:
    return ("scontrol", "show", "assoc_mgr", "flags=assoc", f"accounts={','.join(accounts)}")


def sshare_arguments(accounts: Sequence[str]) -> tuple[str, ...]:
    return ("sshare", "-P", "-A", ",".join(accounts), "-o", ",".join(BUDGET_FIELDS))


def read_assoc_mgr(
    stdout: str,
    accelerators_per_node: int,
    *,
    at: datetime,
    cpus_per_node: int | None = None,
    config: str = "",
) -> tuple[SiteBudget, ...]:
    """`scontrol show assoc_mgr`: what each account itself (not its users) has used and may use, by the controller.

    `config` is the text of `scontrol show config`: from when on the counter counts, and whether it decays.
    """
    since, note = counter_period(config, at=at)
    found = []
    for record in re.split(r"\n(?=ClusterName=)", stdout):
        account = re.search(r"\bAccount=(\S+)", record)
        minutes = re.search(r"\bGrpTRESMins=(\S+)", record)
        of_a_user = re.search(r"\bUserName=[^\s(]+\(", record)
        if account is None or minutes is None or of_a_user is not None:
            continue
        limits, used = _limits_and_usage(minutes[1])
        found.append(
            _budget(account[1], used, limits, accelerators_per_node, cpus_per_node, at=at, since=since, note=note)
        )
    return tuple(found)


def read_sshare(
    stdout: str,
    accelerators_per_node: int,
    *,
    at: datetime,
    cpus_per_node: int | None = None,
    config: str = "",
) -> tuple[SiteBudget, ...]:
    """`sshare -P -o BUDGET_FIELDS`: the same counter, for those whom the controller does not answer."""
    lines = [line for line in stdout.splitlines() if line.strip()]
    if not lines or lines[0] != "|".join(BUDGET_FIELDS):
        raise SchedulerUnknown("sshare gave no usable answer", where=repr(stdout[:200]))
    since, note = counter_period(config, at=at)
    found = []
    for line in lines[1:]:
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) != len(BUDGET_FIELDS) or cells[1] or not cells[0]:
            continue
        limits, used = _minutes(cells[3]), _minutes(cells[4])
        found.append(
            _budget(cells[0], used, limits, accelerators_per_node, cpus_per_node, at=at, since=since, note=note)
        )
    return tuple(found)


def counter_period(config: str, *, at: datetime) -> tuple[datetime | None, str]:
    """From `scontrol show config`: when Slurm's usage was last set to nothing, and a word where it is no plain sum."""
    values = dict(re.findall(r"^(\w+)\s*=\s*(.*?)\s*$", config, re.MULTILINE))
    note = ""
    half_life = values.get("PriorityDecayHalfLife", "")
    if half_life and half_life not in ("00:00:00", "0"):
        note = f"This counter forgets: usage halves every {half_life}, so it is no sum of what was used."
    period = values.get("PriorityUsageResetPeriod", "")
    if period == "MONTHLY":
        return at.replace(day=1, hour=0, minute=0, second=0, microsecond=0), note
    if period == "YEARLY":
        return at.replace(month=1, day=1, hour=0, minute=0, second=0, microsecond=0), note
    if period not in ("", "NONE", "NOW"):
        note = f"{note} It starts anew each period ({period.lower()}).".strip()
    return None, note


def ask_budgets(
    ask: Callable[[Sequence[str]], str],
    accounts: Sequence[str],
    accelerators_per_node: int,
    *,
    at: datetime,
    cpus_per_node: int | None = None,
) -> tuple[SiteBudget, ...]:
    """The counters of some accounts; `ask` runs a command and returns what it printed, or raises SchedulerUnknown.

    The controller's own word; sshare's where the controller does not tell this user.
    """
    config = ask(("scontrol", "show", "config"))
    try:
        found = read_assoc_mgr(
            ask(assoc_mgr_arguments(accounts)), accelerators_per_node, at=at, cpus_per_node=cpus_per_node, config=config
        )
    except SchedulerUnknown:
        found = ()
    if found:
        return found
    shares = ask(sshare_arguments(accounts))
    return read_sshare(shares, accelerators_per_node, at=at, cpus_per_node=cpus_per_node, config=config)


def _whole(lines: Iterable[str]) -> list[str]:
    """Rows; a job's name may hold line breaks."""
    rows: list[str] = []
    for line in lines:
        if _ROW.match(line) and line.count("|") >= len(FIELDS) - 1:
            rows.append(line)
        elif rows:
            rows[-1] += f"\n{line}"
        elif line.strip():
            raise SchedulerUnknown("sacct printed a row that cannot be read", where=repr(line))
    return rows


def _job(cell: Mapping[str, str], accelerators_per_node: int, *, tracked: bool) -> SiteJob:
    state = job_state(cell["State"])
    submitted, started, ended = (timestamp(cell[name]) for name in ("Submit", "Start", "End"))
    if started is not None and ended is not None:
        # A run that was ended by a requeue says REQUEUED; it is over all the same.
        state = "cancelled" if state == "queued" else state
    held = tres(cell["AllocTRES"])
    nodes, cards = nodes_and_gpus(cell["AllocTRES"], cell["NNodes"])
    elapsed_s = int(cell["ElapsedRaw"]) if cell["ElapsedRaw"].isdigit() else 0
    final = state in FINAL_JOB_STATES
    report = JobReport(
        job_id=cell["JobIDRaw"],
        name=cell["JobName"].rstrip("\n"),
        state=state,
        raw_state=cell["State"],
        submitted_at=submitted,
        started_at=started,
        ended_at=ended if final else None,
        elapsed_s=float(elapsed_s),
        exit_code=exit_code(cell["ExitCode"]) if final else None,
        nodes=expand_nodes(cell["NodeList"]),
        accelerators=(cards or (0 if tracked else nodes * accelerators_per_node)) if started and held else 0,
        energy_joules=joules(cell["ConsumedEnergyRaw"]),
    )
    weight = held.get("billing")
    charged = f"{weight * elapsed_s} billing-seconds" if weight is not None and elapsed_s else None
    return SiteJob(
        report=report, account=cell["Account"], user=cell["User"], partition=cell["Partition"], site_amount=charged
    )


def _limits_and_usage(text: str) -> tuple[dict[str, int], dict[str, int]]:
    """'cpu=N(12),gres/gpu=40(2)': limit and, in brackets, usage; N is none."""
    limits, used = {}, {}
    for name, limit, usage in re.findall(r"([^,=]+)=(N|\d+)\((\d+)\)", text):
        used[name] = int(usage)
        if limit != "N":
            limits[name] = int(limit)
    return limits, used


def _minutes(text: str) -> dict[str, int]:
    """'cpu=64,mem=12K,gres/gpu=8' with Slurm's short figures."""
    pairs = re.findall(r"([^,=]+)=(\d+)([KMGT]?)", text)
    return {name: int(value) * _UNIT[unit] for name, value, unit in pairs}


def _budget(
    account: str,
    used: Mapping[str, int],
    limits: Mapping[str, int],
    accelerators_per_node: int,
    cpus_per_node: int | None,
    *,
    at: datetime,
    since: datetime | None,
    note: str,
) -> SiteBudget:
    """In the unit that is limited; else in the one that says most: accelerators, nodes, processors."""
    seconds: dict[str, float] = {"gres/gpu": 60.0, "node": 60.0 * accelerators_per_node}
    if cpus_per_node:
        seconds["cpu"] = 60.0 * accelerators_per_node / cpus_per_node
    known = [name for name in (*seconds, "cpu", "billing") if name in limits]
    used_in = [name for name in (*seconds, "cpu", "billing") if used.get(name)]
    name = next(iter((*known, *used_in)), "gres/gpu" if "gres/gpu" in used else "node")
    unit = {"gres/gpu": "GPU-minutes", "node": "node-minutes", "cpu": "CPU-minutes", "billing": "billing-minutes"}[name]
    factor = seconds.get(name)
    limit = limits.get(name)
    return SiteBudget(
        account=account,
        at=at,
        used=float(used.get(name, 0)) if used else None,
        limit=float(limit) if limit is not None else None,
        unit=unit,
        used_accelerator_seconds=round(used.get(name, 0) * factor) if used and factor else None,
        limit_accelerator_seconds=round(limit * factor) if limit is not None and factor else None,
        since=since,
        note=note,
    )
