"""What `hanse plan` plans without a train.yaml: a preset, a config.json or a traced workload, with batch and tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

from hanse.cli import typed
from hanse.contracts.errors import UsageError
from hanse.contracts.workload import Precision

if TYPE_CHECKING:
    from hanse.contracts.workload import ModelShape, Workload

EXAMPLE: Final = "hanse plan --preset llama-3-8b --batch 1024 --tokens 1T --machine leonardo-booster"


_NEEDED: Final = {
    "batch": "sequences in a step",
    "tokens": "tokens to train on in all",
    "machine": "where it would run, or --all-machines",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """The options that describe a training without a file."""

    preset: str | None = None
    config: Path | None = None
    workload: Path | None = None
    batch: str | None = None
    tokens: str | None = None
    context: str | None = None
    precision: str | None = None

    @property
    def model(self) -> str | None:
        """The option that names the model, if one does."""
        given = [name for name in ("preset", "config", "workload") if getattr(self, name) is not None]
        if len(given) > 1:
            raise UsageError(f"--{' and --'.join(given)} each name a model.", fix="Give one of them.")
        return given[0] if given else None

    def refuse_beside(self, spec_path: Path) -> None:
        """Raises UsageError if any of it stands beside a train.yaml, which says all of it."""
        names = ("preset", "config", "workload", "batch", "tokens", "context", "precision")
        given = [f"--{name}" for name in names if getattr(self, name) is not None]
        if not given:
            return
        if self.model is None:
            raise UsageError(
                f"{' and '.join(given)} {'goes' if len(given) == 1 else 'go'} with a model named here; "
                f"{spec_path.name} says its own.",
                fix=f"Add --preset, --config or --workload, or change {spec_path.name}.",
            )
        raise UsageError(
            f"{spec_path.name} and {given[0]} each name a training.", where=str(spec_path), fix="Give one of them."
        )


def check_complete(described: Described, *, machine: bool) -> None:
    """Raises UsageError that names everything that is missing."""
    missing = [] if described.workload else [name for name in ("batch", "tokens") if getattr(described, name) is None]
    missing += [] if machine else ["machine"]
    if missing:
        named = " and ".join(f"--{name}" for name in missing)
        said = "; ".join(_NEEDED[name] for name in missing)
        raise UsageError(
            f"{named} {'is' if len(missing) == 1 else 'are'} missing: {said}.", fix=f"For instance: {EXAMPLE}"
        )


def workload_of(described: Described) -> Workload:
    """The training these options describe. Raises UsageError for what is missing or makes no sense."""
    if described.model == "workload":
        return _of_file(described)
    shape = _shape(described)
    return _of_shape(described, shape)


def _shape(described: Described) -> ModelShape:
    context = None if described.context is None else typed.count(described.context, "--context")
    if described.config is not None:
        from hanse.workloads import huggingface

        return huggingface.shape(described.config, context=context)
    from hanse.contracts.workload import ModelShape
    from hanse.workloads.presets import PRESETS

    name = described.preset or ""
    if name not in PRESETS:
        from difflib import get_close_matches

        from hanse.files.contract import nearest

        near = ", ".join(get_close_matches(name, list(PRESETS), n=6, cutoff=0.4))
        raise UsageError(
            f'There is no preset "{name}"{nearest(name, PRESETS) or "."}',
            fix=f"Known are {len(PRESETS)}{f', such as {near}' if near else ''}; --config reads a model's config.json.",
        )
    shape = PRESETS[name]
    return shape if context is None else ModelShape.model_validate(shape.model_dump() | {"context": context})


def _of_shape(described: Described, shape: ModelShape) -> Workload:
    from hanse.contracts.workload import Workload
    from hanse.workloads import shapes

    return Workload(
        name=_name(described),
        shape=shape,
        context=shape.context,
        vocab=shape.vocab,
        global_batch=typed.count(described.batch or "", "--batch"),
        total_tokens=typed.count(described.tokens or "", "--tokens"),
        precision=_precision(described.precision) or "bf16",
        parameters=shapes.parameters(shape),
        active_parameters=shapes.active_parameters(shape) if shape.experts else None,
        embedding_parameters=shapes.embedding_parameters(shape),
        flops_per_token=shapes.flops_per_token(shape),
    )


def _of_file(described: Described) -> Workload:
    """A workload that was traced; batch, tokens and precision may be overruled, its context may not."""
    from hanse.contracts.workload import Workload
    from hanse.files import contract, document

    assert described.workload is not None
    found = contract.build(Workload, document.read(described.workload))
    if described.context is not None:
        raise UsageError(
            "A traced workload holds for the context it was traced with.",
            where=str(described.workload),
            fix="Trace it again with another context, or leave --context out.",
        )
    changes: dict[str, object] = {}
    if described.batch is not None:
        changes["global_batch"] = typed.count(described.batch, "--batch")
    if described.tokens is not None:
        changes["total_tokens"] = typed.count(described.tokens, "--tokens")
    if (precision := _precision(described.precision)) is not None:
        changes["precision"] = precision
    return found.model_copy(update=changes)


def _precision(text: str | None) -> Precision | None:
    if text is None:
        return None
    for known in get_args(Precision):
        if text == known:
            return known  # type: ignore[no-any-return]
    raise UsageError(f'--precision "{text}" is not known.', fix=f"Known: {', '.join(get_args(Precision))}.")


def _name(described: Described) -> str:
    """A short name: the preset's, or that of the folder the config.json lies in."""
    if described.preset is not None:
        return described.preset
    assert described.config is not None
    path = described.config.absolute()
    said = path.parent.name if path.stem == "config" else path.stem
    return re.sub(r"[^a-z0-9._-]+", "-", said.lower()).strip("-._")[:63] or "model"
