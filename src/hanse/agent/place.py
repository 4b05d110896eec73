"""Prepare a run's folder for an attempt, after checking offline that its ticket allows what is asked.

Every file is written whole or not at all, so that an agent killed here simply begins again. The folder lies on a host,
this one or one behind SSH.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import stat
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from hanse.contracts.agentapi import Assignment
from hanse.contracts.errors import NoRoom, SiteError, TicketError
from hanse.contracts.rundir import AttemptDir, RunDir
from hanse.contracts.ticket import Ticket
from hanse.schedulers.host import Host, LocalHost
from hanse.schedulers.room import is_full
from hanse.tickets.signing import verify
from hanse.workloads.load import dump_spec

HERE = LocalHost()
_UNPACK = 'rm -rf -- "$1" && mkdir -p -- "$1" && tar -xzf - -C "$1" && mv -T -- "$1" "$2"'
_UNPACK_S = 600.0


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


def prepare(
    assignment: Assignment, run_dir: RunDir, fetch_code: Callable[[str], bytes], host: Host = HERE
) -> None:  # fmt: skip
    """Write everything the job reads.

    Raises:
        NoRoom: the disk is full.
        SiteError: the disk refuses otherwise, or the code bundle is not a safe archive.
        HostUnreachable: there is no connection to where it lies.
    """
    attempt = run_dir.attempt(assignment.number)
    try:
        host.make_dirs(attempt.root)
        host.write_atomically(run_dir.spec, dump_spec(assignment.spec).encode())
        host.write_atomically(run_dir.machine, assignment.machine.to_json().encode())
        if assignment.plan is not None:
            host.write_atomically(run_dir.plan, assignment.plan.to_json().encode())
        host.write_atomically(attempt.job, assignment.job.to_json().encode())
        host.write_atomically(attempt.ticket, assignment.ticket.to_json().encode())
    except OSError as error:
        raise kind_of(error, remote=host.remote)(
            f"the run's folder cannot be written: {error.strerror}", where=str(run_dir.root), fix="Make room there."
        ) from error
    if assignment.code_sha256 is not None and not host.exists(run_dir.code):
        archive = fetch_code(assignment.code_sha256)
        _unpack_there(archive, run_dir.code, host) if host.remote else unpack(archive, run_dir.code)


def _unpack_there(archive: bytes, target: Path, host: Host) -> None:
    """Unpacked here first, which tells whether it is safe; then there, beside its place and by one rename."""
    with tempfile.TemporaryDirectory(prefix="hanse-code-") as scratch:
        unpack(archive, Path(scratch) / "code")
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        done = host.run(
            ["sh", "-c", _UNPACK, "sh", str(aside), str(target)], input=archive, timeout_s=_UNPACK_S
        )  # fmt: skip
    except TimeoutError as error:
        raise NoRoom(f"the code bundle was not unpacked within {_UNPACK_S:g} s", where=str(target)) from error
    if done.returncode != 0 and not host.exists(target):
        said = " ".join(done.stderr.split())
        raise NoRoom(f"the code bundle cannot be unpacked: {said or done.returncode}", where=str(target))


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
        _share(aside, target.parent)
        aside.rename(target)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise kind_of(error)(f"the code bundle cannot be unpacked: {error}", where=str(target)) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _share(folder: Path, run: Path) -> None:
    """In a run's folder that the agent and the job's user share, the job may write beside its code as it may alone."""
    mode = run.stat().st_mode
    if not (mode & stat.S_ISGID and mode & stat.S_IWGRP):
        return
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o2070 if path.is_dir() else 0o060))


def ask_to_stop(attempt: AttemptDir, host: Host = HERE) -> bool:
    """Make the stop file that an attempt's trainer watches; whether it was made just now.

    Raises OSError, and HostUnreachable where there is no connection.
    """
    if host.exists(attempt.stop):
        return False
    host.write_atomically(attempt.stop, b"")
    return True


def kind_of(error: Exception, *, remote: bool = False) -> type[SiteError]:
    """A full disk passes, also one that SFTP tells in words or not at all; what the disk else refuses stays refused."""
    full = isinstance(error, OSError) and (is_full(error) or (remote and error.errno == errno.EIO))
    return NoRoom if full else SiteError
