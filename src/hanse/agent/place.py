"""Prepare a run's folder for an attempt, after checking offline that its ticket allows what is asked.

Every file is written whole or not at all, so that an agent killed here simply begins again.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import tarfile
import zlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from hanse.contracts.agentapi import Assignment
from hanse.contracts.errors import NoRoom, SiteError, TicketError
from hanse.contracts.rundir import AttemptDir, RunDir
from hanse.contracts.ticket import Ticket
from hanse.files.durable import write_atomically
from hanse.tickets.signing import verify
from hanse.workloads.load import dump_spec


def check(assignment: Assignment, *, machine: str, ticket_key: str, at: datetime) -> Ticket:
    """The ticket, if the service signed it and it covers this job on this machine.

    Raises:
        TicketError: it does not; `what` names the first thing that does not fit.
    """
    ticket, job = verify(assignment.ticket, ticket_key, at=at), assignment.job
    held = job.nodes * job.accelerators_per_node * job.wall_time_s
    complaints = {
        f"it is for attempt {ticket.attempt_id}": ticket.attempt_id != assignment.attempt_id,
        f"it is for run {ticket.run_id}": ticket.run_id != assignment.run_id,
        f"it is for machine {ticket.machine}, and this is {machine}": ticket.machine != machine,
        "it is for another train.yaml": ticket.spec_hash != assignment.spec.digest(),
        "it is for other code": ticket.code_sha256 != assignment.code_sha256,
        f"the job asks for {job.nodes} nodes, it allows {ticket.max_nodes}": job.nodes > ticket.max_nodes,
        f"the job asks for {job.wall_time_s} s, it allows {ticket.max_wall_time_s} s": (
            job.wall_time_s > ticket.max_wall_time_s
        ),
        f"the job may hold {held} accelerator-seconds, it allows {ticket.max_accelerator_seconds}": (
            held > ticket.max_accelerator_seconds
        ),
    }
    for complaint, holds in complaints.items():
        if holds:
            raise TicketError(
                complaint,
                where=f"ticket of {assignment.attempt_id}",
                fix="Launch the run again for a ticket that fits.",
            )
    return ticket


def prepare(assignment: Assignment, run_dir: RunDir, fetch_code: Callable[[str], bytes]) -> None:
    """Write everything the job reads.

    Raises:
        NoRoom: the disk is full.
        SiteError: the disk refuses otherwise, or the code bundle is not a safe archive.
    """
    attempt = run_dir.attempt(assignment.number)
    try:
        attempt.root.mkdir(parents=True, exist_ok=True)
        write_atomically(run_dir.spec, dump_spec(assignment.spec))
        write_atomically(run_dir.machine, assignment.machine.to_json())
        if assignment.plan is not None:
            write_atomically(run_dir.plan, assignment.plan.to_json())
        write_atomically(attempt.job, assignment.job.to_json())
        write_atomically(attempt.ticket, assignment.ticket.to_json())
    except OSError as error:
        raise _kind_of(error)(
            f"the run's folder cannot be written: {error.strerror}", where=str(run_dir.root), fix="Make room there."
        ) from error
    if assignment.code_sha256 is not None and not run_dir.code.exists():
        unpack(fetch_code(assignment.code_sha256), run_dir.code)


def unpack(archive: bytes, target: Path) -> None:
    """Unpack a code bundle beside its place, then put it there in one rename.

    Raises:
        SiteError: an entry points outside the folder, or it is no gzipped tar, or is cut.
    """
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir(parents=True)
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
            tar.extractall(aside, filter="data")
        aside.rename(target)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise _kind_of(error)(f"the code bundle cannot be unpacked: {error}", where=str(target)) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def ask_to_stop(attempt: AttemptDir) -> bool:
    """Make the stop file that an attempt's trainer watches; whether it was made just now. Raises OSError."""
    if attempt.stop.exists():
        return False
    attempt.stop.touch()
    return True


def _kind_of(error: Exception) -> type[SiteError]:
    """A full disk passes; whatever else the disk refuses stays refused."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return NoRoom if full else SiteError
