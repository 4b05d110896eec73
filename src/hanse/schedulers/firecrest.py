"""The `firecrest` scheduler: a machine's FirecREST v2 over HTTPS, for sites whose login nodes take no agents.

One request tells of all jobs, whatever their number. Whatever FirecREST does not surely answer becomes
SchedulerUnknown; only a refusal that sbatch itself spoke, or a request that never came to it, becomes SiteError.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

from hanse.contracts.base import now
from hanse.contracts.errors import SchedulerUnknown, SiteError
from hanse.contracts.job import JobReport, JobSpec
from hanse.contracts.machine import Machine
from hanse.contracts.rundir import RunDir
from hanse.contracts.site import MachineState, SiteJob
from hanse.schedulers.firecrest_call import Line, Refused
from hanse.schedulers.firecrest_text import read_jobs, read_state
from hanse.schedulers.script import render
from hanse.schedulers.slurm_text import ENDED_ALREADY, MAYBE_TAKEN

if TYPE_CHECKING:
    from firecrest.v2 import Firecrest

WINDOW: Final = "7d"
"""The longest look back that FirecREST has; what waits or runs is told however old."""
SINGLY: Final = 16
"""So many jobs that a list leaves out are asked after one by one in a look; of the rest nothing is said."""
_SBATCH_SAID: Final = re.compile(r"exit_status:\s*[1-9]\d*.*?std_err:\s*(?P<said>.*)", re.DOTALL)
_NEVER_CAME: Final = frozenset({400, 403, 404, 413, 422})
"""FirecREST itself said no: it does not know the system, or the request's form, or the user may not."""


class FirecrestScheduler:
    """`line` speaks as one user: only that user's jobs are seen, and all jobs are submitted as that user.

    FirecREST v2 gives no way to signal a job, and what it tells of past jobs is no accounting: neither what they held
    nor their repeated runs. Both are said where they are asked for.
    """

    def __init__(self, machine: Machine, line: Line, *, clock: Callable[[], datetime] = now) -> None:
        self._machine = machine
        self._line = line
        self._clock = clock
        self._reads_requests: bool | None = None
        """Whether jobs are handed to sbatch, which reads the script's #SBATCH lines; None before it was asked."""

    submits_at_once = 1

    def submit(self, job: JobSpec, run_dir: RunDir, *, ticket_key: str, data_dir: str, after: str | None = None) -> str:
        if self._machine.scheduler.python is None and job.image is None:
            raise SiteError(
                f"nothing says which Python runs Hanse on {self._line.system}",
                where=self._machine.id,
                fix="Write scheduler.python into the machine's description.",
            )
        script = render(job, self._machine, run_dir, ticket_key=ticket_key, data_dir=data_dir, after=after)
        self._require_sbatch()
        folder = str(run_dir.attempt(job.attempt_number).root)
        try:
            answer = self._line.call(lambda c: c.submit(self._line.system, folder, script_str=script), always=True)
        except Refused as error:
            raise self._submission_failed(error) from error
        job_id = str(answer.get("jobId") or "")
        if not job_id.isdigit():
            raise SchedulerUnknown("FirecREST took the job and named no job id", where=self._machine.id)
        return job_id

    def _require_sbatch(self) -> None:
        """Slurm's REST interface reads no #SBATCH line: a job handed to it would lose its name, size and limits."""
        if self._reads_requests is None:
            systems = self._line.ask(lambda c: c.systems())
            ours = next((one for one in systems if one.get("name") == self._line.system), None)
            if ours is None:
                names = ", ".join(str(one.get("name")) for one in systems) or "none"
                raise SiteError(f"FirecREST knows no system {self._line.system!r}; it knows {names}")
            facts: Mapping[str, Any] = ours.get("scheduler") or {}
            if facts.get("type", "slurm") != "slurm":
                raise SiteError(f"{self._line.system} runs {facts['type']}, and job scripts are Slurm's")
            self._reads_requests = facts.get("connectionMode", "ssh") == "ssh"
        if not self._reads_requests:
            raise SiteError(
                "this FirecREST hands jobs to Slurm's REST interface, which reads no #SBATCH line",
                where=self._machine.id,
                fix="Ask the site for connection_mode ssh, or run the agent over SSH.",
            )

    def _submission_failed(self, error: Refused) -> SiteError:
        found = _SBATCH_SAID.search(error.message)
        said = re.sub(r"sbatch: (error: )?", "", found["said"]).strip() if found else ""
        if said and not MAYBE_TAKEN.search(said):
            return SiteError(
                f"Slurm refused the job: {said}",
                where=self._machine.id,
                fix="Check account, partition, QoS, nodes and time against what the site granted.",
            )
        if not found and error.status in _NEVER_CAME:
            return SiteError(f"FirecREST refused the job: {error.message}", where=self._machine.id)
        return SchedulerUnknown(f"no sure answer: {error.what}", where=self._machine.id)

    def observe(self, jobs: Mapping[str, str | None]) -> dict[str, tuple[JobReport, ...]]:
        if not jobs:
            return {}
        at, per_node = self._clock(), self._machine.accelerators_per_node
        answer: dict[str, tuple[JobReport, ...]] = dict.fromkeys(jobs, ())
        for report in read_jobs(self._line.ask(self._everything), per_node, at=at):
            if report.name in answer:
                answer[report.name] += (report,)
        unseen = [(name, job_id) for name, job_id in jobs.items() if job_id is not None and not answer[name]]
        for name, job_id in unseen[:SINGLY]:
            try:
                answer[name] = self._one(name, job_id, at)
            except Refused:
                del answer[name]
        for name, _ in unseen[SINGLY:]:
            del answer[name]
        return answer

    def _everything(self, client: Firecrest) -> list[dict[str, Any]]:
        from firecrest import NotImplementedOnAPIversion

        found: list[dict[str, Any]]
        try:
            found = client.job_info(self._line.system, time_window=WINDOW)
        except NotImplementedOnAPIversion:  # FirecREST before 2.6 looks back as far as sacct does by itself
            found = client.job_info(self._line.system)
        return found

    def _one(self, name: str, job_id: str, at: datetime) -> tuple[JobReport, ...]:
        try:
            found = self._line.call(lambda c: c.job_info(self._line.system, jobid=job_id))
        except Refused as error:
            if _is_unknown_job(error):
                return ()
            raise
        reports = read_jobs(found, self._machine.accelerators_per_node, at=at)
        return tuple(report for report in reports if report.name == name)

    def cancel(self, job_ids: Sequence[str]) -> None:
        """One request each: FirecREST ends no more at once. All are tried before one that failed is told of."""
        complaints = []
        for job_id in job_ids:
            try:
                self._line.call(partial(self._end, job_id=job_id), always=True)
            except Refused as error:
                if not _is_unknown_job(error) and not ENDED_ALREADY.search(error.message):
                    complaints.append(error.what)
            except SchedulerUnknown as error:
                complaints.append(error.what)
        if complaints:
            raise SchedulerUnknown(" · ".join(dict.fromkeys(complaints)), where=self._machine.id)

    def _end(self, client: Firecrest, job_id: str) -> None:
        client.cancel_job(self._line.system, job_id)

    def signal(self, job_ids: Sequence[str], signal: Literal["USR1"]) -> None:  # noqa: ARG002 - the seam's
        raise SiteError("FirecREST sends no signals to jobs", where=self._machine.id)

    def state(self) -> MachineState:
        queues, broken = read_state(
            self._line.ask(lambda c: c.partitions(self._line.system)),
            self._line.ask(lambda c: c.nodes(self._line.system)),
        )
        return MachineState(at=self._clock(), partitions=queues, bad_nodes=broken)

    def accounting(self, accounts: Sequence[str], since: datetime) -> tuple[SiteJob, ...]:  # noqa: ARG002 - the seam's
        if not accounts:
            return ()
        raise SchedulerUnknown(
            "FirecREST tells neither what past jobs held nor those that ran twice, and looks back seven days: "
            "no accounting to the second",
            where=self._machine.id,
        )


def _is_unknown_job(error: Refused) -> bool:
    """FirecREST asked the scheduler, which knows no such job; a 404 of another kind says nothing of it."""
    return error.status == 404 and "job not found" in error.message.lower()
