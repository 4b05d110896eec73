"""What the job of one leg among several reads beside its ticket: the terms, and the key that signs its files."""

from __future__ import annotations

import base64
import json
import logging
import stat
from collections.abc import Callable
from pathlib import Path

from hanse.agent import place
from hanse.contracts.agentapi import Exchange, LostLegs
from hanse.contracts.errors import SiteError, TicketError
from hanse.contracts.rundir import RunDir
from hanse.contracts.ticket import Ticket
from hanse.files.durable import write_atomically
from hanse.schedulers.host import Host
from hanse.tickets import keys

logger = logging.getLogger("hanse.agent")

_PRIVATELY = 'umask 077 && cat > "$1.new" && mv -fT -- "$1.new" "$1"'


def write(exchange: Exchange, ticket: Ticket, run: RunDir, host: Host = place.HERE) -> None:
    """Check against the ticket what the service gave, then write it; the key for the job's user alone.

    Raises:
        TicketError: the terms are others than those the ticket names, or the key is another's.
        NoRoom, SiteError: the folder cannot be written.
        HostUnreachable: there is no connection to where it lies.
    """
    launch, key = exchange.launch, base64.b64decode(exchange.key)
    if launch.terms.digest() != ticket.outer_sha256 or launch.terms.run_id != ticket.run_id:
        raise TicketError(
            "the terms of the legs are not those that the ticket names", where=f"ticket of {ticket.attempt_id}",
            fix="Launch the run again for a ticket that fits.",
        )  # fmt: skip
    if keys.public_key_b64(key) != launch.terms.leg(launch.leg).public_key:
        raise TicketError(f"the key is not that of leg {launch.leg}", where=f"ticket of {ticket.attempt_id}")
    try:
        for box in (run.outbox, run.inbox):
            host.make_dirs(box)
        host.write_atomically(run.outer, launch.to_json().encode())
        if host.remote:
            _write_there(run.exchange_key, key, host)
        else:
            _write_here(run, key)
    except OSError as error:
        raise place.kind_of(error, remote=host.remote)(
            f"the run's folder cannot be written: {error.strerror}", where=str(run.root), fix="Make room there."
        ) from error


def _write_here(run: RunDir, key: bytes) -> None:
    """For the owner alone; where the agent and the job's user share the folder, for their group too."""
    write_atomically(run.exchange_key, key, private=True)
    mode = run.root.stat().st_mode
    if mode & stat.S_ISGID and mode & stat.S_IWGRP:
        run.exchange_key.chmod(0o640)


def _write_there(path: Path, key: bytes, host: Host) -> None:
    done = host.run(["sh", "-c", _PRIVATELY, "sh", str(path)], input=key, timeout_s=60.0)
    if done.returncode:
        said = " ".join(done.stderr.split())
        raise SiteError(f"the leg's key cannot be written: {said or done.returncode}", where=str(path))


class Absences:
    """Tells the jobs of this machine which other legs were given up; each change is written once."""

    def __init__(self, run_dir_of: Callable[[str], RunDir], host: Host = place.HERE) -> None:
        self._run_dir_of, self._host = run_dir_of, host
        self._told: dict[str, tuple[str, ...]] = {}

    def tell(self, lost: tuple[LostLegs, ...]) -> None:
        """Raises HostUnreachable if there is no connection; a folder that cannot be written is tried again."""
        named = {each.run_id: each.names for each in lost}
        for run_id in {**self._told, **named}:
            names = named.get(run_id, ())
            if self._told.get(run_id) == names:
                continue
            try:
                self._host.write_atomically(self._run_dir_of(run_id).absent, json.dumps(names).encode())
            except FileNotFoundError:  # no job was prepared there yet
                continue
            except OSError as error:
                logger.warning("run %s is not told which legs were lost: %s", run_id, error.strerror)
                continue
            self._told[run_id] = names
        self._told = {run_id: names for run_id, names in self._told.items() if names}
