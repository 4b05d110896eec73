"""A real Slurm cluster on this machine: slurmctld and its slurmds, each node with four GPUs that are devices in name.

Everything is private (folders, ports, keys) and taken down again. For people: `python -m tests.slurm_site up DIR`,
then `SLURM_CONF=DIR/slurm.conf sinfo`, and `python -m tests.slurm_site down DIR`. Tests get the first cluster of the
federation (tests/federation_site.py) as `slurm_site`.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from hanse.contracts.machine import Accelerator, Link, Machine, Partition, SchedulerFacts
from tests import daemons, slurm_services
from tests.slurm_conf import text_of
from tests.slurm_services import Services
from tests.waiting import until

PROGRAMS = (
    *slurm_services.PROGRAMS, "slurmctld", "slurmd", "sbatch", "srun", "squeue", "sacct", "scancel", "scontrol",
    "sinfo",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """How a cluster differs from others. `accelerators_per_node` is what a job of Hanse's asks of a node."""

    name: str
    title: str
    node_prefix: str
    nodes: int
    accelerators_per_node: int
    partitions: tuple[Partition, ...]
    default_partition: str
    accounts: tuple[str, ...]
    qos: tuple[str, ...] = ()
    """Beside `normal`; jobs of this cluster must name one where there are any."""
    stores_comments: bool = True

    @property
    def node_names(self) -> tuple[str, ...]:
        return tuple(f"{self.node_prefix}{number}" for number in range(1, self.nodes + 1))


HANSA = Cluster(
    name="hansa", title="Hansa (a Slurm of four nodes on one host)", node_prefix="n", nodes=4,
    accelerators_per_node=1, default_partition="boost", accounts=("proj1", "proj2"),
    partitions=(
        Partition(name="boost", nodes=4, max_nodes=4, max_wall_time_s=86400, exclusive=False),
        Partition(name="debug", nodes=2, max_nodes=2, max_wall_time_s=1800, exclusive=False),
    ),
)  # fmt: skip
LUEBECK = Cluster(
    name="luebeck", title="Lübeck (a Slurm of two nodes on one host)", node_prefix="gpu", nodes=2,
    accelerators_per_node=2, default_partition="gpu", accounts=("hpc-042",), qos=("train",),
    partitions=(Partition(name="gpu", nodes=2, max_nodes=2, max_wall_time_s=7200, exclusive=False, qos="train"),),
    stores_comments=False,
)  # fmt: skip
ACCOUNT = HANSA.accounts[0]
PARTITION = HANSA.default_partition


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmSite:
    root: Path
    services: Services
    cluster: Cluster = HANSA
    ports: Sequence[int] = field(default=())
    """Of slurmctld, then of the slurmds."""

    @property
    def configuration(self) -> Path:
        return self.root / "slurm.conf"

    @property
    def environment(self) -> dict[str, str]:
        """What `SlurmScheduler(machine, environment)` and every Slurm command need."""
        return {"SLURM_CONF": str(self.configuration)}

    @property
    def account(self) -> str:
        return self.cluster.accounts[0]

    @property
    def machine(self) -> Machine:
        gpus = self.cluster.accelerators_per_node
        return Machine(
            id=self.cluster.name,
            name=self.cluster.title,
            site="test",
            nodes=self.cluster.nodes,
            accelerators_per_node=gpus,
            accelerator=Accelerator(
                name="share of a CPU", kind="cpu", memory_bytes=4 * 10**9, memory_bytes_per_s=1e10,
                peak_flops={"fp32": 5e10},
            ),
            in_node=Link(name="memory", bytes_per_s=2e9, latency_s=5e-5),
            between_nodes=Link(name="loopback", bytes_per_s=1e9, latency_s=1e-4),
            partitions=self.cluster.partitions,
            scheduler=SchedulerFacts(
                kind="slurm",
                gpu_request=f"--gres=gpu:{gpus}",
                cpus_per_node=4 * gpus,  # of the 32 a node pretends to have: several jobs run at once
                account_required=True,
                qos_required=bool(self.cluster.qos),
                rendezvous_host_rule="loopback",
                environment={"OMP_NUM_THREADS": "1"},
            ),
        )  # fmt: skip

    def run(self, *command: str, check: bool = True) -> str:
        """One Slurm command, its output."""
        done = subprocess.run(
            command, env=daemons.surroundings(self.environment), capture_output=True, text=True, timeout=60, check=False
        )
        if check and done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr or done.stdout}")
        return done.stdout

    def held(self, name_beginning: str = "hanse-") -> dict[str, int]:
        """By job id, the accelerator-seconds of all jobs of such names, every time they ran, as accounting has them."""
        told = self.run(
            "sacct", "-X", "-n", "-P", "--duplicates", "--starttime=now-2days", f"--cluster={self.cluster.name}",
            "-o", "JobIDRaw,ElapsedRaw,AllocTRES,JobName%200",
        )  # fmt: skip
        held: dict[str, int] = {}
        for line in told.splitlines():
            job_id, elapsed_s, resources, name = line.split("|")
            if name.startswith(name_beginning):
                counts = dict(pair.split("=") for pair in resources.split(",") if pair)
                held[job_id] = held.get(job_id, 0) + int(elapsed_s) * int(counts.get("gres/gpu", 0))
        return held

    def wait_until_saved(self, job_id: str) -> None:
        """Until the controller's state on disk knows that a job runs: killed earlier, it would start the job again."""
        before_s = time.time()
        self.run("scontrol", "update", f"JobId={job_id}", "Comment=saved")
        state = self.root / "state" / "job_state"
        until(lambda: state.stat().st_mtime > before_s, within_s=30, what="the controller's saved state")

    def kill_controller(self) -> None:
        """SIGKILL slurmctld, as a crash would."""
        daemons.kill(self.root, "slurmctld")

    def start_controller(self) -> None:
        self._start_slurmctld()
        until(lambda: "UP" in self.run("scontrol", "ping", check=False), within_s=30, what="slurmctld")
        self.wait_for_nodes()

    def kill_node(self, name: str) -> None:
        """The node's slurmd and the jobs' processes there die at once, as in a power cut."""
        spool, log = self.root / "spool" / name, self.root / "log" / f"slurmd-{name}.log"
        daemons.kill(self.root, f"slurmd-{name}")
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.name() == "slurmstepd" and any(
                    file.path == str(log) or file.path.startswith(f"{spool}/") for file in process.open_files()
                ):
                    for one in [*process.children(recursive=True), process]:
                        one.kill()

    def start_node(self, name: str) -> None:
        daemons.start(
            self.root, f"slurmd-{name}", ["slurmd", "-D", "-N", name], user="root", environment=self.environment
        )

    def drain(self, *nodes: str, reason: str = "maintenance") -> None:
        """Nodes that take no more jobs, all of them unless named; what runs there goes on."""
        chosen = ",".join(nodes or self.cluster.node_names)
        self.run("scontrol", "update", f"NodeName={chosen}", "State=DRAIN", f"Reason={reason}")

    def take_down(self, *nodes: str, reason: str = "power supply") -> None:
        """Nodes that are lost to Slurm, with the jobs on them. One whose slurmd lives soon comes back by itself."""
        self.run("scontrol", "update", f"NodeName={','.join(nodes)}", "State=DOWN", f"Reason={reason}")

    def resume(self, *nodes: str) -> None:
        self.run("scontrol", "update", f"NodeName={','.join(nodes or self.cluster.node_names)}", "State=RESUME")

    def set_partition(self, name: str, state: str) -> None:
        """UP, DOWN, DRAIN or INACTIVE."""
        self.run("scontrol", "update", f"PartitionName={name}", f"State={state}")

    def configure(self) -> None:
        """Write what its daemons read, and make the files that stand for GPUs."""
        daemons.folder(self.root, owner="root", mode=0o755)
        daemons.folder(self.root / "state", owner="slurm", mode=0o755)
        daemons.folder(self.root / "spool", owner="root", mode=0o755)
        daemons.folder(self.root / "log", owner="slurm", mode=0o755)
        devices = daemons.folder(self.root / "dev", owner="root", mode=0o755)
        for number in range(4):
            os.mknod(devices / f"gpu{number}", 0o666 | stat.S_IFCHR, os.makedev(1, 3))  # a copy of /dev/null
        conf = text_of(self.cluster, self.root, self.services, self.ports)
        self.configuration.write_text(conf)
        (self.root / "gres.conf").write_text(
            f"AutoDetect=off\nNodeName={','.join(self.cluster.node_names)} Name=gpu File={devices}/gpu[0-3]\n"
        )

    def associations(self) -> list[str]:
        """sacctmgr's orders: the cluster, its accounts, and this user in each."""
        name = self.cluster.name
        orders = [f"add cluster {name}", *(f"add qos {qos}" for qos in self.cluster.qos)]
        allowed = ",".join(("normal", *self.cluster.qos))
        orders += [f"add account {account} Cluster={name} QOS={allowed}" for account in self.cluster.accounts]
        return [*orders, *(f"add user root Account={account} Cluster={name}" for account in self.cluster.accounts)]

    def start(self) -> None:
        """Its services run and know it."""
        self._start_slurmctld()
        for node in self.cluster.node_names:
            self.start_node(node)

    def wait_for_nodes(self) -> None:
        def usable() -> bool:
            states = dict(
                line.split() for line in self.run("sinfo", "-h", "-N", "-o", "%N %T", check=False).splitlines()
            )
            return len(states) == self.cluster.nodes and all(s in _USABLE for s in states.values())

        until(usable, within_s=60, what=f"all nodes of {self.cluster.name}")

    def _start_slurmctld(self) -> None:
        daemons.start(self.root, "slurmctld", ["slurmctld", "-D"], user="slurm", environment=self.environment)


_USABLE = ("idle", "mixed", "allocated")


def missing() -> list[str]:
    """Why no cluster can be started here; empty if one can."""
    reasons = daemons.missing(PROGRAMS, slurm_services.USERS)
    return reasons + ([] if os.geteuid() == 0 else ["only root can start slurmd"])


def up(root: Path, clusters: Sequence[tuple[str, Cluster]] = (("", HANSA),)) -> tuple[SlurmSite, ...]:
    """Start clusters in subfolders of `root` ('' is itself), which other users must be able to enter.

    Its path must be short (socket names).
    """
    root.mkdir(parents=True, exist_ok=True)
    root.chmod(0o755)
    count = sum(1 + cluster.nodes for _, cluster in clusters)
    database_port, dbd_port, *rest = daemons.free_ports(2 + count)
    services = Services(root=root, database_port=database_port, port=dbd_port)
    sites = []
    for subfolder, cluster in clusters:
        ports, rest = rest[: 1 + cluster.nodes], rest[1 + cluster.nodes :]
        sites.append(SlurmSite(root=root / subfolder, services=services, cluster=cluster, ports=tuple(ports)))
    try:
        for site in sites:
            site.configure()
        services.start()
        services.register([order for site in sites for order in site.associations()], sites[0].configuration)
        for site in sites:
            site.start()
        for site in sites:
            site.wait_for_nodes()
    except BaseException as error:
        logs = daemons.last_lines(root)
        down(root)
        raise RuntimeError(f"Slurm did not come up: {error}\n{logs}") from error
    return tuple(sites)


def down(root: Path) -> None:
    """End the jobs, daemons and every process that still speaks to a cluster in `root`, then remove it."""
    for configuration in (root / "slurm.conf", *root.glob("*/slurm.conf")):
        if configuration.exists():
            with suppress(subprocess.SubprocessError):
                environment = daemons.surroundings({"SLURM_CONF": str(configuration)})
                subprocess.run(["scancel", "--user=root"], env=environment, capture_output=True, timeout=5, check=False)
    daemons.end(root)


def main(arguments: list[str], name: str, actions: dict[str, Callable[[Path], object]]) -> int:
    if len(arguments) != 2 or arguments[0] not in actions:
        sys.stderr.write(f"usage: python -m {name} {'|'.join(actions)} DIR\n")
        return 2
    began = time.monotonic()
    root = Path(arguments[1]).absolute()
    actions[arguments[0]](root)
    sys.stdout.write(f"{arguments[0]} in {time.monotonic() - began:.1f} s\n")
    for configuration in sorted((*root.glob("slurm.conf"), *root.glob("*/slurm.conf"))):
        sys.stdout.write(f"SLURM_CONF={configuration}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], "tests.slurm_site", {"up": up, "down": down}))
