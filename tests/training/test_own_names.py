"""What a module of the user's may call its children."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from hanse.contracts.layout import Layout
from hanse.training.parallelize import parallelize
from tests.training.gang import together

pytestmark = pytest.mark.torch


class Wrapper(nn.Module):
    """Its only child is called as DDP calls what it wraps."""

    def __init__(self) -> None:
        super().__init__()
        self.module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.module(x)  # type: ignore[no-any-return]


def names_stay(layout: Layout) -> None:
    torch.manual_seed(0)
    parallel = parallelize(Wrapper(), layout, device=torch.device("cpu"))
    assert [name for name, _ in parallel.named_parameters()] == list(Wrapper().state_dict())
    assert set(parallel.full_state()) >= set(Wrapper().state_dict()) or torch.distributed.get_rank() != 0


@pytest.mark.parametrize("layout", [Layout(dp=2), Layout(fsdp=2)], ids=["dp", "fsdp"])
def test_a_child_that_is_called_module_keeps_its_name(layout: Layout) -> None:
    together(2, partial(names_stay, layout))
