"""What chaos befalls: one service, two agents, two real Slurm clusters, and runs that pass through them."""

from __future__ import annotations

import io
import json
import random
import signal
import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks import payload
from benchmarks.wire import Wire
from hanse.contracts.programme import Allocation
from hanse.contracts.run import FINAL_RUN_STATES, Attempt, Run, RunState
from hanse.contracts.spec import CheckpointSpec, CommandSpec, TrainSpec, WhereSpec
from hanse.contracts.telemetry import LedgerEntry
from hanse.workloads.load import load_spec
from tests.federation_site import Federation
from tests.slurm_site import SlurmSite
from tests.stack import ROOT, Outpost, Stack, plan_of
from tests.waiting import until

EXAMPLE = ROOT / "examples" / "stdlib-lm" / "train.yaml"
TRAINING_STEPS, TRAINING_BATCH = 12, 8
ROOM_BYTES = 2_000_000
"""Of a run that lies on a small disk of its own."""


@dataclass
class Passing:
    """A run on its way. `room` is its own small disk, if it has one."""

    run: Run
    post: Outpost
    site: SlurmSite
    steps: int
    is_training: bool
    room: Path | None = None

    @property
    def folder(self) -> Path:
        return self.post.run_dir(self.run.id).root


@dataclass
class World:
    federation: Federation
    hub: Stack
    posts: list[Outpost]
    wires: list[Wire]
    awards: list[Allocation]
    code: str
    chance: random.Random
    passing: list[Passing] = field(default_factory=list)

    def launch(self, *, training: bool, own_disk: bool, steps: int, step_s: float) -> Passing:
        number = len(self.passing)
        post, award = self.posts[number % 2], self.awards[number % 2]
        site = self.federation.sites[number % 2]
        spec = _training(site) if training else _counting(site, number, steps, step_s)
        with self.hub.client() as client, stopped(post.agent):
            run = client.launch(
                spec, plan_of(spec, site.machine) if training else None, allocation=award.id, machine=site.machine.id,
                code_sha256=None if training else self.code,
            )  # fmt: skip
            passing = Passing(run, post, site, TRAINING_STEPS if training else steps, training)
            if own_disk:
                passing.folder.mkdir(parents=True)
                subprocess.run(
                    ["mount", "-t", "tmpfs", "-o", f"size={ROOM_BYTES}", "tmpfs", passing.folder], check=True
                )
                passing.room = passing.folder
        self.passing.append(passing)
        return passing

    def open(self) -> list[Passing]:
        """Runs that have not ended, by the service's word."""
        with self.hub.client() as client:
            for one in self.passing:
                if one.run.state not in FINAL_RUN_STATES:
                    one.run = client.run(one.run.id)
        return [one for one in self.passing if one.run.state not in FINAL_RUN_STATES]

    def spared(self) -> set[str]:
        """Ids of runs that failed twice in a row without progress: a third time ends a run, by Hanse's own rule."""
        tried = {one.run.id: [a for leg in one.run.legs for a in leg.attempts] for one in self.open()}
        return {run for run, attempts in tried.items() if _fails_in_a_row(attempts) >= 2}

    def finish(self, within_s: float) -> None:
        """Wait for the end of all runs, or until the time is over."""
        try:
            until(lambda: not self.open(), within_s=within_s, what="the end of all runs", every_s=1.0)
        except AssertionError:
            return

    def figures(self, kills: int) -> dict[str, object]:
        finished, lost, doubled, difference_s = 0, [], [], 0
        for one in self.passing:
            wrong = self.wrong_with(one)
            if one.run.state != RunState.FINISHED:
                lost.append(f"{one.run.id} on {one.site.cluster.name}: {one.run.state} {one.run.reason}")
            elif wrong:
                doubled.append(f"{one.run.id} on {one.site.cluster.name}: {'; '.join(wrong)}")
            else:
                finished += 1
        held = [site.held() for site in self.federation.sites]
        charged = []
        with self.hub.client() as client:
            for one in self.passing:
                record = client.record(one.run.id)
                ledger_s = sum(entry.accelerator_seconds for entry in record.usage)
                ids = self.job_ids(one)
                sacct_s = sum(held[self.posts.index(one.post)].get(job_id, 0) for job_id in ids)
                difference_s += ledger_s - sacct_s
                if ledger_s != sacct_s:
                    charged.append(f"{one.run.id} on {one.site.cluster.name}: ledger {ledger_s}, sacct {sacct_s}")
        return {
            "runs": len(self.passing), "kills": kills, "finished_once": finished, "lost": len(lost),
            "doubled": len(doubled), "ledger_minus_sacct_s": difference_s, "details": [*lost, *doubled, *charged],
        }  # fmt: skip

    def job_ids(self, one: Passing) -> list[str]:
        """All jobs that ever carried the name of one of its attempts, by accounting."""
        names = ",".join(f"hanse-{attempt.id}" for leg in one.run.legs for attempt in leg.attempts)
        told = one.site.run(
            "sacct", "-X", "-n", "-P", "--duplicates", "--starttime=now-2days", f"--name={names}", "-o", "JobIDRaw"
        )
        return sorted(set(told.split()))

    def wrong_with(self, one: Passing) -> list[str]:
        if one.run.state != RunState.FINISHED:
            return []
        if not one.is_training:
            return payload.verify(one.folder, one.steps)
        entries = [LedgerEntry.from_json(line) for line in one.post.run_dir(one.run.id).ledger.read_text().splitlines()]
        expected = [sum(before.samples for before in entries[:n]) for n in range(len(entries))]
        whole = [entry.first_sample for entry in entries] == expected
        right = sum(entry.samples for entry in entries) == TRAINING_STEPS * TRAINING_BATCH
        return [] if whole and right else [f"samples {[(e.first_sample, e.samples) for e in entries]}"]


@contextmanager
def world(federation: Federation, home: Path, chance: random.Random) -> Iterator[World]:
    """Everything up and both agents known; everything is ended afterwards."""
    hub = Stack(home / "hub")
    hub.home.mkdir(parents=True)
    posts: list[Outpost] = []
    wires: list[Wire] = []
    made: World | None = None
    try:
        hub.start_service()
        for site in federation.sites:
            wires.append(Wire(hub.port))
            post = Outpost(
                home / site.cluster.name, site.machine, site.environment, hub=hub, address=wires[-1].address
            )  # fmt: skip
            post.home.mkdir()
            posts.append(post)
            post.start_agent()
        with hub.client() as client:
            for post in posts:
                until(lambda post=post: client.agent_status(post.machine.id).epoch, what="a hello", every_s=0.2)
            code = client.upload_code(packed({"payload.py": Path(payload.__file__).read_bytes()})).sha256
        awards = [post.grant(gpu_hours=2000) for post in posts]
        made = World(federation, hub, posts, wires, awards, code, chance)
        yield made
    finally:
        for stack in (*posts, hub):
            stack.stop()
        for wire in wires:
            wire.close()
        for site in federation.sites:
            site.run("scancel", "--user=root", check=False)
        for one in made.passing if made else ():
            if one.room:
                subprocess.run(["umount", "-l", one.room], check=False)


@contextmanager
def stopped(process: subprocess.Popen[bytes] | None) -> Iterator[None]:
    """Held still meanwhile."""
    held = process is not None and process.poll() is None
    if held and process is not None:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        if held and process is not None and psutil.pid_exists(process.pid):
            process.send_signal(signal.SIGCONT)


def _fails_in_a_row(attempts: Sequence[Attempt]) -> int:
    """Attempts that ended at the last without a step beyond what those before them reached."""
    ended = [attempt for attempt in attempts if attempt.ended_at is not None]
    reached = [max([a.last_step or 0 for a in ended[:n]], default=0) for n in range(len(ended))]
    count = 0
    for attempt, before in reversed(list(zip(ended, reached, strict=True))):
        if (attempt.last_step or 0) > before:
            break
        count += 1
    return count


def _counting(site: SlurmSite, number: int, steps: int, step_s: float) -> TrainSpec:
    line = f"python3 payload.py --steps {steps} --step-s {step_s} --every 5"
    command = CommandSpec(run=line, accelerators_per_node=site.machine.accelerators_per_node, resumes=True)
    where = _where(site, nodes=1 + number % 3 // 2)
    return TrainSpec(name=f"count-{number}", purpose="Count under chaos.", command=command, where=where)


def _training(site: SlurmSite) -> TrainSpec:
    example = load_spec(EXAMPLE)
    assert example.model is not None and example.model.shape is not None
    tokens = TRAINING_STEPS * TRAINING_BATCH * example.model.shape.context
    return example.model_copy(
        update={
            "tokens": tokens, "batch": TRAINING_BATCH, "where": _where(site, nodes=2),
            "checkpoint": CheckpointSpec(every_steps=3),
        }
    )  # fmt: skip


def _where(site: SlurmSite, *, nodes: int) -> WhereSpec:
    return WhereSpec(
        machines=(site.machine.id,), nodes=nodes, wall_time_s=600, max_gpu_hours=100, max_attempts=100,
        account=site.account, partition=site.cluster.default_partition,
    )  # fmt: skip


def packed(files: Mapping[str, bytes]) -> bytes:
    """A code bundle."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text))
    return archive.getvalue()


def as_json(figures: dict[str, object]) -> str:
    return json.dumps(figures, indent=2)
