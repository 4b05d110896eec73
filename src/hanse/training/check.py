"""A dry run at scale: the real model under the real layout, as one rank of a process group that only pretends.

`python -m hanse.training.check PLAN.JSON RANK [TRAIN.YAML]` builds what that rank would build, with tensors that have a
shape and no memory and collectives that move nothing, takes it through a step, and counts the bytes that live at once.
A layout that the software cannot build fails here, before a node-hour is spent. The answer is JSON on stdout.
"""

from __future__ import annotations

import contextlib
import json
import sys
import weakref
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hanse.contracts.errors import HanseError, TrainingError, UsageError
from hanse.contracts.layout import Layout
from hanse.contracts.plan import Plan
from hanse.contracts.spec import ModelSpec, OptimizerSpec
from hanse.contracts.workload import Lora, Precision, Workload
from hanse.training import compat, entry, tune
from hanse.training.model import Decoder
from hanse.training.optimizer import make_optimizer
from hanse.training.parallelize import Parallel, parallelize
from hanse.training.parallelize_gradients import settle
from hanse.training.parallelize_mesh import Ranks
from hanse.training.pipeline import held_stages

_USAGE: Final = "usage: python -m hanse.training.check PLAN.JSON RANK [TRAIN.YAML]"
_DEVICE: Final = torch.device("cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What is built: called where tensors take no memory."""

    module: Any
    """() → nn.Module."""
    context: int
    vocab: int
    precision: Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedRank:
    """One rank taken through a step with tensors that take no memory; bytes of what it would hold."""

    rank: int
    parameters: int
    gradients: int
    optimiser: int
    activations: int
    """The most that lives beside parameters and gradients in forward and backward."""

    @property
    def peak(self) -> int:
        return self.parameters + self.gradients + self.optimiser + self.activations


def check(model: Model, layout: Layout, rank: int) -> CheckedRank:
    """Take one rank through a step. Once a process: torch remembers the groups of the first.

    Raises:
        TrainingError: the trainer cannot build or run the model so.
    """
    with _pretended(rank, layout.world_size):
        try:
            return _step(model, Ranks.of(layout, _DEVICE, pretended=True))
        except HanseError:
            raise
        except Exception as error:
            first = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise TrainingError(
                f"the model could not be taken through a step: {type(error).__name__}: {first}",
                where=f"rank {rank} of layout {layout.describe()}",
            ) from error


def _step(model: Model, ranks: Ranks) -> CheckedRank:
    fake, living = FakeTensorMode(allow_non_fake_inputs=True), _Living()

    def place(part: nn.Module) -> None:
        with fake, living:
            part.to_empty(device=_DEVICE)

    # Meshes look at values, so the model is spread before tensors have none.
    parallel = parallelize(
        model.module(), ranks.layout, device=_DEVICE, precision=model.precision, ranks=ranks, place=place
    )
    with fake, living:
        return _counted(model, parallel, living)


def _counted(model: Model, parallel: Parallel, living: _Living) -> CheckedRank:
    optimizer = make_optimizer(parallel, OptimizerSpec())
    _activations(model, parallel, living)  # once for DTensor, which tries each operation on whole tensors first
    parallel.model.zero_grad(set_to_none=True)
    before = living.peak = living.now
    peak = _activations(model, parallel, living)
    settle(parallel.parameters)
    gradients = _bytes([each.grad for each in parallel.parameters if each.grad is not None])
    optimizer.step()
    moments = _bytes([value for state in optimizer.state.values() for value in state.values()])
    held = _bytes([each for _, each in parallel.named_parameters()])  # frozen ones too
    return CheckedRank(
        rank=parallel.ranks.rank, parameters=held, gradients=gradients, optimiser=moments,
        activations=max(0, peak - before - gradients),
    )  # fmt: skip


def _activations(model: Model, parallel: Parallel, living: _Living) -> int:
    """Peak of what lives in forward and backward of the micro-batches that are in flight at once."""
    layout = parallel.layout
    length = model.context // layout.cp
    ids = torch.zeros(layout.micro_batch, length, dtype=torch.long)
    automatic = partial(compat.autocast, _DEVICE, enabled=model.precision == "bf16")
    if parallel.schedule is None:
        with automatic():
            torch.autograd.backward(parallel.token_loss(parallel.model(ids), ids))
        return living.peak
    schedule = parallel.schedule
    schedule.prepare(layout.micro_batch * layout.accumulate, length)
    count = layout.pp * layout.chunks
    made: list[tuple[Tensor, int]] = []
    with automatic():
        for _ in range(in_flight(layout, parallel.ranks.at("pp"))):
            for part in schedule.parts:
                given = ids if part.number == 0 else schedule.boundary(layout.micro_batch, length).requires_grad_()
                out = part.module(given)
                last = part.number == count - 1
                made.append((parallel.token_loss(out, ids) if last else out, part.number))
    while made:
        out, _ = made.pop()
        torch.autograd.backward(out, None if out.ndim == 0 else torch.empty_like(out))
        del out
    return living.peak


def in_flight(layout: Layout, rank: int) -> int:
    """Micro-batches whose activations of all its stages a pipeline rank holds at once."""
    if layout.pipeline == "1f1b":
        return min(layout.accumulate, layout.pp - rank)
    chunks = len(held_stages(layout, rank))
    if layout.pipeline == "zero-bubble":
        return min(layout.accumulate, layout.pp)
    return min(layout.accumulate, -(-((layout.pp - rank - 1) * 2 + (chunks - 1) * layout.pp + 1) // chunks))


@contextlib.contextmanager
def _pretended(rank: int, world: int) -> Iterator[None]:
    """A process group of `world` ranks of which this is one; nothing is sent."""
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", rank=rank, world_size=world, store=FakeStore())
    try:
        yield
    finally:
        dist.destroy_process_group()


def _bytes(tensors: list[Any]) -> int:
    held = (each.to_local() if isinstance(each, DTensor) else each for each in tensors)
    return sum(each.numel() * each.element_size() for each in held)


class _Living(TorchDispatchMode):
    """Bytes of all storages that are alive, and the most there were."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._sizes: dict[int, int] = {}

    def __enter__(self) -> _Living:
        self._resize = torch.UntypedStorage.resize_
        living, resize = self, self._resize

        def resized(storage: torch.UntypedStorage, size: int) -> Any:
            # FSDP gives memory of gathered weights back so.
            done = resize(storage, size)
            if storage._cdata in living._sizes:
                living._count(storage._cdata, size)
            return done

        torch.UntypedStorage.resize_ = resized  # type: ignore[method-assign,assignment]
        super().__enter__()
        return self

    def __exit__(self, *arguments: Any) -> None:
        super().__exit__(*arguments)
        torch.UntypedStorage.resize_ = self._resize  # type: ignore[method-assign]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if any(issubclass(each, DTensor) for each in types):
            return NotImplemented  # its parts come here one by one
        out = func(*args, **(kwargs or {}))
        for each in tree_leaves(out):
            if isinstance(each, Tensor) and not isinstance(each, DTensor) and not each.is_meta:
                self._add(each.untyped_storage())
        return out

    def _add(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._sizes:
            return
        self._sizes[key] = 0
        self._count(key, storage.nbytes())
        weakref.finalize(storage, self._gone, key)

    def _count(self, key: int, size: int) -> None:
        self.now += size - self._sizes[key]
        self._sizes[key] = size
        self.peak = max(self.peak, self.now)

    def _gone(self, key: int) -> None:
        self.now -= self._sizes.pop(key, 0)


def model_of(plan: Plan, spec_path: Path | None) -> Model:
    """What the plan trains. Raises UsageError where neither it nor train.yaml says how to build it."""
    workload = plan.workload
    if workload.shape is not None:
        return Model(
            module=lambda: _bare(workload), context=workload.context, vocab=workload.shape.vocab,
            precision=workload.precision,
        )  # fmt: skip
    if spec_path is not None:
        from hanse.workloads.load import load_spec

        spec = load_spec(spec_path)
        if spec.model is not None and spec.model.entry is not None:
            given, folder = spec.model, spec_path.absolute().parent
            return Model(
                module=lambda: _own(given, folder), context=workload.context, vocab=workload.vocab,
                precision=workload.precision,
            )  # fmt: skip
    raise UsageError("the plan names no model that could be built", where=workload.name, fix=_USAGE)


def _own(given: ModelSpec, folder: Path) -> nn.Module:
    """Without memory where the module allows it."""
    try:
        with torch.device("meta"):
            return entry.build(given, folder)
    except (NotImplementedError, RuntimeError):
        return entry.build(given, folder)


def _bare(workload: Workload) -> nn.Module:
    assert workload.shape is not None
    with torch.device("meta"):
        model = Decoder(workload.shape)
        return tune.with_adapters(model, workload.lora or Lora()) if workload.training == "lora" else model


def main(argv: list[str]) -> int:
    try:
        if len(argv) not in (2, 3) or not argv[1].isdecimal():
            raise UsageError("one rank of one plan is checked", fix=_USAGE)
        plan = Plan.from_json(Path(argv[0]).read_bytes())
        with contextlib.redirect_stdout(sys.stderr):  # the module may print; standard output is the answer's
            found = check(model_of(plan, Path(argv[2]) if len(argv) == 3 else None), plan.layout, int(argv[1]))
        sys.stdout.write(json.dumps(asdict(found)) + "\n")
    except HanseError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
