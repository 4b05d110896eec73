"""How much room a folder has, in every form in which it is told."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hanse.schedulers.host import Completed, LocalHost
from hanse.schedulers.room import KIB, Room, ask_room, is_full, read_df, read_lfs_quota, read_project

LONG = """/lustre/orion-with-a-long-name
                 2048*      0    1024       -      12       0       0       -
"""
SHORT = " /scratch   [512]   1024       0       -       7     100     200       -\n"


def test_a_projects_quota_is_read_with_long_mounts_stars_and_brackets() -> None:
    over, soft = read_lfs_quota(LONG, "project 7"), read_lfs_quota(SHORT, "project 7")
    assert over == Room(used_bytes=2048 * KIB, limit_bytes=1024 * KIB, used_files=12, by="project 7")
    assert over is not None and over.free_bytes == 0
    assert soft is not None and (soft.free_bytes, soft.used_files, soft.limit_files) == (512 * KIB, 7, 200)


@pytest.mark.parametrize("said", ["", "Permission denied.", "/scratch 1 2", "/scratch a b c - d e f -"])
def test_what_is_no_quota_is_none(said: str) -> None:
    assert read_lfs_quota(said, "x") is None and read_df(said) is None and read_project(said) is None


def test_a_folder_without_a_project_has_none() -> None:
    assert read_project(" 1042 P /scratch/p1\n") == 1042
    assert read_project("    0 - /scratch/p1\n") is None


def test_where_there_is_no_lustre_the_file_system_says_it(tmp_path: Path) -> None:
    room = ask_room(LocalHost(), tmp_path)
    assert room is not None and room.limit_bytes is not None and room.used_bytes <= room.limit_bytes


def test_on_lustre_the_projects_quota_counts_before_the_file_system(tmp_path: Path) -> None:
    class Lustre(LocalHost):
        def run(self, argv: Sequence[str], **rest: Any) -> Completed:
            if argv[0] != "lfs":
                return super().run(argv, **rest)
            return Completed(0, (f" 1042 P {argv[-1]}\n" if argv[1] == "project" else SHORT).encode(), b"")

    room = ask_room(Lustre(), tmp_path)
    assert room is not None and (room.by, room.free_bytes) == ("project 1042", 512 * KIB)


def test_a_full_disk_is_known_by_number_or_by_words() -> None:
    assert is_full(OSError(errno.EDQUOT, "x")) and is_full(OSError(errno.ENOSPC, "x"))
    assert is_full(OSError(errno.EIO, "Failure: No space left on device"))
    assert not is_full(OSError(errno.EIO, "Failure"))
