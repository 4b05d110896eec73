"""Fine-tuning: first values from safetensors of the Llama family, and low-rank adapters beside frozen weights.

An adapter adds (alpha / rank) · B·A to a weight; A begins at random by its name, B at nothing, so that training begins
at the very model that was loaded (Hu et al. 2021). It is exported merged into the weights, and alone.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody reads
from safetensors import safe_open
from torch import Tensor, nn

from hanse.contracts.errors import NotAsWritten
from hanse.contracts.workload import Lora
from hanse.training.job import Job
from hanse.training.model import ROTARY_BASE, Decoder, initial_value
from hanse.training.names import llama_name

ATTENTION: Final = ("q", "k", "v", "o")
FEED_FORWARD: Final = ("gate", "up", "down")
FirstValue = Callable[[str, torch.Size], Tensor]


class LoraLinear(nn.Linear):
    """A frozen product with an adapter beside it. Its weight keeps the name it had."""

    def __init__(self, plain: nn.Linear, rank: int, scale: float) -> None:
        super().__init__(plain.in_features, plain.out_features, bias=False, device="meta")
        self.weight = plain.weight
        self.scale = scale
        self.lora_a = nn.Parameter(torch.empty(rank, plain.in_features, device=plain.weight.device))
        self.lora_b = nn.Parameter(torch.empty(plain.out_features, rank, device=plain.weight.device))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + F.linear(F.linear(x, self.lora_a), self.lora_b) * self.scale


def lora_of(job: Job) -> Lora | None:
    return (job.spec.lora or Lora()) if job.spec.training == "lora" else None


def scale_of(lora: Lora) -> float:
    return (lora.alpha or 2 * lora.rank) / lora.rank


def targets_of(lora: Lora) -> tuple[str, ...]:
    return ATTENTION if lora.targets == "attention" else ATTENTION + FEED_FORWARD


def adapt(model: Decoder, job: Job) -> Decoder:
    """The model as the weights' config.json has it, with adapters and all else frozen where the job asks for them."""
    if job.model.weights is not None:
        config = _config(job)
        model.rotary_base = float(_rotary(config).get("rope_theta", ROTARY_BASE))
        for module in model.modules():
            if isinstance(module, nn.RMSNorm):
                module.eps = float(config.get("rms_norm_eps", 1e-6))
    lora = lora_of(job)
    return model if lora is None else with_adapters(model, lora)


def with_adapters(model: Decoder, lora: Lora) -> Decoder:
    """The model with adapters beside the products they are for, and all else frozen."""
    model.requires_grad_(False)
    for part in [each for block in model.blocks for each in block.modules()]:
        for name, child in list(part.named_children()):
            if isinstance(child, nn.Linear) and name in targets_of(lora):
                setattr(part, name, LoraLinear(child, lora.rank, scale_of(lora)))
    return model


def first_values(job: Job) -> FirstValue:
    """What each parameter begins with, on the CPU in fp32: from the weights where there are some, else by its name."""
    assert job.shape is not None, "a module of the user's brings its own first values"
    layers, seed = job.shape.layers, job.spec.seed
    stored = _stored(job) if job.model.weights is not None else None

    def value(name: str, size: torch.Size) -> Tensor:
        if name.endswith("lora_b"):
            return torch.zeros(size)
        if name.endswith("lora_a"):
            source = torch.Generator().manual_seed(zlib.crc32(f"{seed} {name}".encode()))
            return torch.empty(size).normal_(0.0, 1 / math.sqrt(size[1]), generator=source)
        if stored is None:
            return initial_value(name, size, layers=layers, seed=seed)
        return _read(stored, llama_name(name), size)

    return value


def merged(weights: dict[str, Tensor], lora: Lora) -> dict[str, Tensor]:
    """The weights with each adapter added in; no adapter is left."""
    plain = {name: value for name, value in weights.items() if ".lora_" not in name}
    for name in [each for each in weights if each.endswith(".lora_a")]:
        base = name.removesuffix("lora_a")
        plain[f"{base}weight"] = weights[f"{base}weight"] + scale_of(lora) * weights[f"{base}lora_b"] @ weights[name]
    return plain


def adapter(weights: dict[str, Tensor], lora: Lora, base: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The adapters alone, under the names and with the configuration that PEFT reads."""
    kinds = {"lora_a": "lora_A.weight", "lora_b": "lora_B.weight"}
    tensors = {
        f"base_model.model.{llama_name(name).removesuffix(kind)}{theirs}": value
        for name, value in weights.items() for kind, theirs in kinds.items() if name.endswith(f".{kind}")
    }  # fmt: skip
    config = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": base, "r": lora.rank,
        "lora_alpha": lora.alpha or 2 * lora.rank, "target_modules": [f"{name}_proj" for name in targets_of(lora)],
        "lora_dropout": 0.0, "bias": "none", "fan_in_fan_out": False, "inference_mode": True,
    }  # fmt: skip
    return tensors, config


def constants(job: Job) -> dict[str, Any]:
    """What a config.json of the trained model takes over from that of its weights."""
    if job.model.weights is None:
        return {}
    config = _config(job)
    return {
        "rope_theta": _rotary(config).get("rope_theta", ROTARY_BASE),
        "rms_norm_eps": config.get("rms_norm_eps", 1e-6),
    }


def _folder(job: Job) -> Path:
    path = Path(str(job.model.weights))
    for candidate in (path, job.run.code / path.name):
        if (candidate / "config.json").is_file():
            return candidate
    raise NotAsWritten(
        "there is no config.json of the weights", where=str(path), fix="model.weights names a folder with config.json "
        "and the .safetensors files, on this machine or beside train.yaml.",
    )  # fmt: skip


def _config(job: Job) -> dict[str, Any]:
    """The weights' config.json, which must describe the job's shape."""
    from hanse.workloads import huggingface

    assert job.shape is not None
    path = _folder(job) / "config.json"
    theirs = huggingface.shape(path, context=job.context)
    if theirs != job.shape:
        names = [name for name in type(theirs).model_fields if getattr(theirs, name) != getattr(job.shape, name)]
        told = ", ".join(f"{name} {getattr(theirs, name)}, not {getattr(job.shape, name)}" for name in names)
        raise NotAsWritten(
            f"the weights are of another model: {told}", where=str(path), fix=f"Give model.config: {path}"
        )
    config: dict[str, Any] = json.loads(path.read_bytes())
    if _rotary(config).get("rope_type", "default") != "default" or config.get("rope_scaling"):
        raise NotAsWritten(
            "its rotary positions are scaled, which Hanse's trainer does not compute", where=str(path),
            fix="Fine-tune a model without rope_scaling, or bring it as a module of yours (model.entry).",
        )  # fmt: skip
    return config


def _rotary(config: dict[str, Any]) -> dict[str, Any]:
    """Where a config.json keeps its rotary base: in an object of its own since transformers 5, on top before."""
    return config.get("rope_parameters") or config


def _stored(job: Job) -> dict[str, Path]:
    """Which file holds which tensor."""
    found: dict[str, Path] = {}
    for path in sorted(_folder(job).glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            found |= dict.fromkeys(file.keys(), path)
    if not found:
        raise NotAsWritten("there are no .safetensors files", where=str(_folder(job)), fix="Put the weights there.")
    return found


def _read(stored: dict[str, Path], name: str, size: torch.Size) -> Tensor:
    path = stored.get(name)
    if path is None:
        where = str(next(iter(stored.values())).parent)
        raise NotAsWritten(f"the weights lack {name}", where=where, fix="Bring all files of the model.")
    with safe_open(path, "pt") as file:
        value: Tensor = file.get_tensor(name)
    if value.shape != size:
        raise NotAsWritten(f"{name} is {tuple(value.shape)}, not {tuple(size)}", where=str(path))
    return value.float()
