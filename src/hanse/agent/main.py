"""Be one machine's agent: until SIGTERM, until a newer agent takes over, or for one round.

SIGTERM ends the agent and leaves the jobs; they are found again at the next start.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import random
import signal
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from hanse.agent import credentials, parts
from hanse.agent.credentials import Credentials
from hanse.agent.cycle import Agent
from hanse.agent.halt import Halt
from hanse.agent.setting import Setting
from hanse.agent.store import Store
from hanse.client.agent import AgentClient
from hanse.client.http import TokenRefused
from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, ServiceError, UsageError
from hanse.contracts.machine import Machine
from hanse.schedulers.base import Scheduler

logger = logging.getLogger("hanse.agent")

LOCAL_EVERY_S = 1.0
CLUSTER_EVERY_S = 10.0
"""Between two looks at a cluster's scheduler: its controller serves others too."""
LOCAL_STATE_EVERY_S = 10.0
LONGEST_BACKOFF_S = 60.0


def run(
    url: str,
    token: str,
    machine: Machine,
    scheduler: Scheduler,
    home: Path,
    once: bool = False,
    *,
    every_s: float | None = None,
    setting: Setting | None = None,
    kept: Credentials | None = None,
) -> None:
    """Be `machine`'s agent until SIGTERM, or for one round. `kept` credentials are renewed before they end.

    Raises:
        UsageError: another agent of this machine runs with the same home; the service refused this one.
        Conflict: a newer agent has taken over this machine.
        TokenRefused: the token was revoked or has ended; jobs go on.
    """
    local = machine.scheduler.kind == "local"
    every_s = every_s or (LOCAL_EVERY_S if local else CLUSTER_EVERY_S)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    for chatty in ("httpx", "asyncssh"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    stop = threading.Event()
    folder = home / "agent" / machine.id
    setting = setting or Setting()
    work = setting.work or home / "work"
    setting.halt = setting.halt or Halt(folder)
    if local:
        setting.state_every = timedelta(seconds=LOCAL_STATE_EVERY_S)
    with _alone(folder), _until_signalled(stop):
        store = Store(folder / "agent.sqlite3")
        with contextlib.closing(store), AgentClient(url, token) as service:
            setting.courier = setting.courier or parts.courier_of(
                machine, service, folder, work, setting.host
            )  # fmt: skip
            setting.meter = setting.meter or parts.meter_of(scheduler, folder)
            agent: Agent | None = None
            backoff_s = every_s
            while not stop.is_set():
                try:
                    if agent is None:
                        agent = Agent(service, machine, scheduler, store, work, setting)
                        logger.info("agent of %s, epoch %d, at %s", machine.id, agent.welcome.epoch, url)
                    changed = agent.cycle()
                    kept = _renewed(kept, service, folder)
                    backoff_s = every_s
                except Conflict:
                    raise
                except TokenRefused as error:
                    if (fresh := credentials.read(folder)) is None or not service.takes(fresh.token):
                        raise _put_out(error) from error
                    kept = fresh  # it was enrolled again while it ran
                    continue
                except ServiceError as error:
                    if once:
                        raise
                    logger.warning("%s; trying again in %.0f s", error.what, backoff_s)
                    changed = agent.pursue() if agent else False
                    stop.wait(backoff_s * random.uniform(0.5, 1.0))  # noqa: S311 - spreads retries  # nosec
                    backoff_s = min(2 * backoff_s, LONGEST_BACKOFF_S)
                    continue
                if once:
                    agent.sync()
                    return
                if not changed:
                    stop.wait(every_s)


def _renewed(kept: Credentials | None, service: AgentClient, folder: Path) -> Credentials | None:
    """The credentials, new ones in the last third of their life. On disk before they are used."""
    if kept is None or not kept.is_due(now()):
        return kept
    given = service.renew()
    kept = kept.renewed(given.token, given.expires_at)
    credentials.keep(kept, folder)
    service.takes(given.token)
    logger.info("the agent's token was renewed; the new one ends on %s", given.expires_at and given.expires_at.date())
    return kept


def _put_out(error: TokenRefused) -> TokenRefused:
    return TokenRefused(
        f"{error.what}; this agent ends, its jobs go on",
        where=error.where,
        fix="A site operator makes a new code (POST /api/v1/agents/codes); then: hanse agent --enrol CODE",
    )


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                "another agent of this machine runs already", where=str(folder), fix="One is enough: leave it running."
            ) from None
        yield
    finally:
        os.close(lock)


@contextlib.contextmanager
def _until_signalled(stop: threading.Event) -> Iterator[None]:
    def end(*_: object) -> None:
        logger.info("stopping; jobs go on, and are found again at the next start")
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
