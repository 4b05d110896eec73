"""Where a scheduler's commands run and its files lie: this computer, or one behind SSH. Everything else is the same.

A command that did not start or did not end in time raises; one that ran is a `Completed`, whatever its return code.
Files raise OSError (FileNotFoundError and its like) on every host; one that cannot be reached raises HostUnreachable.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Final, NamedTuple, Protocol

from hanse.contracts.errors import SchedulerUnknown
from hanse.files.durable import write_atomically
from hanse.schedulers.environment import inherited

SLURM_SETTINGS: Final = ("SBATCH_", "SQUEUE_", "SACCT_", "SCANCEL_", "SLURM_")
"""Variables that change what Slurm's commands do or print; an agent inside a job would carry that job's."""
_KEPT: Final = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT")


class Completed(NamedTuple):
    """A command that ran to its end. Bytes that are no UTF-8 are replaced in the texts."""

    returncode: int
    """Negative: the signal that ended it."""
    out: bytes
    err: bytes

    @property
    def stdout(self) -> str:
        return self.out.decode(errors="replace")

    @property
    def stderr(self) -> str:
        return self.err.decode(errors="replace")


class HostUnreachable(SchedulerUnknown):
    """The host gave no answer: whatever was asked is unknown."""


class Host(Protocol):
    """A computer on which a user may run commands and keep files."""

    @property
    def name(self) -> str:
        """For messages."""
        ...

    @property
    def remote(self) -> bool:
        """Whether its files and interpreters are others than this process's."""
        ...

    def run(
        self,
        argv: Sequence[str],
        *,
        input: bytes = b"",
        environment: Mapping[str, str] | None = None,
        cwd: PurePath | None = None,
        timeout_s: float = 60.0,
    ) -> Completed:
        """Run a command (no shell); `environment` is added to the host's own.

        Raises:
            FileNotFoundError: there is no such command.
            TimeoutError: it did not end in time; it may have done its work.
            HostUnreachable: the connection is gone; it may have done its work.
        """
        ...  # fmt: skip

    def read(self, path: PurePath, offset: int = 0, limit: int | None = None) -> bytes: ...

    def read_many(self, paths: Sequence[PurePath], limit: int) -> dict[PurePath, bytes | None]:
        """The first `limit` bytes of each in one exchange; None for what is not there or cannot be read."""
        ...

    def tails(self, wanted: Mapping[PurePath, int], limit: int) -> dict[PurePath, bytes | None]:
        """From each path at most `limit` bytes from its offset on, in one exchange; None as in `read_many`.

        An offset below 0 counts from the end, as far as the file goes back.
        """
        ...

    def size(self, path: PurePath) -> int | None:
        """None: not there."""
        ...

    def exists(self, path: PurePath) -> bool: ...

    def write_atomically(self, path: PurePath, content: bytes) -> None:
        """A reader sees what was there before or all of `content`."""
        ...

    def make_dirs(self, path: PurePath) -> None: ...

    def list(self, path: PurePath) -> tuple[str, ...]:
        """The names in a folder, sorted."""
        ...

    def put(self, local: Path, remote: PurePath) -> None: ...

    def get(self, remote: PurePath, local: Path) -> None: ...


class LocalHost:
    """This computer, without Hanse's own settings and secrets in what it runs."""

    name = "this machine"
    remote = False

    def run(
        self, argv: Sequence[str], *, input: bytes = b"", environment: Mapping[str, str] | None = None,
        cwd: PurePath | None = None, timeout_s: float = 60.0,
    ) -> Completed:  # fmt: skip
        kept = {name: value for name, value in inherited().items() if name in _KEPT}
        try:
            done = subprocess.run(
                [*argv], capture_output=True, input=input, timeout=timeout_s, cwd=cwd, check=False,
                env=inherited(SLURM_SETTINGS) | kept | dict(environment or {}),
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"{argv[0]} did not answer within {timeout_s:g} s") from error
        return Completed(done.returncode, done.stdout, done.stderr)

    def read(self, path: PurePath, offset: int = 0, limit: int | None = None) -> bytes:
        with Path(path).open("rb") as file:
            file.seek(offset)
            return file.read(-1 if limit is None else limit)

    def read_many(self, paths: Sequence[PurePath], limit: int) -> dict[PurePath, bytes | None]:
        return self.tails(dict.fromkeys(paths, 0), limit)

    def tails(self, wanted: Mapping[PurePath, int], limit: int) -> dict[PurePath, bytes | None]:
        found: dict[PurePath, bytes | None] = {}
        for path, offset in wanted.items():
            try:
                begins = offset if offset >= 0 else max(0, Path(path).stat().st_size + offset)
                found[path] = self.read(path, begins, limit)
            except OSError:
                found[path] = None
        return found

    def size(self, path: PurePath) -> int | None:
        try:
            return Path(path).stat().st_size
        except FileNotFoundError:
            return None

    def exists(self, path: PurePath) -> bool:
        return Path(path).exists()

    def write_atomically(self, path: PurePath, content: bytes) -> None:
        write_atomically(Path(path), content)

    def make_dirs(self, path: PurePath) -> None:
        Path(path).mkdir(parents=True, exist_ok=True)

    def list(self, path: PurePath) -> tuple[str, ...]:
        return tuple(sorted(entry.name for entry in Path(path).iterdir()))

    def put(self, local: Path, remote: PurePath) -> None:
        shutil.copyfile(local, remote)

    def get(self, remote: PurePath, local: Path) -> None:
        shutil.copyfile(remote, local)
