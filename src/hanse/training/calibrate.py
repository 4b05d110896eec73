"""`python -m hanse.training.calibrate --ranks N --out FILE`: what this machine really does, in some fifteen seconds.

All ranks measure at once, because they will compute at once; each figure is the slowest rank's median over repeats.
Message bytes are the tensor's for all-reduce and the gathered result's for all-gather. `block_scale` is the measured
time of forward and backward of one block of `model.py` over `hanse.workloads.shapes.block_seconds`: products at the
matmul curve's rate (backward twice the forward), attention, elementwise bytes at the memory bandwidth, and launches.
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
from typing import TYPE_CHECKING, Final

from hanse.contracts.base import now
from hanse.contracts.errors import HanseError, TrainingError
from hanse.contracts.machine import Calibration, Curve
from hanse.contracts.workload import ModelShape
from hanse.files.durable import write_atomically
from hanse.training import allocator

if TYPE_CHECKING:
    import torch

MATMUL_SIZES: Final = (48, 96, 192, 384, 768, 1280)
MESSAGE_BYTES: Final = (1 << 12, 1 << 15, 1 << 18, 1 << 21, 1 << 24)
MEMORY_BYTES: Final = 1 << 26
SECONDS_A_FIGURE: Final = 0.12
REPEATS: Final = 3
TIME_LIMIT_S: Final = 60
BLOCKS: Final = (
    (ModelShape(layers=1, hidden=192, heads=6, kv_heads=2, ffn=512, vocab=2, context=256), 4),
    (ModelShape(layers=1, hidden=256, heads=8, kv_heads=4, ffn=704, vocab=2, context=128), 8),
    (ModelShape(layers=1, hidden=512, heads=8, kv_heads=8, ffn=1408, vocab=2, context=256), 2),
)
"""Shapes and micro-batches of the reference blocks: what is trained on such machines."""


class Rank:
    """One of the ranks that measure together."""

    def __init__(self, rank: int, ranks: int, store: str) -> None:
        import torch
        import torch.distributed as dist

        from hanse.training import compat

        self.rank, self.ranks, self.device = rank, ranks, compat.device_of(rank)
        self.torch, self.dist, self._synchronize = torch, dist, compat.synchronize
        dist.init_process_group(compat.backend_of(self.device), init_method=store, rank=rank, world_size=ranks)
        self.spreads: list[float] = []

    def measure(self) -> Calibration:
        matmul = Curve(
            x=tuple(2.0 * n**3 for n in MATMUL_SIZES), y=tuple(2.0 * n**3 / self._matmul_s(n) for n in MATMUL_SIZES),
            x_unit="FLOPs", y_unit="FLOP/s",
        )  # fmt: skip
        memory = self._memory_bytes_per_s()
        launch_s = self._launch_s()
        many = self.ranks > 1
        return Calibration(
            measured_at=now(), software=f"torch {self.torch.__version__} on {self.device.type}", ranks=self.ranks,
            matmul=matmul, memory_bytes_per_s=memory, launch_overhead_s=launch_s,
            all_reduce=self._collective(self._all_reduce_s) if many else None,
            all_gather=self._collective(self._all_gather_s) if many else None,
            block_scale=self._block_scale(matmul, memory, launch_s),
            spread=max(0.05, statistics.median(self.spreads)),
        )  # fmt: skip

    def _matmul_s(self, n: int) -> float:
        a, b = self._random(n, n), self._random(n, n)
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

    def _collective(self, seconds: Callable[[int], float]) -> Curve:
        x = tuple(float(size) for size in MESSAGE_BYTES)
        return Curve(x=x, y=tuple(n / seconds(n) for n in MESSAGE_BYTES), x_unit="bytes", y_unit="bytes/s")

    def _all_reduce_s(self, size: int) -> float:
        data = self.torch.zeros(size // 4, device=self.device)
        return self._seconds(lambda: self.dist.all_reduce(data), together=True)

    def _all_gather_s(self, size: int) -> float:
        from hanse.training import compat

        part = self.torch.zeros(max(1, size // 4 // self.ranks), device=self.device)
        whole = self.torch.empty(len(part) * self.ranks, device=self.device)
        return self._seconds(lambda: compat.all_gather(whole, part), together=True)

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

    def _random(self, *size: int) -> torch.Tensor:
        return self.torch.randn(*size, device=self.device)

    def _seconds(self, work: Callable[[], object], *, together: bool = False) -> float:
        """Of one call: the slowest rank's median. `together`: every rank must make the same number of calls."""
        work()
        began = time.perf_counter()
        work()
        self._synchronize(self.device)
        once = max(time.perf_counter() - began, 1e-7)
        calls = max(1, min(2000, int(SECONDS_A_FIGURE / REPEATS / once)))
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


def calibrate(ranks: int, out: Path) -> None:
    """Start the ranks, wait for them, and leave a Calibration at `out`. Raises TrainingError if a rank fails."""
    threads = max(1, len(os.sched_getaffinity(0)) // ranks)
    environment = {"OMP_NUM_THREADS": str(threads), "GLOO_SOCKET_IFNAME": "lo", **allocator.settings()} | os.environ
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "hanse.training.calibrate",
            "--ranks",
            str(ranks),
            "--out",
            str(out.absolute()),
        ]
        command += ["--store", f"file://{folder}/store", "--rank"]
        started = [
            subprocess.Popen([*command, str(rank)], env=environment, stderr=subprocess.PIPE) for rank in range(ranks)
        ]
        try:
            failures = [(each.communicate(timeout=TIME_LIMIT_S)[1], each.returncode) for each in started]
        except subprocess.TimeoutExpired as error:
            raise TrainingError(f"the calibration did not end within {TIME_LIMIT_S} s") from error
        finally:
            for each in started:
                if each.poll() is None:
                    each.kill()
                    each.wait()
    for text, code in failures:
        if code:
            last = text.decode(errors="replace").strip().splitlines()[-1:] or [f"exit code {code}"]
            raise TrainingError(f"the calibration failed: {last[0]}")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m hanse.training.calibrate", description="Measure this machine.")
    parser.add_argument("--ranks", type=int, required=True, help="ranks that are busy at once")
    parser.add_argument("--out", type=Path, required=True, help="file for the Calibration (JSON)")
    parser.add_argument("--rank", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--store", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.rank is None:
        try:
            calibrate(given.ranks, given.out)
        except HanseError as error:
            sys.stderr.write(f"{error}\n")
            return error.exit_code
        return 0
    from hanse.training.parent import die_with_parent

    die_with_parent()
    calibration = Rank(given.rank, given.ranks, given.store).measure()
    if given.rank == 0:
        write_atomically(given.out, calibration.to_json())
    # Not by way of destructors: gloo's threads now and then abort in them (`main._leave`).
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
