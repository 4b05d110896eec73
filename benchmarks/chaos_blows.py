"""What chaos does, one function a kind: each strikes, lets some time pass, and puts things back as an operator would.

A blow without a target answers None, and another is dealt. A run that failed twice in a row without a step of
progress is spared until it progresses: the third time is, by Hanse's rule, its end. Runs are continued by
Hanse alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress

import psutil

from benchmarks.chaos_world import World, stopped

Blow = Callable[[World], str | None]


def service(world: World) -> str:
    world.hub.kill_service()
    _pass(world, 0.0, 2.0)
    world.hub.start_service()
    return "service"


def agent(world: World) -> str:
    post = world.chance.choice(world.posts)
    post.kill_agent()
    _pass(world, 0.0, 2.0)
    post.start_agent()
    return f"agent of {post.machine.id}"


def controller(world: World) -> str | None:
    """With its state on disk: what it takes and loses before is lost to Slurm itself, and unknown to Hanse."""
    site = world.chance.choice(world.federation.sites)
    post = world.posts[world.federation.sites.index(site)]
    with stopped(post.agent):
        jobs = site.run("squeue", "-h", "-t", "PD,R", "-o", "%A", check=False).split()
        if not jobs:
            return None
        try:
            site.wait_until_saved(jobs[0])
        except RuntimeError:  # it ended meanwhile
            return None
        site.kill_controller()
    _pass(world, 0.5, 3.0)
    site.start_controller()
    return f"slurmctld of {site.cluster.name}"


def node(world: World) -> str | None:
    spared = world.spared()
    site = world.chance.choice(world.federation.sites)
    ids = [
        attempt.id for one in world.passing if one.run.id in spared for leg in one.run.legs for attempt in leg.attempts
    ]
    busy = site.run("squeue", "-h", "-t", "R", "-o", "%j %N", check=False).splitlines()
    kept = [line.split()[1] for line in busy if any(attempt in line for attempt in ids)]
    shown = site.run("scontrol", "show", "hostnames", ",".join(kept)).split() if kept else []
    names = [name for name in site.cluster.node_names if name not in shown]
    if not names:
        return None
    name = world.chance.choice(names)
    site.kill_node(name)
    _pass(world, 0.5, 3.0)
    site.start_node(name)
    return f"slurmd of {name} with its jobs"


def database(world: World) -> str:
    services = world.federation.services
    services.kill_slurmdbd()
    _pass(world, 1.0, 5.0)
    services.start_slurmdbd()
    return "slurmdbd"


def batch_script(world: World) -> str | None:
    return _kill_one(world, "batch script", lambda line: "slurm_script" in line and "bash" in line)


def worker(world: World) -> str | None:
    return _kill_one(world, "worker", lambda line: "payload.py" in line or "hanse.training.main" in line)


def network(world: World) -> str:
    number = world.chance.randrange(len(world.wires))
    world.wires[number].cut()
    _pass(world, 0.5, 4.0)
    world.wires[number].mend()
    return f"connection of {world.posts[number].machine.id}"


def full_disk(world: World) -> str | None:
    spared = world.spared()
    chosen = [one for one in world.open() if one.room is not None and one.run.id not in spared]
    if not chosen:
        return None
    room = world.chance.choice(chosen).room
    assert room is not None
    ballast = room / ".ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    _pass(world, 0.5, 3.0)
    ballast.unlink()
    return f"disk of {room.name} full"


KINDS: dict[Blow, int] = {
    service: 3, agent: 5, controller: 3, node: 3, database: 2, batch_script: 6, worker: 6, network: 4, full_disk: 3,
}  # fmt: skip
"""Each with its weight."""


def deal(world: World) -> str | None:
    """One blow; None if nothing could be struck just now."""
    kinds = dict(KINDS)
    while kinds:
        blow = world.chance.choices(list(kinds), list(kinds.values()))[0]
        if told := blow(world):
            return told
        del kinds[blow]
    return None


def _kill_one(world: World, what: str, fits: Callable[[str], bool]) -> str | None:
    root, spared, found = str(world.federation.root), world.spared(), []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            around = process.environ()
            ours = fits(" ".join(process.cmdline())) and around.get("SLURM_CONF", "").startswith(root)
            if ours and not any(run in value for run in spared for value in around.values()):
                found.append(process)
    if not found:
        return None
    process = world.chance.choice(sorted(found, key=lambda one: one.pid))
    with suppress(ProcessLookupError):
        os.kill(process.pid, 9)
    return f"{what} {process.pid}"


def _pass(world: World, low_s: float, high_s: float) -> None:
    time.sleep(world.chance.uniform(low_s, high_s))
