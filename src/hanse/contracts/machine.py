"""What it runs on: one supercomputer, or this laptop. Unknown stays None; an estimate says so in `confidence`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hanse.contracts.base import Bytes, Contract, Count, Fraction, Identifier, Positive, Seconds, Timestamp

Confidence = Literal["measured", "official", "mirror", "observed", "derived", "estimate"]
Role = Literal["login", "compute"]


class Source(Contract):
    """Where a value was read. `part` names the keys it covers ('nodes', 'partitions.boost')."""

    part: str
    url: str
    confidence: Confidence
    read_on: str
    """ISO date on which the page, or the public copy of it, was read."""


class Accelerator(Contract):
    """One rank's device: a GPU, on LUMI one GCD, on a laptop a share of the cores."""

    name: str
    kind: Literal["cuda", "rocm", "cpu", "tpu", "hpu"]
    memory_bytes: Bytes
    memory_bytes_per_s: float = Field(gt=0)
    peak_flops: dict[Literal["fp32", "bf16", "fp8", "fp4"], float]
    """Dense peak FLOP/s by precision; a missing precision is not supported."""
    best_matmul: dict[Literal["fp32", "bf16", "fp8", "fp4"], Fraction] = Field(default_factory=dict)
    """Best measured product over the peak, by precision."""
    architecture: str | None = None
    """The maker's name of the generation ('ampere', 'hopper', 'blackwell', 'cdna2', 'cdna3'): kernels differ by it."""
    watts: float | None = None


class Link(Contract):
    """A tier of the network between ranks. Bandwidth is per rank and direction."""

    name: str
    bytes_per_s: float = Field(gt=0)
    latency_s: Seconds


class Island(Contract):
    """A part of the network whose nodes reach one another at full bandwidth (a dragonfly group, a fat tree's pod)."""

    nodes: Positive
    taper: Fraction = 1.0
    """Bandwidth between islands over bandwidth within one, per node."""


class Reliability(Contract):
    """How often something on a node ends a job: hardware, network, software of the site."""

    failures_per_node_day: tuple[float, float]
    """Lowest and highest plausible rate."""
    restart_s: Seconds = 600.0
    """From a failure to the first step after it, without the queue."""


class Partition(Contract):
    """A queue of the machine, in Slurm's words."""

    name: str
    nodes: Positive | None = None
    max_nodes: Positive | None = None
    max_wall_time_s: Positive | None = None
    exclusive: bool = True
    qos: str | None = None


class Curve(Contract):
    """A measured rate by size, both ascending in `x`; between points one interpolates in log x, outside one clamps."""

    x: tuple[float, ...] = Field(min_length=1)
    y: tuple[float, ...] = Field(min_length=1)
    x_unit: str
    y_unit: str


class Collectives(Contract):
    """What communication reaches: algorithm bandwidth in bytes/s (message bytes / time) by message bytes.

    A message is the whole tensor: reduced, gathered, scattered, or what one rank sends to all others together.
    """

    ranks: Positive
    """How many took part in one of them."""
    all_reduce: Curve | None = None
    all_gather: Curve | None = None
    reduce_scatter: Curve | None = None
    all_to_all: Curve | None = None
    p2p: Curve | None = None
    """One direction between two ranks, all pairs at once."""


class Calibration(Contract):
    """What `training/calibrate.py` measured on a machine, with as many ranks busy as a node holds."""

    measured_at: Timestamp
    software: str
    ranks: Positive
    matmul: Curve
    """FLOP/s of one rank (fp32 forward matmul) by FLOPs of the product."""
    memory_bytes_per_s: float = Field(gt=0)
    all_reduce: Curve | None = None
    """Algorithm bandwidth in bytes/s (message bytes / time) between the ranks by message bytes."""
    all_gather: Curve | None = None
    reduce_scatter: Curve | None = None
    all_to_all: Curve | None = None
    p2p: Curve | None = None
    """These five as in `Collectives`, among the ranks of one node."""
    nodes: Positive = 1
    between_nodes: Collectives | None = None
    """Among ranks of equal place on the nodes, all places at once: a rank's share of the node's cards."""
    products: dict[Literal["bf16", "fp8"], Curve] = Field(default_factory=dict)
    """Like `matmul`, in the precisions an accelerator trains in."""
    launch_overhead_s: Seconds = 0.0
    """Host time per small kernel."""
    exchange_overhead_s: Seconds = 0.0
    """On processors, what a collective of sharded blocks costs amid their compute beyond its curve: hooks, copies, and
    ranks that wait for one another at each of them."""
    block_scale: float = Field(default=1.0, gt=0)
    """Measured time of a reference transformer block over what the formulas say for it."""
    spread: float = Field(default=0.2, ge=0)
    """Relative half-width of an 80 % interval, from the repeats."""


Capability = Literal[
    "images", "build-images", "internet-on-login", "internet-on-compute", "part-of-a-node", "requeue", "mpiexec",
    "cpus-by-choice", "long-tasks-on-login", "agents-on-login",
]  # fmt: skip
ContainerRuntime = Literal["apptainer", "singularity", "pyxis", "container-engine", "none"]
HostRule = Literal["plain", "resolve_ipv4", "suffix_i", "interconnect_dns", "loopback"]


class Inability(Contract):
    """Something a user may expect of a machine that it cannot do: why not, and what to do instead."""

    capability: Capability
    reason: str
    instead: str = ""
    url: str
    confidence: Confidence
    read_on: str
    """ISO date, as in `Source`."""


class SchedulerFacts(Contract):
    """How jobs are started there. Each fact has its source in `Machine.sources` ('scheduler.cpu_bind')."""

    kind: Literal["local", "slurm", "firecrest"]
    gpu_request: str | None = None
    """The line that asks for a node's accelerators ('--gres=gpu:4'); None where there are none."""
    exclusive: bool = False
    """Whole nodes come only when --exclusive asks for them."""
    cpus_per_node: Positive | None = None
    cpus_per_gpu: Positive | None = None
    """The only ratio the site takes; where `cpus_per_node` is not known it follows from this."""
    memory_per_node: str | None = None
    """Slurm's --mem value; '0' is all of the node."""
    account_required: bool = False
    qos_required: bool = False
    required_flags: tuple[str, ...] = ()
    """Further options without which the site takes no job ('--export=NONE')."""
    constraint: str | None = None
    """Features every job asks for (Slurm's --constraint)."""
    nodes_per_switch: Positive | None = None
    """Nodes of a leaf switch: a job asks for as few switches as hold it. None: it does not ask."""
    wait_all_nodes: bool = False
    """The script must not begin before every node has booted."""
    srun_flags: tuple[str, ...] = ()
    """Options of every step ('--mpi=none')."""
    rendezvous_host_rule: HostRule = "plain"
    interconnect_name: str | None = None
    """For 'interconnect_dns': a node's name on the fast network, with {node} in the place of its short name."""
    socket_interface: str | None = None
    """Interfaces by which the collective library's processes find one another (NCCL_SOCKET_IFNAME)."""
    gloo_interface: str | None = None
    ib_hcas: tuple[str, ...] = ()
    """The InfiniBand adapters that serve accelerators, in their order (NCCL_IB_HCA)."""
    address_family: Literal["ipv4", "ipv6"] | None = None
    cpu_bind: str | None = None
    """srun's --cpu-bind for one launcher a node; None: it is not bound."""
    rank_cpu_masks: tuple[str, ...] = ()
    """The cores near each accelerator of a whole node: for a launcher per rank, never for one launcher a node."""
    environment: dict[str, str] = Field(default_factory=dict)
    cache_dir: str | None = None
    """A node's own folder, for caches that the shared file system is too slow or too shared for."""
    setup: tuple[str, ...] = ()
    """Shell lines before the work (module loads)."""
    python: str | None = None
    """The interpreter on the compute nodes; None is the one hanse runs under."""
    container_runtime: ContainerRuntime | None = None
    """What runs an image; None: not known."""
    container_gpu_flag: str | None = None
    """None: the runtime's own for this kind of accelerator; '' for none at all."""
    container_binds: tuple[str, ...] = ()
    """Folders of the machine that images see, besides those of the run."""
    container_setup: tuple[str, ...] = ()
    """Shell lines that a containerised step needs (module loads)."""
    container_setup_in_step: bool = False
    """Those lines run on each node inside the step, not once before it."""
    cannot: tuple[Inability, ...] = ()

    def inability(self, capability: Capability) -> Inability | None:
        return next((one for one in self.cannot if one.capability == capability), None)


class Billing(Contract):
    """One node-hour costs `units_per_node_hour` of the site's own `unit`."""

    unit: str = "GPU-hour"
    units_per_node_hour: float = Field(gt=0)
    rule: str = ""


class Machine(Contract):
    """One supercomputer's accelerated part. `schema_version` changes when a key changes its meaning."""

    schema_version: Literal[1] = 1
    id: Identifier
    name: str
    site: str
    country: str | None = None
    status: Literal["operational", "planned", "reference"] = "operational"
    nodes: Positive | None = None
    accelerators_per_node: Positive
    """Ranks a node holds (logical devices: 8 on LUMI-G)."""
    accelerator: Accelerator
    in_node: Link | None = None
    domain_nodes: Positive = 1
    """Nodes that share one in-node network (18 in a GB200 NVL72 rack of 4-accelerator nodes)."""
    between_nodes: Link | None = None
    """Per rank and direction: the node's NICs shared among its ranks."""
    island: Island | None = None
    """None: one flat network, or nobody knows."""
    host_memory_bytes: Bytes | None = None
    """Main memory of a node."""
    host_bytes_per_s: float | None = Field(default=None, gt=0)
    """Between one accelerator and main memory, per direction."""
    storage_bytes_per_s: float | None = Field(default=None, gt=0)
    """Written by a whole job into the file system that takes checkpoints."""
    node_watts: float | None = Field(default=None, gt=0)
    """A node in training, all that is in it."""
    pue: float | None = Field(default=None, ge=1)
    grid_gco2_per_kwh: float | None = Field(default=None, ge=0)
    reliability: Reliability | None = None
    partitions: tuple[Partition, ...] = ()
    scheduler: SchedulerFacts
    billing: Billing | None = None
    internet_on_compute: bool | None = None
    calibration: Calibration | None = None
    sources: tuple[Source, ...] = ()
    unknown: tuple[str, ...] = ()
    """Facts looked for and not found, each as a reader would ask for it."""
    notes: tuple[str, ...] = ()

    def accelerators(self, nodes: int) -> Count:
        return nodes * self.accelerators_per_node
