"""On what file system a path lies, and whether a database file is safe there.

SQLite's locks cannot be relied on over network file systems (sqlite.org/useovernet.html): service and CLI refuse them.
"""

from __future__ import annotations

import os
from pathlib import Path

NETWORK_FILE_SYSTEMS = frozenset(
    {
        "nfs", "nfs3", "nfs4", "lustre", "gpfs", "beegfs", "cifs", "smb3", "smbfs", "ceph", "glusterfs", "afs", "9p",
        "panfs", "orangefs", "pvfs2", "weka", "wekafs", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.ceph-fuse",
        "fuse.juicefs", "fuse.s3fs",
    }
)  # fmt: skip


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
    return kind if kind in NETWORK_FILE_SYSTEMS else None
