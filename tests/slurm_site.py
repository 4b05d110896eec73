"""A real Slurm of one site and two nodes on this machine: munge, MariaDB, slurmdbd, slurmctld, two slurmd; no systemd.

Everything is private (folders, ports, keys) and taken down again. For people: `python -m tests.slurm_site up DIR`,
then `SLURM_CONF=DIR/slurm.conf sinfo`, and `python -m tests.slurm_site down DIR`.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from hanse.contracts.machine import Accelerator, Machine, Partition, SchedulerFacts
from tests.waiting import until

PROGRAMS = (
    "munged", "mariadbd", "mariadb-install-db", "slurmdbd", "slurmctld", "slurmd", "sacctmgr", "sbatch", "srun",
    "squeue", "sacct", "scancel", "scontrol", "sinfo",
)  # fmt: skip
USERS = ("munge", "mysql", "slurm")
NODES = 2
CPUS_PER_NODE = 32
ACCOUNT = "proj1"
PARTITION = "batch"
CLUSTER = "hansa"
_SBIN = "/usr/sbin:/sbin:/usr/local/sbin"


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmSite:
    root: Path

    @property
    def environment(self) -> dict[str, str]:
        """What `SlurmScheduler(machine, environment)` and every Slurm command need."""
        return {"SLURM_CONF": str(self.root / "slurm.conf")}

    @property
    def machine(self) -> Machine:
        return Machine(
            id="hansa",
            name="Hansa (a Slurm of two nodes on one host)",
            site="test",
            nodes=NODES,
            accelerators_per_node=1,
            accelerator=Accelerator(
                name="share of a CPU", kind="cpu", memory_bytes=4 * 10**9, memory_bytes_per_s=1e10,
                peak_flops={"fp32": 5e10},
            ),
            partitions=(Partition(name=PARTITION, nodes=NODES, max_wall_time_s=86400, exclusive=False),),
            scheduler=SchedulerFacts(
                kind="slurm",
                cpus_per_node=4,  # of the 32 a node pretends to have: several jobs run at once
                account_required=True,
                rendezvous_host_rule="loopback",
                environment={"OMP_NUM_THREADS": "1"},
            ),
        )  # fmt: skip

    def run(self, *command: str, check: bool = True) -> str:
        """One Slurm command, its output."""
        done = subprocess.run(
            command, env=_environment(self.root), capture_output=True, text=True, timeout=60, check=False
        )
        if check and done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr or done.stdout}")
        return done.stdout

    def wait_until_saved(self, job_id: str) -> None:
        """Until the controller's state on disk knows that a job runs: killed earlier, it would start the job again."""
        before_s = time.time()
        self.run("scontrol", "update", f"JobId={job_id}", "Comment=saved")
        state = self.root / "state" / "job_state"
        until(lambda: state.stat().st_mtime > before_s, within_s=30, what="the controller's saved state")

    def kill_controller(self) -> None:
        """SIGKILL slurmctld, as a crash would."""
        process = psutil.Process(_pids(self.root)["slurmctld"])
        process.kill()
        process.wait(10)

    def start_controller(self) -> None:
        _daemon(self.root, "slurmctld", ["slurmctld", "-D"], user="slurm")
        until(lambda: "UP" in self.run("scontrol", "ping", check=False), within_s=30, what="slurmctld")
        self._wait_for_nodes()

    def _wait_for_nodes(self) -> None:
        def usable() -> bool:
            states = self.run("sinfo", "-h", "-N", "-o", "%T", check=False).split()
            return len(states) == NODES and all(state in ("idle", "mixed", "allocated") for state in states)

        until(usable, within_s=60, what="both nodes of the Slurm site")


def missing() -> list[str]:
    """Why no site can be started here; empty if it can."""
    path = f"{os.environ.get('PATH', '')}:{_SBIN}"
    reasons = [f"{name} is not installed" for name in PROGRAMS if shutil.which(name, path=path) is None]
    known = {entry.pw_name for entry in pwd.getpwall()}
    reasons += [f"there is no user {name}" for name in USERS if name not in known]
    return reasons + ([] if os.geteuid() == 0 else ["only root can start slurmd"])


def up(root: Path) -> SlurmSite:
    """Start a site in `root`, which other users must be able to enter; its path must be short (socket names)."""
    root.mkdir(parents=True, exist_ok=True)
    root.chmod(0o755)
    site = SlurmSite(root=root)
    try:
        ports = _free_ports(4 + NODES)
        _start_munge(root)
        _start_database(root, ports[0])
        _write_configuration(root, ports)
        _daemon(root, "slurmdbd", ["slurmdbd", "-D"], user="slurm")
        until(lambda: _answers(ports[1]), within_s=30, what="slurmdbd")
        _register(root)
        _daemon(root, "slurmctld", ["slurmctld", "-D"], user="slurm")
        for node in range(1, NODES + 1):
            _daemon(root, f"slurmd-n{node}", ["slurmd", "-D", "-N", f"n{node}"], user="root")
        site._wait_for_nodes()
    except BaseException as error:
        logs = "\n".join(_last_lines(log) for log in sorted((root / "log").glob("*")))
        down(root)
        raise RuntimeError(f"the Slurm site did not come up: {error}\n{logs}") from error
    return site


def down(root: Path) -> None:
    """End the site's jobs, daemons and every process that still speaks to it, then remove its folder."""
    environment = _environment(root)
    if (root / "slurm.conf").exists():
        with suppress(subprocess.SubprocessError):
            subprocess.run(["scancel", "--user=root"], env=environment, capture_output=True, timeout=5, check=False)
    daemons = []
    for name, pid in _pids(root).items():
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            if name.split("-")[0] in " ".join(process.cmdline()):
                daemons.append(process)
    ours = [process for process in psutil.process_iter() if _belongs(process, root)]
    for process in daemons:
        with suppress(psutil.Error):
            process.send_signal(signal.SIGTERM if "mariadbd" in process.name() else signal.SIGKILL)
    for process in ours:
        with suppress(psutil.Error):
            process.kill()
    _, alive = psutil.wait_procs([*daemons, *ours], timeout=10)
    for process in alive:
        with suppress(psutil.Error):
            process.kill()
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def slurm_site() -> Iterator[SlurmSite]:
    """The site, or a skip that says what is missing; with CI=true a missing Slurm is a failure."""
    reasons = missing()
    if reasons:
        message = "no Slurm here: " + "; ".join(reasons)
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    root = Path(tempfile.mkdtemp(prefix="hs-", dir="/tmp"))
    try:
        yield up(root)
    finally:
        down(root)


def _start_munge(root: Path) -> None:
    folder = _folder(root / "munge", owner="munge", mode=0o755)
    key = folder / "key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    _own(key, "munge")
    options = {"key-file": key, "socket": folder / "s", "pid-file": folder / "pid", "seed-file": folder / "seed",
               "log-file": folder / "munged.log"}  # fmt: skip
    _daemon(root, "munged", ["munged", "--foreground", *(f"--{k}={v}" for k, v in options.items())], user="munge")
    until((folder / "s").exists, within_s=20, what="munge's socket")


def _start_database(root: Path, port: int) -> None:
    data = _folder(root / "db", owner="mysql", mode=0o700)
    quick = ["--innodb-log-file-size=8M", "--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=0",
             "--innodb-doublewrite=0", "--innodb-lock-wait-timeout=900"]  # fmt: skip
    subprocess.run(
        ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--user=mysql", "--skip-test-db",
         "--auth-root-authentication-method=normal", *quick[:2]],
        env=_environment(root), capture_output=True, check=True, timeout=120,
    )  # fmt: skip
    first = data / "first.sql"
    first.write_text("CREATE USER 'slurm'@'127.0.0.1';\nGRANT ALL ON slurm_acct.* TO 'slurm'@'127.0.0.1';\n")
    _own(first, "mysql")
    _daemon(
        root,
        "mariadbd",
        ["mariadbd", "--no-defaults", f"--datadir={data}", f"--socket={data}/s", f"--pid-file={data}/pid",
         f"--port={port}", "--bind-address=127.0.0.1", "--skip-name-resolve", f"--init-file={first}", *quick],
        user="mysql",
    )  # fmt: skip
    until(lambda: _answers(port), within_s=60, what="MariaDB")


def _write_configuration(root: Path, ports: list[int]) -> None:
    database, dbd, controller, _, *slurmds = ports
    log = root / "log"
    state = _folder(root / "state", owner="slurm", mode=0o755)
    _folder(root / "spool", owner="root", mode=0o755)
    auth = f"AuthType=auth/munge\nAuthInfo=socket={root}/munge/s"
    dbd_conf = root / "slurmdbd.conf"
    dbd_conf.write_text(
        f"{auth}\nDbdHost=localhost\nDbdAddr=127.0.0.1\nDbdPort={dbd}\nSlurmUser=slurm\nLogFile={log}/slurmdbd.log\n"
        f"PidFile={state}/slurmdbd.pid\nStorageType=accounting_storage/mysql\nStorageHost=127.0.0.1\n"
        f"StoragePort={database}\nStorageUser=slurm\nStorageLoc=slurm_acct\n"
    )
    dbd_conf.chmod(0o600)
    _own(dbd_conf, "slurm")
    nodes = "\n".join(
        f"NodeName=n{number} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} CPUs={CPUS_PER_NODE} Boards=1 "
        f"SocketsPerBoard=2 CoresPerSocket={CPUS_PER_NODE // 2} ThreadsPerCore=1 RealMemory=64000 State=UNKNOWN"
        for number, port in enumerate(slurmds, start=1)
    )
    (root / "slurm.conf").write_text(
        f"""ClusterName={CLUSTER}
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=slurm
SlurmdUser=root
{auth},cred_expire=5
CredType=cred/munge
StateSaveLocation={state}
SlurmdSpoolDir={root}/spool/%n
SlurmctldPidFile={state}/slurmctld.pid
SlurmdPidFile={root}/spool/slurmd-%n.pid
SlurmctldLogFile={log}/slurmctld.log
SlurmdLogFile={log}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=5
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
SlurmdParameters=config_overrides
PropagateResourceLimits=NONE
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=15
MessageTimeout=10
TCPTimeout=2
InactiveLimit=0
KillWait=3
MinJobAge=120
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,bf_interval=3,bf_continue,sched_interval=5,max_rpc_cnt=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={dbd}
AccountingStoragePass={root}/munge/s
AccountingStorageEnforce=associations,qos
JobCompType=jobcomp/none
{nodes}
PartitionName={PARTITION} Nodes=ALL Default=YES MaxTime=1-00:00:00 DefaultTime=00:10:00 State=UP
"""
    )


def _register(root: Path) -> None:
    """The cluster, one account and this user in it: one conversation, as every call costs half a second."""
    orders = (
        f"add cluster {CLUSTER}\nadd account {ACCOUNT} Cluster={CLUSTER}\n"
        f"add user root Account={ACCOUNT} Cluster={CLUSTER}\nquit\n"
    )
    done = subprocess.run(
        ["sacctmgr", "-i"],
        input=orders,
        env=_environment(root),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    listed = subprocess.run(
        ["sacctmgr", "-nP", "show", "association", "format=cluster,account,user"],
        env=_environment(root), capture_output=True, text=True, timeout=60, check=False,
    ).stdout  # fmt: skip
    if f"{CLUSTER}|{ACCOUNT}|root" not in listed:
        raise RuntimeError(f"sacctmgr did not register the site: {done.stdout}{done.stderr}")


def _daemon(root: Path, name: str, command: list[str], *, user: str) -> None:
    log = _folder(root / "log", owner="slurm", mode=0o755) / f"{name}.out"
    entry = pwd.getpwnam(user)
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, env=_environment(root), stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/",
            start_new_session=True, user=entry.pw_uid, group=entry.pw_gid, extra_groups=[],
        )  # fmt: skip
    pids = _pids(root) | {name: process.pid}
    (root / "pids.json").write_text(json.dumps(pids))


def _environment(root: Path) -> dict[str, str]:
    path = f"{os.environ.get('PATH', '')}:{_SBIN}"
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
    return kept | {"PATH": path, "SLURM_CONF": str(root / "slurm.conf")}


def _pids(root: Path) -> dict[str, int]:
    with suppress(FileNotFoundError):
        pids: dict[str, int] = json.loads((root / "pids.json").read_text())
        return pids
    return {}


def _belongs(process: psutil.Process, root: Path) -> bool:
    """Jobs know their configuration; slurmstepd, which outlives slurmd, wrote its title over its environment."""
    try:
        if process.name() == "slurmstepd":
            return any(file.path.startswith(f"{root}/") for file in process.open_files())
        return process.pid != os.getpid() and process.environ().get("SLURM_CONF") == str(root / "slurm.conf")
    except (psutil.Error, OSError):
        return False


def _folder(path: Path, *, owner: str, mode: int) -> Path:
    if not path.exists():
        path.mkdir()
        path.chmod(mode)
        _own(path, owner)
    return path


def _own(path: Path, user: str) -> None:
    entry = pwd.getpwnam(user)
    os.chown(path, entry.pw_uid, grp.getgrgid(entry.pw_gid).gr_gid)


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _last_lines(log: Path) -> str:
    return f"--- {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-8:])


def _main(arguments: list[str]) -> int:
    actions: dict[str, Callable[[Path], object]] = {"up": up, "down": down}
    if len(arguments) != 2 or arguments[0] not in actions:
        sys.stderr.write("usage: python -m tests.slurm_site up|down DIR\n")
        return 2
    began = time.monotonic()
    root = Path(arguments[1]).absolute()
    actions[arguments[0]](root)
    sys.stdout.write(f"{arguments[0]} in {time.monotonic() - began:.1f} s: SLURM_CONF={root}/slurm.conf\n")
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
