"""What the site's policy says to one attempt: go, wait, or no; each with the rule in a sentence. Pure.

A rule that only time or other jobs' ends can satisfy holds the attempt; every other violation refuses it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hanse.contracts.agentapi import Assignment
from hanse.contracts.job import JobSpec
from hanse.contracts.policy import MaintenanceWindow, SitePolicy

ON_THE_WAY = timedelta(minutes=5)
"""A job submitted now starts at once at the earliest, and ends a little after its wall time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """It may go later."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    reason: str


@dataclass(slots=True)
class Load:
    """Jobs of Hanse's on this machine that have not ended, counted once a look and kept up while submitting."""

    total: int = 0
    by_project: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, submitted: Iterable[Assignment]) -> Load:
        load = cls()
        for assignment in submitted:
            load.add(assignment)
        return load

    def add(self, assignment: Assignment) -> None:
        self.total += 1
        self.by_project[assignment.project or ""] += 1


def judge(policy: SitePolicy, assignment: Assignment, load: Load, *, at: datetime) -> Held | Refused | None:
    """The first rule in the way of submitting this attempt now; None if there is none. Refusals come first."""
    refusal = next(_violations(policy, assignment), None)
    if refusal is not None:
        return Refused(reason=f"This site's policy does not allow it: {refusal}.")
    return hold(policy, assignment.job, load, assignment.project or "", at=at)


def hold(policy: SitePolicy, job: JobSpec, load: Load, project: str, *, at: datetime) -> Held | None:
    if policy.drain:
        because = f": {policy.drain_reason}" if policy.drain_reason else ""
        return Held(reason=f"The site takes no new jobs{because}.")
    for window in policy.maintenance:
        if _reaches_into(job, window, at):
            because = f" ({window.reason})" if window.reason else ""
            return Held(
                reason=f"Its wall time of {_hours(job.wall_time_s)} would reach into the maintenance{because} "
                f"from {_time(window.starts)} to {_time(window.ends)}."
            )
    if policy.max_open_jobs is not None and load.total >= policy.max_open_jobs:
        return Held(reason=f"The site allows {policy.max_open_jobs} jobs of Hanse's at once, and that many are open.")
    most = policy.max_open_jobs_per_project
    if most is not None and load.by_project[project] >= most:
        return Held(reason=f"The site allows {most} jobs of one project at once, and that many of its are open.")
    return None


def _violations(policy: SitePolicy, assignment: Assignment) -> Iterator[str]:
    job, spec = assignment.job, assignment.spec
    if policy.projects is not None and assignment.project not in policy.projects:
        yield f"project {assignment.project or '(none named)'} is not among its projects"
    if policy.users is not None and assignment.user not in policy.users:
        yield f"user {assignment.user or '(none named)'} is not among its users"
    if policy.accounts is not None and job.account not in policy.accounts:
        yield f"account {job.account or '(none named)'} is not among its accounts"
    if policy.partitions is not None and job.partition not in policy.partitions:
        yield f"partition {job.partition or '(none named)'} is not among {', '.join(policy.partitions)}"
    if policy.max_nodes is not None and job.nodes > policy.max_nodes:
        yield f"the job asks for {job.nodes} nodes, it allows {policy.max_nodes}"
    if policy.max_wall_time_s is not None and job.wall_time_s > policy.max_wall_time_s:
        yield f"the job asks for {_hours(job.wall_time_s)}, it allows {_hours(policy.max_wall_time_s)}"
    if assignment.code_sha256 is not None and policy.code != "any" and assignment.code_sha256 not in policy.code:
        yield f"the code bundle {assignment.code_sha256[:12]}… is not approved"
    if policy.commands != "any" and (foreign := [line for line in _lines(job) if line not in policy.commands]):
        yield f"the command {foreign[0]!r} is not among its commands"
    if (policy.commands != "any" or policy.code != "any") and job.environment:
        yield f"the job sets {min(job.environment)}, and variables can bring code that is not approved"
    if job.image is not None and policy.images is not None and not job.image.startswith(policy.images):
        yield f"the image {job.image} is of none of its sources"
    if not policy.personal_data and (named := [data.name for data in spec.data if data.personal_data]):
        yield f"the dataset {named[0]} holds personal data"
    identity = policy.identity
    if identity.mode != "own" and not (assignment.user in identity.users or assignment.project in identity.projects):
        yield f"no Unix user is named for {assignment.user or '(no user)'} of {assignment.project or '(no project)'}"


def _lines(job: JobSpec) -> list[str]:
    """What the job runs besides Hanse's own trainer: read from the job itself, whatever its spec says."""
    foreign = [step.argv for step in job.steps if step.argv[:2] != ("hanse", "train")]
    return [argv[2] if argv[:2] == ("bash", "-c") and len(argv) == 3 else " ".join(argv) for argv in foreign]


def _reaches_into(job: JobSpec, window: MaintenanceWindow, at: datetime) -> bool:
    if window.partitions and job.partition not in window.partitions:
        return False
    return at < window.ends and at + timedelta(seconds=job.wall_time_s) + ON_THE_WAY > window.starts


def unix_user(policy: SitePolicy, assignment: Assignment) -> str | None:
    """The Unix user this attempt runs as; None: the agent's own."""
    identity = policy.identity
    if identity.mode == "own":
        return None
    return identity.users.get(assignment.user or "") or identity.projects.get(assignment.project or "")


def with_excluded(policy: SitePolicy, job: JobSpec) -> JobSpec:
    """The job, kept off the nodes that the site names too."""
    further = tuple(node for node in policy.exclude_nodes if node not in job.exclude)
    return job.model_copy(update={"exclude": (*job.exclude, *further)}) if further else job


def sentences(policy: SitePolicy) -> tuple[str, ...]:
    """What binds, for people; the order is that of the file's reference."""
    lists = (
        ("Projects", policy.projects), ("Accounts", policy.accounts), ("Users", policy.users),
        ("Partitions", policy.partitions), ("Container images from", policy.images),
    )  # fmt: skip
    told = [f"{what}: {', '.join(names) or 'none'}." for what, names in lists if names is not None]
    if policy.max_nodes is not None:
        told.append(f"At most {policy.max_nodes} nodes a job.")
    if policy.max_wall_time_s is not None:
        told.append(f"At most {_hours(policy.max_wall_time_s)} a job.")
    if policy.max_open_jobs is not None:
        told.append(f"At most {policy.max_open_jobs} jobs at once.")
    if policy.max_open_jobs_per_project is not None:
        told.append(f"At most {policy.max_open_jobs_per_project} jobs of one project at once.")
    if policy.code != "any":
        told.append("No code of users'." if policy.code == "none" else f"{len(policy.code)} approved code bundles.")
    if policy.commands != "any":
        told.append("No commands." if policy.commands == "none" else f"Commands: {', '.join(policy.commands)}.")
    if not policy.personal_data:
        told.append("No personal data.")
    for window in policy.maintenance:
        because = f": {window.reason}" if window.reason else ""
        told.append(f"Maintenance from {_time(window.starts)} to {_time(window.ends)}{because}.")
    if policy.drain:
        told.append("It drains: no new jobs" + (f", {policy.drain_reason}." if policy.drain_reason else "."))
    if policy.exclude_nodes:
        told.append(f"Nodes not used: {', '.join(policy.exclude_nodes)}.")
    if policy.scheduler_calls_per_minute is not None:
        told.append(f"At most {policy.scheduler_calls_per_minute} calls of the scheduler a minute.")
    if policy.identity.mode != "own":
        told.append(f"Jobs run as {len({*policy.identity.users.values(), *policy.identity.projects.values()})} users.")
    return tuple(told)


def _hours(seconds: int) -> str:
    hours, minutes = divmod(-(-seconds // 60), 60)
    return f"{hours} h" if not minutes else f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _time(moment: datetime) -> str:
    zone = moment.strftime("%z")
    return f"{moment:%Y-%m-%d %H:%M} {'UTC' if zone == '+0000' else f'{zone[:3]}:{zone[3:]}'}"
