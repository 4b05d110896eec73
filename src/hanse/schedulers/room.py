"""How much room a folder on a machine has: by its Lustre project's quota, else by what its file system says.

Pure parsers and one function that asks with `Host.run` alone. The form of the answers is that of Lustre's `lfs quota`
and `lfs project` (man pages lfs-quota and lfs-project, lustre/utils/lfs.c) and of POSIX `df -P`.
"""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from hanse.schedulers.host import Host

KIB: Final = 1024
_FULL_WORDS: Final = re.compile(r"no space left|quota exceeded|disk full|out of space|not enough space", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """`limit_bytes` and `limit_files` None: there is no limit, or it is not told."""

    used_bytes: int
    limit_bytes: int | None
    used_files: int | None = None
    limit_files: int | None = None
    by: str
    """'project 1042', or the file system's name."""

    @property
    def free_bytes(self) -> int | None:
        return None if self.limit_bytes is None else max(0, self.limit_bytes - self.used_bytes)


def read_project(said: str) -> int | None:
    """The id in `lfs project -d`'s line ('1042 P /scratch/p1'); None for 0, which is no project."""
    found = re.match(r"\s*(\d+)\s+[P-]\s", said)
    return int(found[1]) if found and int(found[1]) else None


def read_lfs_quota(said: str, by: str) -> Room | None:
    """Of `lfs quota -q`: mount, KiB used, soft, hard, grace, then files in the same way. None for anything else.

    A long mount has a line of its own; '*' marks what is over its limit, brackets what a server did not confirm. The
    hard limit counts where there is one, else the soft one; 0 is none.
    """
    found = re.search(r"^\s*(/\S*)\s+(.*)", said, re.MULTILINE | re.DOTALL)
    cells = [cell.strip("*[]") for cell in found[2].split()[:8]] if found else []
    numbers = [cells[place] for place in (0, 1, 2, 4, 5, 6)] if len(cells) == 8 else []
    if not numbers or not all(cell.isdigit() for cell in numbers):
        return None
    used, soft, hard, files, soft_files, hard_files = (int(cell) for cell in numbers)
    return Room(
        used_bytes=used * KIB, limit_bytes=(hard or soft) * KIB or None, used_files=files,
        limit_files=hard_files or soft_files or None, by=by,
    )  # fmt: skip


def read_df(said: str) -> Room | None:
    """Of `df -P -k`: a header, then name, KiB in all, used, available, share and mount. None for anything else."""
    lines = said.strip().splitlines()
    found = re.match(r"(\S+)\s+\d+\s+(\d+)\s+(\d+)\s+\d+%", lines[-1]) if len(lines) > 1 else None
    if found is None:
        return None
    used, available = int(found[2]) * KIB, int(found[3]) * KIB
    return Room(used_bytes=used, limit_bytes=used + available, by=found[1])


def ask_room(host: Host, folder: PurePath) -> Room | None:
    """The narrowest that is told; None where nothing is. Raises HostUnreachable."""
    if project := read_project(_said(host, "lfs", "project", "-d", str(folder)) or ""):
        said = _said(host, "lfs", "quota", "-q", "-p", str(project), str(folder))
        room = read_lfs_quota(said or "", f"project {project}")
        if room is not None and room.limit_bytes is not None:
            return room
    return read_df(_said(host, "df", "-P", "-k", str(folder)) or "")


def _said(host: Host, *command: str) -> str | None:
    try:
        done = host.run(command, timeout_s=30.0)
    except (FileNotFoundError, TimeoutError):
        return None
    return done.stdout if done.returncode == 0 else None


def is_full(error: OSError) -> bool:
    """Whether a disk is full or a quota used up; over SFTP there is often no number for it, only the words."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT) or _FULL_WORDS.search(str(error)) is not None
