"""One service, an agent at each of the two clusters, hours on both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from hanse.contracts.programme import Allocation
from hanse.contracts.record import RunRecord
from hanse.contracts.run import Run
from tests.federation_site import Federation
from tests.slurm_site import SlurmSite
from tests.stack import Outpost, Stack
from tests.waiting import until


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A cluster, its agent, and hours on it."""

    site: SlurmSite
    post: Outpost
    award: Allocation


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    hub: Stack
    a: Place
    b: Place

    @property
    def places(self) -> tuple[Place, Place]:
        return self.a, self.b

    def record(self, run: Run) -> RunRecord:
        with self.hub.client() as client:
            return client.record(run.id)

    def ledger_and_sacct(self, run: Run, place: Place) -> tuple[dict[str, int], dict[str, int]]:
        """Accelerator-seconds by job of the run: as debited, and as the cluster's accounting has them."""
        held = place.site.held()
        debited = {entry.attempt_id: entry.accelerator_seconds for entry in self.record(run).usage}
        attempts = [attempt for leg in run.legs for attempt in leg.attempts]
        ledger = {attempt.job_id or "": debited.get(attempt.id, 0) for attempt in attempts}
        return ledger, {job_id: held.get(job_id, 0) for job_id in ledger}


@pytest.fixture(scope="package")
def joined(tmp_path_factory: pytest.TempPathFactory, federation: Federation) -> Iterator[Joined]:
    home = tmp_path_factory.mktemp("federation")
    hub = Stack(home / "hub")
    hub.home.mkdir()
    posts = []
    try:
        hub.start_service()
        for site in federation.sites:
            post = Outpost(home / site.cluster.name, site.machine, site.environment, hub=hub)
            post.home.mkdir()
            post.start_agent()
            posts.append(post)
        with hub.client() as client:
            for post in posts:
                until(lambda post=post: client.agent_status(post.machine.id).epoch, what="a hello", every_s=0.2)
        a, b = (
            Place(site=site, post=post, award=post.grant(gpu_hours=200, account=site.account))
            for site, post in zip(federation.sites, posts, strict=True)
        )
        yield Joined(hub=hub, a=a, b=b)
    finally:
        for stack in (*posts, hub):
            stack.stop()
