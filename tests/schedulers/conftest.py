"""A spool whose jobs have all ended when the test has, and schedulers on it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hanse.schedulers import processes
from hanse.schedulers.local import LocalScheduler
from hanse.schedulers.spool import Spool

Make = Callable[..., LocalScheduler]


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Path]:
    """A spool whose jobs have all ended when the test has."""
    folder = tmp_path / "spool"
    yield folder
    if (folder / "jobs").is_dir():
        for job in Spool(folder).folders():
            job.cancel.touch()
            for number in (signal.SIGTERM, signal.SIGKILL):
                processes.signal_all(processes.of_job(job.root), number)


@pytest.fixture
def make(spool: Path) -> Make:
    return lambda nodes=2, per_node=1, **rest: LocalScheduler(spool, nodes, per_node, **({"grace_s": 1.0} | rest))
