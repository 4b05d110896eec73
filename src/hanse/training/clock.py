"""Where a step's time goes inside forward and backward: each of the two, and in sampled steps every communication.

On a GPU the two are told apart by events in its stream, so that nothing waits for them; on a CPU by the host's clock.
Communications overlap with computing: their times are torch's profiler's, by operation, and do not add up to a step's.
"""

from __future__ import annotations

import time
from typing import Any, Final

import torch

OPERATIONS: Final = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast", "send", "recv")
"""What a collective is called in the end, whichever backend and form: gloo:all_reduce, nccl:_all_gather_base."""


class Clock:
    """`begin`, then `mark` what ends; `take` gives the sums since the last time."""

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._laps: list[tuple[str, Any, Any]] = []
        self._last: Any = None
        self._profile: Any = None

    def begin(self) -> None:
        self._last = self._now()

    def mark(self, part: str) -> None:
        if self._last is None:
            return
        instant = self._now()
        self._laps.append((part, self._last, instant))
        self._last = instant

    def take(self) -> dict[str, float]:
        """Seconds by part; the device has finished what was marked."""
        laps, self._laps, self._last = self._laps, [], None
        sums: dict[str, float] = {}
        for part, start, end in laps:
            seconds = start.elapsed_time(end) / 1e3 if self._on_gpu else end - start
            sums[part] = sums.get(part, 0.0) + seconds
        return sums

    def sample(self) -> None:
        """Listen to the communications of the step that begins."""
        kinds = [torch.profiler.ProfilerActivity.CPU]
        if self._on_gpu:
            kinds.append(torch.profiler.ProfilerActivity.CUDA)
        self._profile = torch.profiler.profile(activities=kinds)
        self._profile.__enter__()

    def sampled(self) -> dict[str, float] | None:
        """Seconds by operation of the step that ended; None where it was not listened to."""
        profile, self._profile = self._profile, None
        if profile is None:
            return None
        profile.__exit__(None, None, None)
        found: dict[str, float] = {}
        for event in profile.events():
            if (name := operation(event.name)) is not None:
                found[name] = found.get(name, 0.0) + event.time_range.elapsed_us() / 1e6
        return found

    def drop(self) -> None:
        """The step was given up."""
        self.sampled()
        self._laps, self._last = [], None

    def _now(self) -> Any:
        if not self._on_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event


def operation(name: str) -> str | None:
    """'gloo:all_reduce' and 'nccl:_all_gather_base' → 'all_reduce', 'all_gather'; None for anything else."""
    backend, colon, rest = name.partition(":")
    if not colon or backend not in ("gloo", "nccl"):
        return None
    plain = rest.lstrip("_").replace("allreduce", "all_reduce").replace("allgather", "all_gather")
    return next((each for each in OPERATIONS if plain.startswith(each)), plain or None)
