"""Serving: gunicorn with one process of eight threads and the tick beside them.

Embedded, for one user on this machine: tables, tokens and calls are made first, a file lock keeps it to one service a
home, and endpoint.json appears only once the service answers, for those who wait for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import logging
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import httpx
import psutil

from hanse.contracts import jobenv
from hanse.contracts.errors import Conflict, UsageError
from hanse.files.pidfile import birth
from hanse.service import homes

if TYPE_CHECKING:
    from hanse.service.bootstrap import Credentials

THREADS = 8
MOST_PROCESSES = 4
MOST_ASKED = 64
TICK_EVERY_S = 30.0
ANSWER_WITHIN_S = 30.0
ORPHAN_WITHIN_S = 10.0
LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})

logger = logging.getLogger(__name__)


def serve(home: Path, *, host: str = "127.0.0.1", port: int = 8000, embedded: bool = False) -> None:
    """Serve until stopped; port 0 takes a free one.

    Raises:
        UsageError: the home or the address is not fit for it.
        Conflict: an embedded service already serves this home.
    """
    os.environ[jobenv.HOME] = str(home)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hanse.service.settings")
    if embedded:
        if host not in LOCAL_HOSTS:
            raise UsageError(
                "an embedded service belongs to one user and listens on this machine only",
                where=f"--host {host}",
                fix="leave --host out, or run hanse serve without --embedded behind HANSE_ALLOWED_HOSTS",
            )
        os.environ["HANSE_EMBEDDED"] = "1"
    _require_free(host, port)
    folder = homes.service_folder(home)
    lock = _only_one(folder) if embedded else None
    if _processes() > 1 and "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        counted = folder / "metrics"
        shutil.rmtree(counted, ignore_errors=True)  # of processes that are gone
        counted.mkdir()
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(counted)
    credentials = _prepare(folder, embedded)
    _Server(folder, host, port, credentials, lock).run()


def _require_free(host: str, port: int) -> None:
    """Look before the work of starting; gunicorn would say it late and five times."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    where = f"--host {host} --port {port}"
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except socket.gaierror as error:
            raise UsageError(f"{host} is no address of this machine", where=where, fix="leave --host out") from error
        except OSError as error:
            raise UsageError(
                f"{host}:{port} cannot be listened on: {error.strerror}",
                where=where,
                fix="choose another port, or 0, and an address of this machine",
            ) from error


def _only_one(folder: Path) -> IO[str]:
    """The lock on this home, with our process id in it.

    Gunicorn's worker inherits it, so it holds until both have ended: after a kill -9 of its parent the worker needs a
    second or so to notice, which is waited for.
    """
    if not os.environ.get("DATABASE_URL"):
        homes.refuse_network_file_system(folder)
    file = (folder / "serve.lock").open("a+", encoding="utf-8")
    pause = threading.Event()
    deadline = time.monotonic() + ORPHAN_WITHIN_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError as error:
            if _holder_lives(file) or time.monotonic() > deadline:
                file.close()
                raise Conflict(
                    "an embedded service already runs here",
                    where=str(folder),
                    fix="use it, or end it: hanse serve --stop",
                ) from error
            pause.wait(0.1)
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _holder_lives(file: IO[str]) -> bool:
    file.seek(0)
    written = file.read().strip()
    if not written.isdecimal():
        return True
    try:
        return psutil.Process(int(written)).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _prepare(folder: Path, embedded: bool) -> Credentials | None:
    import django

    django.setup()
    from django.db import connection

    from hanse.service import bootstrap

    try:
        if connection.vendor == "sqlite":
            with _in_turn(folder / "prepare.lock"):
                return bootstrap.ensure_embedded(folder) if embedded else bootstrap.prepare()
        if embedded:
            return bootstrap.ensure_embedded(folder)
        if missing := bootstrap.unapplied_migrations():
            raise UsageError(
                f"the database lacks {missing} migrations", where="DATABASE_URL", fix="run once: hanse manage prepare"
            )
    finally:
        connection.close()  # the worker is a fork; connections must not be shared with it
    return None


class _Server:
    """Gunicorn's application object, made late so that importing this module stays cheap."""

    def __init__(
        self, folder: Path, host: str, port: int, credentials: Credentials | None, lock: IO[str] | None
    ) -> None:
        self.endpoint = folder / "endpoint.json"
        self.bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.credentials = credentials
        self.lock = lock
        self.master = os.getpid()

    def run(self) -> None:
        from gunicorn.app.base import BaseApplication

        options = {
            "bind": self.bind, "worker_class": "gthread", "workers": _processes(), "threads": THREADS,
            "proc_name": "hanse",
            "loglevel": "warning", "errorlog": "-", "accesslog": None, "timeout": 120, "graceful_timeout": 5,
            "keepalive": 20, "post_worker_init": self._start_beside, "on_exit": self._leave,
            "control_socket_disable": True,
        }  # fmt: skip

        class Application(BaseApplication):  # type: ignore[misc]
            def load_config(self) -> None:
                for name, value in options.items():
                    if name in self.cfg.settings:
                        self.cfg.set(name, value)

            def load(self) -> Any:
                from hanse.service.wsgi import application

                return application

        if self.credentials:
            self.endpoint.unlink(missing_ok=True)
        Application().run()

    def _start_beside(self, worker: Any) -> None:
        """In each worker: the tick, and telling where we are once we answer."""
        _leave_what_is_loaded_alone()
        turn = self.endpoint.with_name("tick.lock")
        threading.Thread(target=_tick_for_ever, args=(turn,), name="tick", daemon=True).start()
        if self.credentials:
            host, port = worker.sockets[0].getsockname()[:2]
            url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
            threading.Thread(target=self._announce, args=(url, self.credentials), name="announce", daemon=True).start()

    def _announce(self, url: str, credentials: Credentials) -> None:
        if not _answers(url):
            return
        document = {
            "url": url,
            "pid": self.master,
            "birth": birth(self.master),
            "started_at": psutil.Process(self.master).create_time(),
            "token": credentials.user_token,
            "agent_token": credentials.agent_token,
            "token_file": str(credentials.user_token_file),
        }
        homes.write_private(self.endpoint, (json.dumps(document, indent=2) + "\n").encode())

    def _leave(self, _server: Any) -> None:
        if self.credentials:
            self.endpoint.unlink(missing_ok=True)


def _leave_what_is_loaded_alone() -> None:
    """Modules, templates and their like live as long as the process: searching them for garbage again and again took a
    tenth of the time of pages."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _processes() -> int:
    """One beside SQLite, which one process writes at a time; before a database server one a core, four at most.

    HANSE_PROCESSES says otherwise. Raises UsageError: it is no number, or more than one beside SQLite.
    """
    served, given = bool(os.environ.get("DATABASE_URL")), os.environ.get("HANSE_PROCESSES", "")
    if not given:
        return min(MOST_PROCESSES, os.cpu_count() or 1) if served else 1
    if not given.isdecimal() or not 1 <= int(given) <= (MOST_ASKED if served else 1):
        most = f"from 1 to {MOST_ASKED}" if served else "1 beside SQLite, which one process writes at a time"
        raise UsageError(
            f"{given} is no number of processes", where="HANSE_PROCESSES", fix=f"set it to {most}, or leave it out"
        )
    return int(given)


def _answers(url: str) -> bool:
    """Whether the service answers; asks until it does or `ANSWER_WITHIN_S` has passed."""
    pause, deadline = threading.Event(), time.monotonic() + ANSWER_WITHIN_S
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{url}/healthz", timeout=5, trust_env=False).is_success:
                return True
        pause.wait(0.05)
    logger.error("%s did not answer within %s s of its start", url, ANSWER_WITHIN_S)
    return False


@contextlib.contextmanager
def _in_turn(path: Path) -> Iterator[None]:
    """One process after another: two that make the tables of one home, or turn its WAL on, refuse each other."""
    with path.open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _held(path: Path) -> IO[str] | None:
    """The lock, until this process ends; None while another holds it."""
    file = path.open("a", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def _tick_for_ever(turn: Path) -> None:
    """In one of the workers: the others wait for their turn, which comes when that one has ended."""
    from django.db import close_old_connections

    from hanse.service.tick import tick

    pause = threading.Event()
    while (lock := _held(turn)) is None:
        pause.wait(TICK_EVERY_S)
    while not lock.closed:
        close_old_connections()
        try:
            tick()
        except Exception:
            logger.exception("the tick failed; it tries again in %s s", TICK_EVERY_S)
        close_old_connections()
        pause.wait(TICK_EVERY_S)
