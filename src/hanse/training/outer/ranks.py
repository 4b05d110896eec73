"""A leg's weights over its ranks: rank 0 leads the outer steps on the CPU and asks the others for their parts.

While rank 0 works or waits, the other ranks serve it: they gather a fragment, take in a new one, or wait. So the code
of a leg is that of one process, whatever the layout.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from hanse.training.outer.chain import OffTheChain
from hanse.training.outer.quantise import Values

_END: Final = 0
_READ: Final = 1
_WRITE: Final = 2
_IDLE: Final = 3


class Came(NamedTuple):
    """What the ranks of a leg know of it after a call: the inner step, whether it was stopped, whether it is done."""

    step: int
    stopped: bool
    done: bool


class Ranked:
    """A leg's parameters, read and written by fragments; made by all ranks."""

    def __init__(
        self, parameters: Mapping[str, nn.Parameter], fragments: Sequence[Sequence[str]], device: torch.device
    ) -> None:
        self._parameters, self._fragments, self._device = parameters, [tuple(each) for each in fragments], device
        self.rank, self._many = dist.get_rank(), dist.get_world_size() > 1

    def lead(self, act: Callable[[], Came]) -> Came:
        """`act` on rank 0, whose reads and writes all ranks take part in; what it came to, on all of them.

        Raises:
            OffTheChain: on every rank, if rank 0 finds that others went on otherwise.
        """
        if self.rank != 0:
            return self._serve()
        off: OffTheChain | None = None
        came = Came(0, stopped=False, done=False)
        try:
            came = act()
        except OffTheChain as error:
            off = error
        self._tell(_END, came.step, int(came.stopped) + 2 * int(came.done) + 4 * int(off is not None))
        if off is not None:
            raise off
        return came

    def read(self, names: Sequence[str]) -> Values:
        fragment = self._fragments.index(tuple(names))
        self._tell(_READ, fragment)
        return self._gather(fragment).numpy()

    def write(self, names: Sequence[str], values: Values) -> None:
        fragment = self._fragments.index(tuple(names))
        self._tell(_WRITE, fragment)
        self._spread(fragment, torch.from_numpy(values))

    def idle(self) -> None:
        self._tell(_IDLE)

    def _serve(self) -> Came:
        while True:
            act, first, second = self._told()
            if act == _READ:
                self._gather(first)
            elif act == _WRITE:
                self._spread(first, None)
            elif act == _END:
                if second & 4:
                    raise OffTheChain("other legs went on otherwise")
                return Came(first, stopped=bool(second & 1), done=bool(second & 2))

    def _tell(self, act: int, first: int = 0, second: int = 0) -> None:
        if self._many:
            dist.broadcast(torch.tensor([act, first, second], dtype=torch.int64, device=self._device), src=0)

    def _told(self) -> tuple[int, int, int]:
        told = torch.empty(3, dtype=torch.int64, device=self._device)
        dist.broadcast(told, src=0)
        act, first, second = told.tolist()
        return act, first, second

    @torch.no_grad()
    def _gather(self, fragment: int) -> Tensor:
        """Whole values on rank 0's CPU, one parameter at a time; the others get what is of no use to them."""
        pieces = []
        for name in self._fragments[fragment]:
            parameter = self._parameters[name].detach()
            whole = parameter.full_tensor() if isinstance(parameter, DTensor) else parameter
            if self.rank == 0:
                pieces.append(whole.to("cpu", torch.float32, copy=True).reshape(-1))
        return torch.cat(pieces) if pieces else torch.empty(0)

    @torch.no_grad()
    def _spread(self, fragment: int, values: Tensor | None) -> None:
        """Rank 0's values into everybody's parameters."""
        at = 0
        for name in self._fragments[fragment]:
            parameter = self._parameters[name]
            whole = torch.empty(parameter.shape, dtype=torch.float32, device=self._device)
            if values is not None:
                whole.copy_(values[at : at + whole.numel()].view(whole.shape))
                at += whole.numel()
            if self._many:
                dist.broadcast(whole, src=0)
            parameter.copy_(_like(parameter, whole))


def _like(parameter: nn.Parameter, whole: Tensor) -> Tensor:
    if not isinstance(parameter, DTensor):
        return whole
    # Every rank holds the whole; nothing need travel.
    return distribute_tensor(whole, parameter.device_mesh, parameter.placements, src_data_rank=None)
