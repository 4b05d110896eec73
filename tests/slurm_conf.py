"""slurm.conf of a test cluster: several slurmds on one host, no cgroups, quick to start jobs and to notice deaths.

Job ids begin anywhere: a job's rendezvous port follows from its id, and several clusters share this host.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hanse.schedulers.script import time_limit

if TYPE_CHECKING:
    from tests.slurm_services import Services
    from tests.slurm_site import Cluster

CPUS_PER_NODE = 32
GPUS_PER_NODE = 4


def text_of(cluster: Cluster, root: Path, services: Services, ports: Sequence[int]) -> str:
    controller, *slurmds = ports
    state, log = root / "state", root / "log"
    nodes = "\n".join(
        f"NodeName={name} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} CPUs={CPUS_PER_NODE} Boards=1 "
        f"SocketsPerBoard=2 CoresPerSocket={CPUS_PER_NODE // 2} ThreadsPerCore=1 RealMemory=64000 "
        f"Gres=gpu:{GPUS_PER_NODE} State=UNKNOWN"
        for name, port in zip(cluster.node_names, slurmds, strict=True)
    )
    partitions = "\n".join(
        f"PartitionName={one.name} Nodes={','.join(cluster.node_names[: one.nodes])} "
        f"Default={'YES' if one.name == cluster.default_partition else 'NO'} MaxNodes={one.max_nodes} "
        f"MaxTime={time_limit(one.max_wall_time_s or 86400)} DefaultTime=00:10:00 State=UP"
        + (f" AllowQos={one.qos}" if one.qos else "")
        for one in cluster.partitions
    )
    return f"""ClusterName={cluster.name}
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=slurm
SlurmdUser=root
{services.authentication},cred_expire=5
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
MaxJobCount=20000
FirstJobId={1 + secrets.randbelow(50_000)}
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,bf_interval=3,bf_continue,sched_interval=5,default_queue_depth=200,max_rpc_cnt=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
GresTypes=gpu
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={services.port}
AccountingStoragePass={services.munge_socket}
AccountingStorageEnforce=associations,limits,qos
AccountingStorageTRES=gres/gpu
{"AccountingStoreFlags=job_comment" if cluster.stores_comments else ""}
JobCompType=jobcomp/none
{nodes}
{partitions}
"""
