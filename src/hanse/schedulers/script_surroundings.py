"""What the work finds around it: its folder, the machine's modules and variables, the run's own, and a rendezvous."""

from __future__ import annotations

import shlex
from typing import Final

from hanse.contracts import jobenv
from hanse.contracts.job import JobSpec
from hanse.contracts.machine import Machine
from hanse.contracts.rundir import RunDir
from hanse.schedulers.environment import job_variables, python_path, working_folder
from hanse.schedulers.script_lines import CANNOT_CREATE, Lines, exports
from hanse.schedulers.script_request import cpus_per_node

FIRST_PORT: Final = 20000
PORTS: Final = 10000
"""The rendezvous listens on FIRST_PORT + job id mod PORTS: below Linux's ephemeral ports (from 32768)."""

NO_HOST: Final = 68
"""The exit code of a job whose first node has no address by the machine's rule (EX_NOHOST)."""

OFFLINE: Final = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "WANDB_MODE": "offline",
}
_FAMILIES: Final = {"ipv4": "AF_INET", "ipv6": "AF_INET6"}


def surroundings(job: JobSpec, machine: Machine, run_dir: RunDir, *, ticket_key: str, data_dir: str) -> Lines:
    """The environment of all steps; what the run asks for goes over the machine's facts, Hanse's own over both."""
    facts = machine.scheduler
    lines: Lines = [
        (
            f"cd {shlex.quote(str(working_folder(job, run_dir)))} || exit {CANNOT_CREATE}",
            "the code bundle's folder" if job.uses_code_bundle else "the attempt's folder",
        ),
        *[(line, "the machine's own preparation (modules)") for line in facts.setup],
    ]
    if job.image is not None and not facts.container_setup_in_step:
        lines += [(line, "what runs images here needs it") for line in facts.container_setup]
    if machine.internet_on_compute is False:
        lines += exports(OFFLINE, "no route out of the compute nodes: libraries must not wait for one")
    lines += _network(machine)
    lines += _caches(machine)
    lines += exports(facts.environment, "a fact of this machine")
    lines += exports(job.environment, "asked for by the run")
    if facts.python is None and job.image is None and (path := python_path({})):
        line = f'export PYTHONPATH={shlex.quote(path["PYTHONPATH"])}"${{PYTHONPATH:+:$PYTHONPATH}}"'
        lines.append((line, "this very installation of hanse"))
    own = job_variables(job, run_dir, ticket_key=ticket_key, data_dir=data_dir)
    lines += exports(own, "what Hanse's trainer reads (contracts/jobenv.py)")
    lines.append((f'export {jobenv.JOB_ID}="$SLURM_JOB_ID"', "the job by the scheduler's name"))
    if cpus := cpus_per_node(machine):
        lines.append((f"export SRUN_CPUS_PER_TASK={cpus}", "since Slurm 22.05 srun forgets --cpus-per-task"))
    lines.append(
        (
            "unset SLURM_CPU_BIND SLURM_CPU_BIND_LIST SLURM_CPU_BIND_TYPE SLURM_CPU_BIND_VERBOSE",
            "a binding inherited from the submitting shell would pin every rank to one core",
        )
    )
    return lines


def _network(machine: Machine) -> Lines:
    """The network by name, so that no library guesses: the first interface it finds is often the slow one."""
    facts = machine.scheduler
    lines: Lines = []
    if facts.rendezvous_host_rule == "loopback":
        lines += exports({"GLOO_SOCKET_IFNAME": "lo"}, "all nodes of this machine are one host")
    if facts.socket_interface:
        meets = "the collective library's processes find one another on the fast network"
        lines += exports({"NCCL_SOCKET_IFNAME": facts.socket_interface}, meets)
    if facts.gloo_interface:
        lines += exports({"GLOO_SOCKET_IFNAME": facts.gloo_interface}, "and Gloo's, which guesses for itself")
    if facts.address_family:
        lines += exports({"NCCL_SOCKET_FAMILY": _FAMILIES[facts.address_family]}, "node names have several addresses")
    if facts.ib_hcas:
        lines += exports({"NCCL_IB_HCA": ",".join(facts.ib_hcas)}, "the adapters that serve accelerators, no other")
    return lines


def _caches(machine: Machine) -> Lines:
    """Kernels that MIOpen compiles are kept in a database, which locks badly on a file system of many nodes."""
    folder = machine.scheduler.cache_dir
    if folder is None or machine.accelerator.kind != "rocm":
        return []
    reason = "MIOpen's caches on the node: their locks fail on the shared file system"
    return [
        (f'export MIOPEN_USER_DB_PATH={shlex.quote(folder)}"/hanse-miopen-$SLURM_JOB_ID"', reason),
        ('export MIOPEN_CUSTOM_CACHE_DIR="$MIOPEN_USER_DB_PATH"', reason),
    ]


def rendezvous(machine: Machine) -> Lines:
    """Where the launchers meet: host by the machine's rule, port from the job's id."""
    return [
        *_host(machine),
        (
            f'[ -n "$hanse_host" ] || {{ echo "hanse: the first node has no address" >&2; exit {NO_HOST}; }}',
            "without a rendezvous nothing can meet",
        ),
        (f'export {jobenv.RDZV_HOST}="$hanse_host"', "where the launchers meet"),
        (
            f"export {jobenv.RDZV_PORT}=$(({FIRST_PORT} + ${{SLURM_JOB_ID}} % {PORTS}))",
            f"from the job id, so that jobs on one node do not clash ({FIRST_PORT} to {FIRST_PORT + PORTS - 1})",
        ),
        ("", ""),
    ]


def _host(machine: Machine) -> Lines:
    facts = machine.scheduler
    rule = facts.rendezvous_host_rule
    if rule == "loopback":
        return [("hanse_host=127.0.0.1", "all nodes of this machine are one host")]
    first: Lines = [
        ('hanse_host=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)', "node 0 holds the rendezvous")
    ]
    if rule == "plain":
        return first
    if rule == "resolve_ipv4":
        return [*first, (_ipv4("$hanse_host"), "the short name does not lead every process to the same address")]
    if rule == "suffix_i":
        return [
            *first,
            ('hanse_host="${hanse_host}i"', "the name of the node on the fast network"),
            (_ipv4("$hanse_host"), "the short name does not lead every process to the same address"),
        ]
    prefix, _, suffix = (facts.interconnect_name or "{node}").partition("{node}")
    name = "".join((_in_quotes(prefix), "${hanse_node}", _in_quotes(suffix)))
    return [
        (first[0][0].replace("hanse_host=", "hanse_node=", 1), first[0][1]),
        (_ipv4(name), "its address on the fast network: the plain name leads to one that others cannot reach"),
        (
            f'[ -n "$hanse_host" ] || {_ipv4("$hanse_node")}',
            "a node without such a name: better its plain address than none",
        ),
        (
            '[ "$SLURM_JOB_NUM_NODES" -gt 1 ] || hanse_host=127.0.0.1',
            "alone it need not be reached, and not every address of a node can be listened on",
        ),
    ]


def _ipv4(name: str) -> str:
    return f"""hanse_host=$(getent ahostsv4 "{name}" | awk 'NR == 1 {{ print $1 }}')"""


def _in_quotes(text: str) -> str:
    """`text` as it must stand between the shell's double quotes."""
    return "".join(f"\\{one}" if one in '\\"$`' else one for one in text)
