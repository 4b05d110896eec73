"""Every difference between torch releases (2.8 and later) and between CUDA, ROCm and CPU, in one place."""

from __future__ import annotations

import os
import resource
from contextlib import AbstractContextManager
from inspect import signature
from typing import Any, Final

import torch
import torch.distributed as dist
from torch import Tensor

from hanse.contracts.errors import TrainingError

OLDEST: Final = (2, 8)


def require_release(version: str = torch.__version__) -> None:
    """Raises TrainingError for a torch that is too old."""
    numbers = tuple(int(part) for part in version.split("+")[0].split(".")[:2])
    if numbers < OLDEST:
        raise TrainingError(
            f"torch {version} is too old; Hanse's trainer needs {OLDEST[0]}.{OLDEST[1]} or later",
            fix="Use a newer image of the site, or install torch>=2.8.",
        )


def device_of(local_rank: int) -> torch.device:
    """This rank's device. ROCm builds of torch call their GPUs cuda too."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    # A launcher that shows each rank one GPU only (Slurm's --gpus-per-task) makes every local rank use number 0.
    device = torch.device("cuda", local_rank % torch.cuda.device_count())
    torch.cuda.set_device(device)
    return device


def backend_of(device: torch.device) -> str:
    """NCCL, which on ROCm is RCCL under the same name; gloo on CPUs."""
    return "nccl" if device.type == "cuda" else "gloo"


def synchronize(device: torch.device) -> None:
    """Wait for the device, so that the host's clock tells the time of the work rather than of its submission."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory_bytes(device: torch.device) -> int:
    """The most this rank has held: of the device's memory, or of the host's where the CPU is the device."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def autocast(device: torch.device, *, enabled: bool) -> AbstractContextManager[Any]:
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)


def all_gather(received: Tensor, sent: Tensor, group: Any = None) -> None:
    """Every rank's `sent`, one after another; renamed in 2.13."""
    gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
    gather(received, sent, group=group)


def reduce_scatter(received: Tensor, sent: Tensor, group: Any = None) -> None:
    """This rank's part of the sum of all ranks' `sent`; renamed in 2.13."""
    scatter = getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor
    scatter(received, sent, group=group)


def pipeline_step(schedule: Any, *given: Tensor, target: Tensor | None, losses: list[Tensor] | None) -> None:
    """One step of a pipeline, whose outputs nobody needs: later releases than 2.8 can leave them out."""
    kept = {"return_outputs": False} if "return_outputs" in signature(schedule.step).parameters else {}
    schedule.step(*given, target=target, losses=losses, **kept)


def software() -> dict[str, str]:
    """What a result names as made with."""
    import platform

    from hanse import __version__

    found = {"hanse": __version__, "python": platform.python_version(), "torch": torch.__version__}
    if torch.cuda.is_available():
        runtime = torch.version.hip or torch.version.cuda
        found |= {"device": torch.cuda.get_device_name(), "rocm" if torch.version.hip else "cuda": str(runtime)}
    return found


def threads_of_this_rank() -> int:
    return int(os.environ.get("OMP_NUM_THREADS", "0")) or torch.get_num_threads()
