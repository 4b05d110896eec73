"""Several jobs with the scheduler at a time: each intent is on disk before its job, chains stay in order."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

from hanse.contracts.errors import SiteError
from hanse.contracts.job import JobSpec
from hanse.contracts.run import AttemptState
from hanse.contracts.rundir import RunDir
from tests.agent.hands import Cluster, Service, agent_of, states, wanted


class Slow(Cluster):
    """Takes four submissions at a time, and answers none before it has as many as are still to come."""

    def __init__(self, store: Path, count: int) -> None:
        super().__init__()
        self.submits_at_once = 4
        self.intents: list[bool] = []
        self._store = store
        self._together = threading.Barrier(4)
        self._one_by_one = threading.Lock()
        self._whole_rounds = count // 4 * 4

    def submit(self, job: JobSpec, run_dir: RunDir, **more: Any) -> str:
        with self._one_by_one:
            with closing(sqlite3.connect(self._store)) as store:
                (at,) = store.execute(
                    "SELECT intent_at FROM attempts WHERE attempt_id = ?", (job.name.removeprefix("hanse-"),)
                ).fetchone()
            self.intents.append(at is not None)
            number = len(self.intents)
        if number <= self._whole_rounds:
            self._together.wait(60)
        with self._one_by_one:
            return super().submit(job, run_dir, **more)


def test_several_are_with_the_scheduler_at_a_time_each_with_its_intent_on_disk(tmp_path: Path) -> None:
    service, cluster = Service(*(wanted(f"n{n}") for n in range(19))), Slow(tmp_path / "agent.sqlite3", 19)
    with agent_of(tmp_path, service, cluster) as agent:
        agent.cycle()
        agent.cycle()
    assert sorted(cluster.submissions) == sorted(f"hanse-att-n{n}" for n in range(19))
    assert cluster.intents == [True] * 19
    assert dict(states(service)) == {f"att-n{n}": AttemptState.QUEUED for n in range(19)}


def test_a_chain_goes_in_order_also_where_several_are_submitted_at_a_time(tmp_path: Path) -> None:
    chain = [wanted(f"c{n}", **({"after": f"att-c{n - 1}"} if n else {})) for n in range(6)]
    service, cluster = Service(*chain), Cluster()
    cluster.submits_at_once = 4
    with agent_of(tmp_path, service, cluster) as agent:
        agent.cycle()
    ids = {name: reports[0].job_id for name, reports in cluster.jobs.items()}
    assert [cluster.after[f"hanse-att-c{n}"] for n in range(6)] == [None, *(ids[f"hanse-att-c{n}"] for n in range(5))]


def test_of_several_at_a_time_one_that_is_refused_keeps_no_other_back(tmp_path: Path) -> None:
    class Choosy(Cluster):
        def submit(self, job: JobSpec, run_dir: RunDir, **more: Any) -> str:
            if job.name.endswith("n3"):
                raise SiteError("too many nodes")
            return super().submit(job, run_dir, **more)

    service, cluster = Service(*(wanted(f"n{n}") for n in range(7))), Choosy()
    cluster.submits_at_once = 4
    with agent_of(tmp_path, service, cluster) as agent:
        agent.cycle()
        agent.cycle()
    told = dict(states(service))
    assert told.pop("att-n3") == AttemptState.FAILED and set(told.values()) == {AttemptState.QUEUED} and len(told) == 6
