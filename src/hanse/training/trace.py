"""What a module costs, piece by piece, found by running it once without memory: `python -m hanse.training.trace SPEC`.

The module is built and run for one sequence with tensors that have a shape and no values, and that answer as a CPU's
would (torch's FakeTensorMode), so that the kernels are those that really run. Every operation is seen by a dispatch
mode, every tensor that autograd keeps by its saved-tensor hooks. Products, convolutions and attention count as FLOPs
(torch's own formulas; causal attention by half), everything else as bytes read and written.
"""

from __future__ import annotations

import contextlib
import math
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
    UnsupportedFakeTensorException,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from hanse.contracts.errors import HanseError, UsageError
from hanse.contracts.workload import Block, Workload

if TYPE_CHECKING:
    from hanse.contracts.spec import TrainSpec

REST: Final = "rest"
"""What runs outside every piece: additions and reshapes in the module's own forward, a tied head."""

_NEEDS_VALUES: Final = (
    DataDependentOutputException, DynamicOutputShapeException, UnsupportedFakeTensorException, NotImplementedError,
)  # fmt: skip
_VIEWS: Final = frozenset({"aten::_unsafe_view", "aten::_reshape_alias", "aten::detach", "aten::lift_fresh"})
_LOOK_UPS: Final = frozenset({"embedding", "index_select", "gather"})
_USAGE: Final = "usage: python -m hanse.training.trace TRAIN.YAML [--out FILE.json|FILE.yaml]"


@dataclass(slots=True)
class _Costs:
    forward_flops: float = 0.0
    elementwise_bytes: float = 0.0
    activation_bytes: int = 0
    operations: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """Modules of one structure beside one another, or one that stands alone."""

    name: str
    modules: tuple[nn.Module, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """For one sequence and one forward pass; `embedding` is of embeddings and of a head as wide as `vocab`."""

    blocks: tuple[Block, ...]
    parameters: int
    trainable: int
    embedding: int

    @property
    def forward_flops(self) -> float:
        return sum(each.repeats * each.forward_flops for each in self.blocks)

    @property
    def activation_bytes(self) -> int:
        return sum(each.repeats * each.activation_bytes for each in self.blocks)


class _NoMemory(FakeTensorMode):
    """Modules that are made by copying one (`nn.TransformerEncoder`) must not copy the mode their tensors belong to."""

    def __deepcopy__(self, _memo: dict[int, Any]) -> _NoMemory:
        return self


def trace(
    build: Callable[[], nn.Module],
    inputs: Callable[[], tuple[Any, ...]],
    *,
    dtype: torch.dtype = torch.float32,
    vocab: int | None = None,
) -> Traced:
    """Run `build()` once on `inputs()`, both called where tensors take no memory; weights are made to `dtype`.

    A module that looks at values (`.item()`, a loop until something converges) is run again with memory.
    """
    try:
        with _NoMemory(), warnings.catch_warnings():
            # Copying a module looks at data pointers; that these are none is the point here.
            warnings.filterwarnings("ignore", message="Accessing the data pointer of FakeTensor")
            return _run(build(), inputs(), dtype, vocab)
    except _NEEDS_VALUES:
        return _run(build(), inputs(), dtype, vocab)


def _run(module: nn.Module, arguments: tuple[Any, ...], dtype: torch.dtype, vocab: int | None) -> Traced:
    _cast(module, dtype)
    module.train()
    arguments = tuple(
        each.to(dtype) if isinstance(each, Tensor) and each.is_floating_point() else each for each in arguments
    )
    pieces = _pieces(module)
    recorder = _Recorder(module)
    hooks = [hook for piece in pieces for each in piece.modules for hook in recorder.watch(each)]
    try:
        with recorder, torch.autograd.graph.saved_tensors_hooks(recorder.keep, lambda kept: kept):
            module(*arguments)
    finally:
        for hook in hooks:
            hook.remove()
    return Traced(
        blocks=_blocks(module, pieces, recorder.costs),
        parameters=sum(each.numel() for each in module.parameters()),
        trainable=sum(each.numel() for each in module.parameters() if each.requires_grad),
        embedding=_embedding(module, vocab),
    )


def _cast(module: nn.Module, dtype: torch.dtype) -> None:
    """As `module.to(dtype)`, which tensors without memory refuse; what was tied stays tied."""
    made: dict[int, Tensor] = {}
    for inner in module.modules():
        for store in (inner._parameters, inner._buffers):
            for name, old in store.items():
                if old is None or not old.is_floating_point() or old.dtype == dtype:
                    continue
                if id(old) not in made:
                    new = old.detach().to(dtype)
                    made[id(old)] = nn.Parameter(new, old.requires_grad) if isinstance(old, nn.Parameter) else new
                store[name] = made[id(old)]


class _Recorder(TorchDispatchMode):
    """Adds every operation and every kept tensor to the innermost watched module that runs."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.costs: dict[nn.Module | None, _Costs] = {None: _Costs()}
        self._inside: list[nn.Module] = []
        own = [*module.parameters(), *module.buffers()]
        self._known = {_storage(each): each for each in own}

    def watch(self, module: nn.Module) -> Iterator[torch.utils.hooks.RemovableHandle]:
        self.costs[module] = _Costs()
        yield module.register_forward_pre_hook(lambda inner, _: self._inside.append(inner))
        yield module.register_forward_hook(lambda *_: self._leave(), always_call=True)

    def _leave(self) -> None:
        self._inside.pop()

    @property
    def _now(self) -> _Costs:
        return self.costs[self._inside[-1] if self._inside else None]

    def keep(self, tensor: Tensor) -> Tensor:
        """The saved-tensor hook. A tensor kept twice, or a view of one that is kept, takes no more memory."""
        if (storage := _storage(tensor)) not in self._known:
            self._known[storage] = tensor  # holding it keeps its storage from being used again
            self._now.activation_bytes += tensor.untyped_storage().nbytes()
        return tensor

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if _is_view(func):
            return out
        costs = self._now
        costs.operations += 1
        if (flops := _flops(func, args, kwargs, out)) is not None:
            costs.forward_flops += flops
        elif func._overloadpacket.__name__ in _LOOK_UPS:
            costs.elementwise_bytes += 2 * _bytes(out) + _bytes(args[1:])  # of the table only the rows looked up
        else:
            costs.elementwise_bytes += _bytes((args, kwargs)) + _bytes(out)
        return out


def _flops(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> float | None:
    """Of a product, a convolution or attention; None for everything else."""
    packet = func._overloadpacket
    if "scaled_dot_product" in packet.__name__ and "backward" not in packet.__name__:
        q, k, v = args[:3]
        scores = math.prod(q.shape[:-1]) * k.shape[-2]
        causal = kwargs.get("is_causal", _argument(func, args, "is_causal"))
        return 2.0 * scores * (q.shape[-1] + v.shape[-1]) * (0.5 if causal else 1.0)
    formula = flop_registry.get(packet)
    return None if formula is None else float(formula(*args, **kwargs, out_val=out))


def _argument(func: Any, args: tuple[Any, ...], name: str) -> Any:
    for position, argument in enumerate(func._schema.arguments):
        if argument.name == name:
            return args[position] if position < len(args) else argument.default_value
    return None


def _is_view(func: Any) -> bool:
    schema = func._schema
    return schema.name in _VIEWS or any(
        each.alias_info is not None and not each.alias_info.is_write for each in schema.returns
    )


def _bytes(tree: Any) -> int:
    if isinstance(tree, Tensor):
        return tree.numel() * tree.element_size()
    if isinstance(tree, dict):
        return sum(_bytes(each) for each in tree.values())
    return sum(_bytes(each) for each in tree) if isinstance(tree, (list, tuple)) else 0


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _pieces(module: nn.Module, prefix: str = "") -> list[_Piece]:
    """Children of one structure as one piece; a child that holds such repetition is looked into, another is a piece."""
    children = [(name, child) for name, child in module.named_children() if any(True for _ in child.parameters())]
    signatures = {name: _signature(child) for name, child in children}
    times = Counter(signatures.values())
    found: list[_Piece] = []
    for name, child in children:
        where, signature = f"{prefix}{name}", signatures[name]
        if times[signature] > 1:
            same = tuple(other for each, other in children if signatures[each] == signature)
            if child is same[0]:
                found.append(_Piece(name=prefix.rstrip(".") or type(child).__name__, modules=same))
        elif _repeats(child):
            found += _pieces(child, f"{where}.")
        else:
            found.append(_Piece(name=where, modules=(child,)))
    return found


def _repeats(module: nn.Module) -> bool:
    """Whether some list or sequence in it holds several of one structure."""
    for inner in module.modules():
        if isinstance(inner, (nn.ModuleList, nn.Sequential)):
            kinds = Counter(_signature(child) for child in inner.children() if any(True for _ in child.parameters()))
            if max(kinds.values(), default=0) > 1:
                return True
    return False


def _signature(module: nn.Module) -> tuple[object, ...]:
    return (type(module), *((name, tuple(each.shape)) for name, each in module.named_parameters()))


def _blocks(module: nn.Module, pieces: list[_Piece], costs: dict[nn.Module | None, _Costs]) -> tuple[Block, ...]:
    counted: set[int] = set()

    def own(modules: tuple[nn.Module, ...]) -> int:
        """Parameters of these that no piece before had: a tied weight counts once."""
        new = {id(each): each.numel() for inner in modules for each in inner.parameters() if id(each) not in counted}
        counted.update(new)
        return sum(new.values())

    names: Counter[str] = Counter()
    found = []
    over = 0
    for piece in pieces:
        names[piece.name] += 1
        name = piece.name if names[piece.name] == 1 else f"{piece.name}-{names[piece.name]}"
        own_costs = [costs[each] for each in piece.modules]
        found.append(_block(name, own(piece.modules), own_costs))
        over += sum(each.activation_bytes for each in own_costs) - found[-1].repeats * found[-1].activation_bytes
    costs[None].activation_bytes += over  # so that the sum stays exact where the first of them keeps what all share
    rest = _block(REST, own((module,)), [costs[None]])
    return (*found, rest) if rest.operations or rest.parameters or over else tuple(found)


def _block(name: str, parameters: int, costs: list[_Costs]) -> Block:
    """The mean of pieces of one structure."""
    repeats = len(costs)
    return Block(
        name=name, repeats=repeats, parameters=round(parameters / repeats),
        forward_flops=sum(each.forward_flops for each in costs) / repeats,
        elementwise_bytes=sum(each.elementwise_bytes for each in costs) / repeats,
        activation_bytes=sum(each.activation_bytes for each in costs) // repeats,
        operations=round(sum(each.operations for each in costs) / repeats),
    )  # fmt: skip


def _embedding(module: nn.Module, vocab: int | None) -> int:
    """Of embeddings, and of the head: what comes last, if it makes `vocab` numbers."""
    leaves = [each for each in module.modules() if next(each.parameters(recurse=False), None) is not None]
    found = [each.weight for each in leaves if isinstance(each, nn.Embedding)]
    if leaves and isinstance(leaves[-1], nn.Linear) and leaves[-1].out_features == vocab:
        found.append(leaves[-1].weight)
    return sum({id(each): each.numel() for each in found}.values())


def trace_spec(spec: TrainSpec, folder: Path) -> Workload:
    """The workload of a spec whose module Hanse can build: the user's own, or one of the llama family."""
    from hanse.training import entry
    from hanse.training.model import Decoder
    from hanse.workloads.shapes import model_shape, workload_of

    if spec.model is None:
        raise UsageError("a command: has no module to be traced", where=spec.name)
    model, shape = spec.model, model_shape(spec)
    context, vocab = (shape.context, shape.vocab) if shape else (model.context or 1, model.vocab or 1)
    traced = trace(
        (lambda: Decoder(shape)) if shape else (lambda: entry.build(model, folder)),
        lambda: (torch.zeros(1, context, dtype=torch.long),),
        dtype=torch.float32 if spec.precision == "fp32" else torch.bfloat16,
        vocab=vocab,
    )
    frozen = traced.parameters - traced.trainable
    found = {
        "blocks": traced.blocks, "parameters": traced.parameters, "embedding_parameters": traced.embedding,
        "trainable_parameters": traced.trainable if frozen else None,
        "flops_per_token": 3.0 * traced.forward_flops / context,
    }  # fmt: skip
    known = workload_of(spec, traced.parameters)
    return Workload.model_validate({**{name: getattr(known, name) for name in Workload.model_fields}, **found})


def text_of(workload: Workload, *, as_yaml: bool) -> str:
    if not as_yaml:
        return workload.to_json()
    import yaml

    return yaml.safe_dump(workload.model_dump(mode="json", exclude_none=True), sort_keys=False)


def main(argv: list[str]) -> int:
    from hanse.workloads.load import load_spec

    try:
        if len(argv) not in (1, 3) or (len(argv) == 3 and argv[1] != "--out"):
            raise UsageError("one train.yaml is traced", fix=_USAGE)
        path = Path(argv[0])
        with contextlib.redirect_stdout(sys.stderr):  # the module may print; standard output is the workload's
            workload = trace_spec(load_spec(path), path.absolute().parent)
        target = Path(argv[2]) if len(argv) == 3 else None
        text = text_of(workload, as_yaml=target is not None and target.suffix in (".yaml", ".yml"))
        if target is None:
            sys.stdout.write(text)
        else:
            target.write_text(text, encoding="utf-8")
    except HanseError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
