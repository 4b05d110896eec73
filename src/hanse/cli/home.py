"""Where this installation keeps its state (HANSE_HOME), and whether a file system may hold it.

SQLite's locks do not hold on network file systems, so the embedded service is refused there.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from hanse.contracts import jobenv

NETWORK_FILE_SYSTEMS = frozenset(
    {
        "nfs", "nfs4", "lustre", "gpfs", "beegfs", "cifs", "smb3", "smbfs", "ceph", "glusterfs", "afs", "9p", "panfs",
        "orangefs", "pvfs2", "weka", "wekafs", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.juicefs", "fuse.s3fs",
    }
)  # fmt: skip


class Home(NamedTuple):
    root: Path

    @property
    def service(self) -> Path:
        return self.root / "service"

    @property
    def endpoint(self) -> Path:
        return self.service / "endpoint.json"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def local_machine(self) -> Path:
        return self.root / "machines" / "local.json"

    @property
    def config(self) -> Path:
        return self.root / "config.toml"

    def agent(self, machine: str) -> Path:
        return self.root / "agent" / machine


def home() -> Home:
    """HANSE_HOME, else $XDG_DATA_HOME/hanse, else ~/.local/share/hanse. Nothing is created."""
    given = os.environ.get(jobenv.HOME)
    if given:
        return Home(Path(given).expanduser().absolute())
    data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Home(Path(data) / "hanse")


def short(path: Path) -> str:
    """A path as one would type it: relative to here, or with ~."""
    absolute = path.absolute()
    if absolute.is_relative_to(Path.cwd()):
        return str(absolute.relative_to(Path.cwd()))
    if absolute.is_relative_to(Path.home()):
        return f"~/{absolute.relative_to(Path.home())}"
    return str(absolute)


def file_system(path: Path, mounts: str | None = None) -> str:
    """The type of the file system `path` lies on or would lie on ('ext4', 'lustre'); '' where /proc tells nothing.

    `mounts` is the text of /proc/self/mounts.
    """
    if mounts is None:
        try:
            mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
    real = Path(os.path.realpath(path))
    best, kind = -1, ""
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) < 3:
            continue
        point = fields[1].replace("\\040", " ")
        if (real == Path(point) or Path(point) in real.parents) and len(point) >= best:
            best, kind = len(point), fields[2]
    return kind


def on_network(path: Path, mounts: str | None = None) -> str | None:
    """The name of the network file system `path` lies on, or None."""
    kind = file_system(path, mounts)
    return kind if kind in NETWORK_FILE_SYSTEMS or kind.startswith("nfs") else None
