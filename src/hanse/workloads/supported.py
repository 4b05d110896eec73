"""Which trainings Hanse's own trainer can carry out; whatever is described can be planned and handed over."""

from __future__ import annotations

import importlib.util

from hanse.contracts.spec import TrainSpec
from hanse.contracts.workload import ModelShape
from hanse.workloads.shapes import model_shape


def refusal(spec: TrainSpec) -> str | None:
    """Why the trainer cannot carry out `spec`, in one sentence; None if it can. A command is none of its business."""
    if spec.command is not None or spec.model is None:
        return None
    if spec.training != "pretraining":
        if spec.model.weights is None and (spec.training == "lora" or spec.model.entry is None):
            return f"training: {spec.training} begins from weights; give model.weights, or only plan."
        if spec.model.weights is not None and spec.tokenizer.path is None:
            return "weights go with their own tokenizer; give tokenizer: {kind: file, path: …/tokenizer.json}."
    for library, asked in (("wandb", spec.telemetry.wandb), ("mlflow", spec.telemetry.mlflow)):
        if asked and importlib.util.find_spec(library) is None:
            return f"telemetry.{library} needs the library, which is not installed: pip install {library}, or drop it."
    if spec.precision == "fp8":
        return "Hanse's trainer has no fp8 yet; set precision: bf16, or only plan."
    shape = model_shape(spec)
    return None if shape is None else shape_refusal(shape)


def shape_refusal(shape: ModelShape) -> str | None:
    """Why the trainer cannot build `shape`, in one sentence; None if it can."""
    if shape.family == "llama" or _plain_mixture(shape):
        return None
    kinds = {"decoder": "a decoder", "encoder": "an encoder", "vit": "a vision transformer"}
    parts = _unlike_llama(shape)
    with_parts = f" with {' and '.join(parts)}" if parts else ""
    return (
        "Hanse's trainer builds the llama family, Mixtral's mixtures and modules of yours (model.entry), "
        f"not {kinds[shape.family]}{with_parts}; it can be planned, not launched."
    )


def _plain_mixture(shape: ModelShape) -> bool:
    """A llama whose every feed-forward is a mixture of experts, none of them shared."""
    if shape.family != "decoder" or shape.experts is None:
        return False
    plain = {
        "head_size": None, "gated": True, "norm": "rms", "biases": "none", "positions": "rotary", "qk_norm": False,
        "window": None, "latent": None, "mtp_layers": 0, "layer_norms": 2, "extra_parameters": 0,
    }  # fmt: skip
    own = shape.experts.shared_ffn or shape.experts.dense_layers
    return not own and all(getattr(shape, name) == value for name, value in plain.items())


def _unlike_llama(shape: ModelShape) -> list[str]:
    """At most three of the things that set it apart, the largest first."""
    found = [
        (shape.experts is not None, "experts"),
        (shape.latent is not None, "latent attention"),
        (not shape.gated, "a plain feed-forward"),
        (shape.norm == "layer", "layer norm"),
        (shape.biases != "none", "biases"),
        (shape.qk_norm, "norms of queries and keys"),
        (shape.window is not None, "a sliding window"),
        (shape.head_size is not None, "a head size of its own"),
    ]
    return [name for there, name in found if there][:3]
