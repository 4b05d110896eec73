"""A host behind SSH: one connection, kept open in a thread of its own, opened anew when it broke.

Host keys are always checked against known_hosts; ~/.ssh/config, the agent, certificates beside their keys and jump
hosts count as they do for ssh. Whatever the connection does not surely answer raises HostUnreachable.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import shlex
import threading
import time
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Final, TypeVar

import asyncssh

from hanse.contracts.base import now
from hanse.schedulers import ssh_certificate
from hanse.schedulers.host import Completed, HostUnreachable
from hanse.schedulers.ssh_certificate import Certificate

FIRST_BACKOFF_S: Final = 0.5
LONGEST_BACKOFF_S: Final = 60.0
KEEPALIVE_S: Final = 15
SESSIONS: Final = 8
"""At once on one connection; sshd allows ten unless told otherwise."""
_NO_COMMAND: Final = 127
T = TypeVar("T")


class SshHost:
    """`login` is what one would type after `ssh`: an alias of ~/.ssh/config, host, or user@host.

    Without `known_hosts` and `config` those of ~/.ssh count. Opening a connection takes at most `connect_within_s`.
    `jump` (host, user@host, each with :port; several with commas) is gone through first, with the same key and
    known hosts. `renew` is the command by which its user gets a new certificate, for messages.
    """

    remote = True

    def __init__(
        self,
        login: str,
        *,
        port: int | None = None,
        key: Path | None = None,
        jump: str | None = None,
        renew: str | None = None,
        known_hosts: Path | None = None,
        config: Path | None = None,
        connect_within_s: float = 30.0,
        files_within_s: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = login
        user, _, host = login.rpartition("@")
        own = config or Path.home() / ".ssh" / "config"
        self._options: dict[str, object] = {
            "host": host,
            "config": [str(own)] if own.exists() else None,
            "keepalive_interval": KEEPALIVE_S,
            "keepalive_count_max": 3,
            "connect_timeout": connect_within_s,
            "login_timeout": connect_within_s,
        }
        given = {
            "port": port,
            "username": user or None,
            "known_hosts": known_hosts and str(known_hosts),
        }
        self._options |= {name: value for name, value in given.items() if value is not None}
        self._key, self._renew = key, renew
        self._jumps = [one.strip() for one in (jump or "").split(",") if one.strip()]
        if key is not None:
            self._options |= {"client_keys": [str(key)], "agent_path": None}
        self._files_within_s = files_within_s
        self._connect_within_s = connect_within_s
        self._clock = clock
        self._connection: asyncssh.SSHClientConnection | None = None
        self._sftp: asyncssh.SFTPClient | None = None
        self._failures, self._quiet_until, self._words = 0, 0.0, ("", "")
        self._loop = asyncio.new_event_loop()
        self._opening = asyncio.Lock()
        self._sessions = asyncio.Semaphore(SESSIONS)
        threading.Thread(target=self._loop.run_forever, name=f"ssh {login}", daemon=True).start()

    @property
    def certificate(self) -> Certificate | None:
        """The one that lies beside the key, if a key was named and it has one."""
        if self._key is None:
            return None
        try:
            return ssh_certificate.read(ssh_certificate.beside(self._key))
        except (OSError, ValueError):
            return None

    def connect(self) -> None:
        """Open the connection if it is not open. Raises HostUnreachable with the reason and what to do."""
        self._do(self._open(), self._connect_within_s * 2)

    def close(self) -> None:
        """End the connection and its thread; the host is of no use afterwards."""
        if self._connection is not None:
            self._loop.call_soon_threadsafe(self._connection.abort)
        self._loop.call_soon_threadsafe(self._loop.stop)

    def run(
        self,
        argv: Sequence[str],
        *,
        input: bytes = b"",
        environment: Mapping[str, str] | None = None,
        cwd: PurePath | None = None,
        timeout_s: float = 60.0,
    ) -> Completed:
        variables = [f"{name}={value}" for name, value in (environment or {}).items()]
        line = f"exec {shlex.join(['env', *variables, *argv])}"
        if cwd is not None:
            line = f"cd {shlex.quote(str(cwd))} && {line}"
        done = self._do(self._run(shlex.join(["sh", "-c", line]), input, timeout_s, argv[0]), timeout_s)
        if done.returncode == _NO_COMMAND and argv[0] in done.stderr:
            raise FileNotFoundError(errno.ENOENT, f"there is no such command on {self.name}", argv[0])
        return done

    def read(self, path: PurePath, offset: int = 0, limit: int | None = None) -> bytes:
        async def read(sftp: asyncssh.SFTPClient) -> bytes:
            async with sftp.open(str(path), "rb") as file:
                content = await file.read(-1 if limit is None else limit, offset)
            return content if isinstance(content, bytes) else content.encode()

        return self._file(read, path)

    def read_many(self, paths: Sequence[PurePath], limit: int) -> dict[PurePath, bytes | None]:
        return self.tails(dict.fromkeys(paths, 0), limit)

    def tails(self, wanted: Mapping[PurePath, int], limit: int) -> dict[PurePath, bytes | None]:
        """The remote shell frames each file: '+', its bytes in base64, '.'; '-' for one that cannot be read."""
        if not wanted:
            return {}
        script = "".join(
            f'p={shlex.quote(str(path))}; if [ -f "$p" ] && [ -r "$p" ]; then echo +; '
            f'tail -c {_begin(offset)} -- "$p" | head -c {limit} | base64; echo .; else echo -; fi\n'
            for path, offset in wanted.items()
        )
        done = self.run(["sh", "-s"], input=script.encode(), timeout_s=self._files_within_s)
        found = _unframed(done.out)
        if done.returncode != 0 or found is None or len(found) != len(wanted):
            raise HostUnreachable("reading several files gave no usable answer", where=self.name)
        return dict(zip(wanted, found, strict=True))

    def size(self, path: PurePath) -> int | None:
        async def size(sftp: asyncssh.SFTPClient) -> int | None:
            return (await sftp.stat(str(path))).size

        try:
            return self._file(size, path)
        except FileNotFoundError:
            return None

    def exists(self, path: PurePath) -> bool:
        async def exists(sftp: asyncssh.SFTPClient) -> bool:
            return bool(await sftp.exists(str(path)))

        return self._file(exists, path)

    def write_atomically(self, path: PurePath, content: bytes) -> None:
        beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")

        async def write(sftp: asyncssh.SFTPClient) -> None:
            async with sftp.open(str(beside), "wb") as file:
                await file.write(content)
                await file.fsync()
            await sftp.posix_rename(str(beside), str(path))

        self._file(write, path)

    def make_dirs(self, path: PurePath) -> None:
        async def make(sftp: asyncssh.SFTPClient) -> None:
            await sftp.makedirs(str(path), exist_ok=True)

        self._file(make, path)

    def list(self, path: PurePath) -> tuple[str, ...]:
        async def names(sftp: asyncssh.SFTPClient) -> tuple[str, ...]:
            found = await sftp.listdir(str(path))
            return tuple(sorted(str(name) for name in found if name not in (".", "..")))

        return self._file(names, path)

    def put(self, local: Path, remote: PurePath) -> None:
        async def put(sftp: asyncssh.SFTPClient) -> None:
            await sftp.put(str(local), str(remote))

        self._file(put, remote)

    def get(self, remote: PurePath, local: Path) -> None:
        async def get(sftp: asyncssh.SFTPClient) -> None:
            await sftp.get(str(remote), str(local))

        self._file(get, remote)

    def _file(self, work: Callable[[asyncssh.SFTPClient], Coroutine[None, None, T]], path: PurePath) -> T:
        async def on_sftp() -> T:
            connection = await self._open()
            async with self._sessions:
                try:
                    if self._sftp is None:
                        self._sftp = await connection.start_sftp_client()
                    return await work(self._sftp)
                except (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection, asyncssh.DisconnectError) as error:
                    raise self._lost(str(error)) from error
                except asyncssh.SFTPError as error:
                    raise _as_os_error(error, path) from error

        return self._do(on_sftp(), self._files_within_s)

    async def _run(self, line: str, content: bytes, timeout_s: float, command: str) -> Completed:
        connection = await self._open()
        async with self._sessions:
            try:
                done = await connection.run(line, input=content, encoding=None, timeout=timeout_s)
            except asyncssh.TimeoutError as error:
                raise TimeoutError(f"{command} did not answer within {timeout_s:g} s") from error
            except (asyncssh.Error, OSError) as error:
                raise self._lost(str(error)) from error
        if done.returncode is None:
            raise self._lost("it was cut while a command ran")
        return Completed(done.returncode, _bytes(done.stdout), _bytes(done.stderr))

    async def _open(self) -> asyncssh.SSHClientConnection:
        async with self._opening:
            if self._connection is not None and not self._connection.is_closed():
                return self._connection
            if (rest_s := self._quiet_until - self._clock()) > 0:
                what, fix = self._words
                raise HostUnreachable(f"{what} (tried again in {rest_s:.1f} s)", where=self.name, fix=fix)
            self._sftp = None
            try:
                self._connection = await self._connected()
            except (asyncssh.Error, OSError, ValueError) as error:
                self._words = what, fix = self._diagnosis(error)
                self._failures += 1
                pause_s = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** min(self._failures - 1, 10))
                self._quiet_until = self._clock() + pause_s
                raise HostUnreachable(what, where=self.name, fix=fix) from error
            self._failures = 0
            return self._connection

    async def _connected(self) -> asyncssh.SSHClientConnection:
        """Host by host; each connection rests on the one before and ends with the last."""
        reached: asyncssh.SSHClientConnection | None = None
        try:
            for jump in self._jumps:
                user, _, place = jump.rpartition("@")
                host, _, port = place.partition(":")
                own = {name: value for name, value in self._options.items() if name not in ("port", "username")}
                own |= {"host": host} | ({"username": user} if user else {}) | ({"port": int(port)} if port else {})
                further = await asyncssh.connect(**own, **({"tunnel": reached} if reached else {}))
                if reached is not None:
                    further.set_tunnel(reached)
                reached = further
            opened = await asyncssh.connect(**self._options, **({"tunnel": reached} if reached else {}))
        except BaseException:
            if reached is not None:
                reached.abort()
            raise
        if reached is not None:
            opened.set_tunnel(reached)
        return opened

    def _diagnosis(self, error: Exception) -> tuple[str, str]:
        """What is wrong and what to do. A key that was refused may be one whose certificate has ended."""
        host = self._options["host"]
        if isinstance(error, asyncssh.HostKeyNotVerifiable):
            return (
                "its host key is not the one in known_hosts, or not in it",
                f"Compare the site's published fingerprint with 'ssh-keyscan {host} | ssh-keygen -lf -', "
                f"then 'ssh {self.name}' once.",
            )
        if isinstance(error, asyncssh.PermissionDenied):
            fault = self.certificate.fault(now()) if self.certificate else ""
            if fault:
                anew = f"Run '{self._renew}'" if self._renew else "Get a new certificate from the site"
                return fault, f"{anew} and {'it goes on by itself' if self._renew else 'put it beside the key'}."
            return (
                "it refuses the login: no key it knows was offered",
                f"Try 'ssh {self.name}'; register the key with the site, or name it with --key.",
            )
        if isinstance(error, asyncssh.KeyImportError | FileNotFoundError):
            return f"the key cannot be read: {error}", "Name another with --key, or add it to the agent: ssh-add."
        return f"no connection: {error or type(error).__name__}", f"Try 'ssh {self.name}' and look at the network."

    def _lost(self, words: str) -> HostUnreachable:
        if self._connection is not None:
            self._connection.abort()
        self._connection = self._sftp = None
        return HostUnreachable(f"the connection is gone: {words}", where=self.name, fix="It is opened again by itself.")

    def _do(self, work: Coroutine[None, None, T], timeout_s: float) -> T:
        """Wait in this thread for what is done in the other; a little longer than its own deadline."""
        waiting = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return waiting.result(timeout_s + self._connect_within_s * 2)
        except TimeoutError:
            waiting.cancel()
            raise


def _bytes(output: object) -> bytes:
    """asyncssh types a command's output as text or bytes; without an encoding it is bytes."""
    return output if isinstance(output, bytes) else b""


def _begin(offset: int) -> str:
    """Where tail begins: at a byte, counted from 1, or so many before the end."""
    return f"+{offset + 1}" if offset >= 0 else str(-offset)


def _unframed(answer: bytes) -> list[bytes | None] | None:
    """What `tails` prints; None if it is cut off."""
    found: list[bytes | None] = []
    body: list[bytes] | None = None
    for line in answer.splitlines():
        if body is None and line == b"-":
            found.append(None)
        elif body is None and line == b"+":
            body = []
        elif body is not None and line == b".":
            found.append(base64.b64decode(b"".join(body)))
            body = None
        elif body is not None:
            body.append(line)
        else:
            return None
    return found if body is None else None


def _as_os_error(error: asyncssh.SFTPError, path: PurePath) -> OSError:
    """SFTP's protocol 3, which OpenSSH speaks, tells a full disk as 'failure' only."""
    kinds: tuple[tuple[type[asyncssh.SFTPError], int], ...] = (
        (asyncssh.SFTPNoSuchFile, errno.ENOENT),
        (asyncssh.SFTPNoSuchPath, errno.ENOENT),
        (asyncssh.SFTPPermissionDenied, errno.EACCES),
        (asyncssh.SFTPFileAlreadyExists, errno.EEXIST),
        (asyncssh.SFTPNoSpaceOnFilesystem, errno.ENOSPC),
        (asyncssh.SFTPQuotaExceeded, errno.EDQUOT),
    )
    number = next((number for kind, number in kinds if isinstance(error, kind)), errno.EIO)
    return OSError(number, error.reason or "SFTP failure", str(path))
