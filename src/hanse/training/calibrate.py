"""`python -m hanse.training.calibrate --ranks N --out FILE`: what this machine really does, in some twenty seconds.

All ranks measure at once, because they will compute at once; each figure is the slowest rank's median over repeats.
On several nodes (a job's step, told so by `contracts/jobenv`) collectives are measured twice: in each node, and among
ranks of equal place across nodes. Message bytes are the whole tensor's (`contracts.machine.Collectives`).
`block_scale` is the measured time of forward and backward of one block of `model.py` over
`hanse.workloads.shapes.block_seconds`: products at the matmul curve's rate (backward twice the forward), attention,
elementwise bytes at the memory bandwidth, and launches.
This process needs no torch: it starts the ranks and waits.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hanse.contracts import jobenv
from hanse.contracts.base import now
from hanse.contracts.errors import HanseError, TrainingError, UsageError
from hanse.contracts.machine import Calibration, Collectives, Curve
from hanse.contracts.workload import ModelShape
from hanse.files.durable import write_atomically
from hanse.training import allocator

if TYPE_CHECKING:
    import torch

MATMUL_SIZES: Final = (48, 96, 192, 384, 768, 1280)
MESSAGE_BYTES: Final = (1 << 12, 1 << 15, 1 << 18, 1 << 21, 1 << 24)
LARGE_MATMUL_SIZES: Final = (256, 512, 1024, 2048, 4096, 8192)
"""For accelerators, in bf16."""
LARGE_MESSAGE_BYTES: Final = (*MESSAGE_BYTES, 1 << 27, 1 << 30)
"""For accelerators, whose links are not yet full at 16 MiB."""
MEMORY_BYTES: Final = 1 << 26
SECONDS_A_FIGURE: Final = 0.12
REPEATS: Final = 3
BRIEFLY: Final = 1 / 3
"""A figure's time for what the local planner does not rest on; the whole stays under half a minute."""
TIME_LIMIT_S: Final = 110
"""It takes some twenty seconds; on a machine busy with other work, several times that."""
JOB_TIME_LIMIT_S: Final = 600
"""On several nodes, where starting Python alone may take minutes."""
COLLECTIVES: Final = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "p2p")
BLOCKS: Final = (
    (ModelShape(layers=1, hidden=192, heads=6, kv_heads=2, ffn=512, vocab=2, context=256), 4),
    (ModelShape(layers=1, hidden=256, heads=8, kv_heads=4, ffn=704, vocab=2, context=128), 8),
    (ModelShape(layers=1, hidden=512, heads=8, kv_heads=8, ffn=1408, vocab=2, context=256), 2),
)
"""Shapes and micro-batches of the reference blocks: what is trained on such machines."""
STACK: Final = 4
"""As many of the first of them are measured whole and sharded by turns."""
TURNS: Final = 10


class Rank:
    """One of the ranks that measure together: `ranks` on each of `nodes` nodes."""

    def __init__(self, rank: int, ranks: int, store: str, *, nodes: int = 1, seconds: float = SECONDS_A_FIGURE) -> None:
        import torch
        import torch.distributed as dist

        from hanse.training import compat

        self.rank, self.ranks, self.nodes, self.seconds = rank, ranks, nodes, seconds
        self.device = compat.device_of(rank % ranks)
        self.torch, self.dist, self._synchronize = torch, dist, compat.synchronize
        dist.init_process_group(
            compat.backend_of(self.device), init_method=store, rank=rank, world_size=ranks * nodes
        )  # fmt: skip
        self.spreads: list[float] = []

    def measure(self) -> Calibration:
        matmul = self._products(MATMUL_SIZES, self.torch.float32)
        memory = self._memory_bytes_per_s()
        launch_s = self._launch_s()
        inside = self._group([range(node * self.ranks, (node + 1) * self.ranks) for node in range(self.nodes)])
        own = {} if self.ranks == 1 else {name: self._collective(name, inside) for name in ("all_reduce", "all_gather")}
        block_scale = self._block_scale(matmul, memory, launch_s)
        spread = max(0.05, statistics.median(self.spreads))
        overhead_s = self._exchange_overhead_s(**own) if own and not self._accelerated else 0.0
        if self.ranks > 1:
            own |= {name: self._collective(name, inside, BRIEFLY) for name in COLLECTIVES if name not in own}
        return Calibration(
            measured_at=now(), software=f"torch {self.torch.__version__} on {self.device.type}", ranks=self.ranks,
            matmul=matmul, memory_bytes_per_s=memory, launch_overhead_s=launch_s, block_scale=block_scale,
            spread=spread, exchange_overhead_s=overhead_s, nodes=self.nodes, between_nodes=self._between_nodes(), **own,
            products={"bf16": self._products(LARGE_MATMUL_SIZES, self.torch.bfloat16)} if self._accelerated else {},
        )  # fmt: skip

    @property
    def _accelerated(self) -> bool:
        return self.device.type != "cpu"

    def _between_nodes(self) -> Collectives | None:
        if self.nodes == 1:
            return None
        world = self.ranks * self.nodes
        across = self._group([range(place, world, self.ranks) for place in range(self.ranks)])
        return Collectives(ranks=self.nodes, **{name: self._collective(name, across) for name in COLLECTIVES})

    def _group(self, members: Sequence[range]) -> Any:
        """This rank's group; every rank has to make all of them. None for all ranks."""
        if len(members) == 1:
            return None
        made = [self.dist.new_group(list(each)) for each in members]
        return next(group for group, each in zip(made, members, strict=True) if self.rank in each)

    def _products(self, sizes: Sequence[int], dtype: torch.dtype) -> Curve:
        return Curve(
            x=tuple(2.0 * n**3 for n in sizes), y=tuple(2.0 * n**3 / self._matmul_s(n, dtype) for n in sizes),
            x_unit="FLOPs", y_unit="FLOP/s",
        )  # fmt: skip

    def _matmul_s(self, n: int, dtype: torch.dtype) -> float:
        a, b = self._random(n, n).to(dtype), self._random(n, n).to(dtype)
        out = self.torch.empty_like(a)
        return self._seconds(lambda: self.torch.mm(a, b, out=out))

    def _memory_bytes_per_s(self) -> float:
        """Two read and one written: an addition of arrays far larger than any cache."""
        a, b = self._random(MEMORY_BYTES // 4), self._random(MEMORY_BYTES // 4)
        out = self.torch.empty_like(a)
        return 3 * MEMORY_BYTES / self._seconds(lambda: self.torch.add(a, b, out=out))

    def _launch_s(self) -> float:
        one = self._random(1)
        return self._seconds(lambda: [one.mul_(1.0) for _ in range(100)]) / 100

    def _collective(self, name: str, group: Any, share: float = 1.0) -> Curve:
        sizes = LARGE_MESSAGE_BYTES if self._accelerated else MESSAGE_BYTES
        seconds = [self._seconds(self._call(name, size, group), together=True, share=share) for size in sizes]
        return Curve(
            x=tuple(float(size) for size in sizes), y=tuple(n / s for n, s in zip(sizes, seconds, strict=True)),
            x_unit="bytes", y_unit="bytes/s",
        )  # fmt: skip

    def _call(self, name: str, size: int, group: Any) -> Callable[[], object]:
        """One collective of `size` bytes among the group's ranks, to be called as often as wanted."""
        from hanse.training import compat

        ranks = self.dist.get_world_size(group)
        part = self.torch.zeros(max(1, size // 4 // ranks), device=self.device)
        whole = self.torch.zeros(len(part) * ranks, device=self.device)
        if name == "all_reduce":
            return lambda: self.dist.all_reduce(whole, group=group)
        if name == "all_gather":
            return lambda: compat.all_gather(whole, part, group)
        if name == "reduce_scatter":
            return lambda: compat.reduce_scatter(part, whole, group)
        if name == "all_to_all":
            other = self.torch.empty_like(whole)
            return lambda: self.dist.all_to_all_single(other, whole, group=group)
        return self._to_the_next(whole, group)

    def _to_the_next(self, message: torch.Tensor, group: Any) -> Callable[[], object]:
        """From each rank of even place in the group to the one after it; an odd one out waits."""
        place, ranks = self.dist.get_rank(group), self.dist.get_world_size(group)
        name = (lambda at: at) if group is None else (lambda at: self.dist.get_global_rank(group, at))
        if place % 2:
            return lambda: self.dist.recv(message, name(place - 1), group=group)
        if place + 1 < ranks:
            return lambda: self.dist.send(message, name(place + 1), group=group)
        return lambda: None

    def _block_scale(self, matmul: Curve, memory: float, launch_s: float) -> float:
        """The geometric mean over the reference blocks."""
        from hanse.machines.rates import interpolate
        from hanse.workloads.shapes import block_seconds

        ratios = [
            self._block_s(shape, micro_batch)
            / block_seconds(
                shape, micro_batch, flops_per_s=lambda flops: float(interpolate(matmul, flops)),
                memory_bytes_per_s=memory, launch_overhead_s=launch_s,
            )
            for shape, micro_batch in BLOCKS
        ]  # fmt: skip
        return statistics.geometric_mean(ratios)

    def _block_s(self, shape: ModelShape, micro_batch: int) -> float:
        from hanse.training.model import Block, rotary_table

        block = Block(shape).to(self.device)
        x = self._random(micro_batch, shape.context, shape.hidden).requires_grad_()
        rotary = rotary_table(shape.context, shape.head_dim, device=self.device, dtype=x.dtype)

        def once() -> None:
            for each in (x, *block.parameters()):
                each.grad = None
            self.torch.autograd.backward(block(x, rotary).sum())

        return self._seconds(once)

    def _exchange_overhead_s(self, all_reduce: Curve, all_gather: Curve) -> float:
        """A stack of blocks, sharded in each node, over the same blocks whole, by turns; less what the curves say.

        A block is gathered before its forward and its backward pass, and its gradients are reduced once.
        """
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        from hanse.machines.rates import interpolate
        from hanse.training.model import Block, rotary_table

        shape, micro_batch = BLOCKS[0]
        mesh = init_device_mesh(self.device.type, (self.nodes, self.ranks), mesh_dim_names=("node", "rank"))["rank"]
        rotary = rotary_table(shape.context, shape.head_dim, device=self.device, dtype=self.torch.float32)
        whole, sharded = (_stack([Block(shape) for _ in range(STACK)]) for _ in range(2))
        message = 4.0 * sum(each.numel() for each in whole.parameters()) / STACK
        for block in sharded.blocks:
            fully_shard(block, mesh=mesh)
        fully_shard(sharded, mesh=mesh)
        x = self._random(micro_batch, shape.context, shape.hidden).requires_grad_()

        def once_s(stack: Any) -> float:
            self.dist.barrier()
            began = time.perf_counter()
            self.torch.autograd.backward(stack(x, rotary).sum())
            took_s = time.perf_counter() - began
            for each in (x, *stack.parameters()):
                each.grad = None
            return took_s

        more_s = [once_s(sharded) - once_s(whole) for _ in range(TURNS + 2)][2:]  # the first two warm up
        told_s = 2 * message / interpolate(all_gather, message) + message / interpolate(all_reduce, message)
        return max(0.0, (self._slowest(statistics.median(more_s)) / STACK - float(told_s)) / 3)

    def _random(self, *size: int) -> torch.Tensor:
        return self.torch.randn(*size, device=self.device)

    def _seconds(self, work: Callable[[], object], *, together: bool = False, share: float = 1.0) -> float:
        """Of one call: the slowest rank's median, in a share of a figure's time.

        `together`: every rank must make the same number of calls.
        """
        work()
        began = time.perf_counter()
        work()
        self._synchronize(self.device)
        once = max(time.perf_counter() - began, 1e-7)
        calls = max(1, min(2000, int(share * self.seconds / REPEATS / once)))
        if together:
            calls = int(self._slowest(calls))
        times = []
        self.dist.barrier()
        for _ in range(REPEATS):
            began = time.perf_counter()
            for _ in range(calls):
                work()
            self._synchronize(self.device)
            times.append((time.perf_counter() - began) / calls)
        middle = statistics.median(times)
        self.spreads.append((max(times) - min(times)) / 2 / middle)
        return self._slowest(middle)

    def _slowest(self, value: float) -> float:
        shared = self.torch.tensor([value], dtype=self.torch.float64, device=self.device)
        self.dist.all_reduce(shared, op=self.dist.ReduceOp.MAX)
        return float(shared)


def _stack(blocks: Sequence[Any]) -> Any:
    """Blocks, one after another, as one module: what shards them needs one that holds them all."""
    from torch import nn

    class Stack(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList(blocks)

        def forward(self, x: Any, rotary: Any) -> Any:
            for block in self.blocks:
                x = block(x, rotary)
            return x

    return Stack()


def calibrate(ranks: int, out: Path, *, seconds: float = SECONDS_A_FIGURE) -> None:
    """Start this node's ranks, wait for them, and leave a Calibration at `out` (from node 0, where there are several).

    Raises:
        TrainingError: a rank failed or the time is over.
        UsageError: the job's step does not say where its nodes meet.
    """
    nodes, node_rank = int(os.environ.get(jobenv.NODES, "1")), int(os.environ.get(jobenv.NODE_RANK, "0"))
    limit_s = TIME_LIMIT_S if nodes == 1 else JOB_TIME_LIMIT_S
    threads = max(1, len(os.sched_getaffinity(0)) // ranks)
    loopback = {"GLOO_SOCKET_IFNAME": "lo"} if nodes == 1 else {}
    environment = {"OMP_NUM_THREADS": str(threads), **loopback, **allocator.settings()} | os.environ
    with tempfile.TemporaryDirectory() as folder:
        store = f"file://{folder}/store" if nodes == 1 else _meeting_place()
        command = [sys.executable, "-m", "hanse.training.calibrate", "--ranks", str(ranks), "--nodes", str(nodes)]
        command += ["--out", str(out.absolute()), "--seconds-a-figure", str(seconds), "--store", store, "--rank"]
        started = [
            subprocess.Popen([*command, str(rank)], env=environment, stderr=subprocess.PIPE)
            for rank in range(node_rank * ranks, (node_rank + 1) * ranks)
        ]
        try:
            failures = [(each.communicate(timeout=limit_s)[1], each.returncode) for each in started]
        except subprocess.TimeoutExpired as error:
            raise TrainingError(f"the calibration did not end within {limit_s} s") from error
        finally:
            for each in started:
                if each.poll() is None:
                    each.kill()
                    each.wait()
    for text, code in failures:
        if code:
            last = text.decode(errors="replace").strip().splitlines()[-1:] or [f"exit code {code}"]
            raise TrainingError(f"the calibration failed: {last[0]}")


def _meeting_place() -> str:
    try:
        return f"tcp://{os.environ[jobenv.RDZV_HOST]}:{os.environ[jobenv.RDZV_PORT]}"
    except KeyError as error:
        raise UsageError(f"on several nodes {error.args[0]} must say where they meet") from None


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m hanse.training.calibrate", description="Measure this machine.")
    parser.add_argument("--ranks", type=int, required=True, help="ranks of a node that are busy at once")
    parser.add_argument("--out", type=Path, required=True, help="file for the Calibration (JSON)")
    parser.add_argument("--into", type=Path, help="machine file (YAML) that takes the curves too")
    parser.add_argument("--seconds-a-figure", type=float, default=SECONDS_A_FIGURE, help="how long each is repeated")
    parser.add_argument("--nodes", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--rank", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--store", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.rank is None:
        try:
            calibrate(given.ranks, given.out, seconds=given.seconds_a_figure)
            if given.into and os.environ.get(jobenv.NODE_RANK, "0") == "0":
                from hanse.machines.writing import write_calibration

                write_calibration(given.into, Calibration.from_json(given.out.read_bytes()))
        except HanseError as error:
            sys.stderr.write(f"{error}\n")
            return error.exit_code
        return 0
    from hanse.training.parent import die_with_parent

    die_with_parent()
    rank = Rank(given.rank, given.ranks, given.store, nodes=given.nodes, seconds=given.seconds_a_figure)
    calibration = rank.measure()
    if given.rank == 0:
        write_atomically(given.out, calibration.to_json())
    if given.nodes > 1:
        # Rank 0 holds the store: it leaves last.
        rank.dist.barrier()
    # Not by way of destructors: gloo's threads now and then abort in them (`main._leave`).
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
