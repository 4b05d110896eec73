"""Jobs submitted by hand, on both clusters: metered by their agents to the second, and tagged as not ours."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from hanse.client.usage import UsageReport, usage
from tests.federation.conftest import Joined, Place
from tests.stack import ROOT
from tests.waiting import until

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(300)]
NAME = "by-hand"
ENDED = {"COMPLETED", "FAILED", "CANCELLED"}


def test_jobs_by_hand_on_both_clusters_stand_in_the_ledger_to_the_second_beside_the_sites_counter(
    joined: Joined,
) -> None:
    jobs = {place.site.cluster.name: _submit(place) for place in joined.places}
    for place in joined.places:
        job_id = jobs[place.site.cluster.name]
        ended = lambda p=place, j=job_id: _state(p, j) in ENDED  # noqa: E731
        until(ended, within_s=120, what=f"the end of {job_id} at {place.site.cluster.name}", every_s=0.3)
        place.post.kill_agent()
        place.post.start_agent()  # one that has just started asks accounting at once, not within the minute

    for place in joined.places:
        job_id = jobs[place.site.cluster.name]
        report = until(lambda p=place, j=job_id: _told(joined, p, j), within_s=120, what=f"job {job_id} in the ledger")
        [entry] = [each for each in report.items if _is(each.note, job_id)]
        held = place.site.held(NAME)
        assert entry.kind == "site" and entry.attempt_id is None
        assert entry.accelerator_seconds == held[job_id] > 0, place.site.cluster.name
        assert report.by_kind["site"] >= held[job_id]
        assert report.drift is not None and report.drift.account == place.site.account
        said = _hanse(joined, "usage", place.award.id)
        assert "Other jobs of the account" in said and f"job {job_id} of" in said
        counter = report.drift.counter_accelerator_seconds
        assert (counter is None) != ("The site counts" in said), said


def _submit(place: Place) -> str:
    cluster = place.site.cluster
    more = (f"--qos={cluster.qos[0]}",) if cluster.qos else ()
    return place.site.run(
        "sbatch", "--parsable", "-J", NAME, "-A", place.site.account, "-p", cluster.default_partition, *more,
        "--gres=gpu:1", "-n", "1", "-t", "5", "-o", "/dev/null", "-D", "/tmp", "--wrap", "sleep 3",
    ).strip().partition(";")[0]  # fmt: skip


def _state(place: Place, job_id: str) -> str:
    name = f"--cluster={place.site.cluster.name}"
    return place.site.run("sacct", "-X", "-n", "-P", name, "-j", job_id, "-o", "State", check=False).strip()


def _told(joined: Joined, place: Place, job_id: str) -> UsageReport | None:
    with joined.hub.client() as client:
        report = usage(client, place.award.id, limit=100)
    found = any(_is(entry.note, job_id) for entry in report.items)
    return report if found and report.drift is not None and report.drift.at is not None else None


def _is(note: str, job_id: str) -> bool:
    return note.startswith(f"job {job_id} ")


def _hanse(joined: Joined, *words: str) -> str:
    token = (joined.hub.home / "service" / "user.token").read_text().strip()
    settings = {"HANSE_URL": joined.hub.url, "HANSE_TOKEN": token}
    done = subprocess.run(
        [sys.executable, "-m", "hanse", *words], capture_output=True, text=True, timeout=120, check=False,
        env=os.environ | settings | {"PYTHONPATH": str(ROOT / "src"), "COLUMNS": "200"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
