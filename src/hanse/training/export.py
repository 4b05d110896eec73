"""The finished model as files others open: model.safetensors, config.json, tokenizer.json.

A known shape is written under the names and with the configuration of Hugging Face's Llama; trained adapters are merged
into it and lie alone in adapter/.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from hanse.contracts.workload import ModelShape
from hanse.files.durable import move_folder, sync_folder
from hanse.training import tune
from hanse.training.data.chat import CONFIG, TEMPLATE
from hanse.training.data.manifest import TOKENIZER, Manifest
from hanse.training.data.prepare import tokenizer_path
from hanse.training.experts import one_by_one
from hanse.training.job import Job
from hanse.training.model import NORM_EPSILON, ROTARY_BASE
from hanse.training.names import llama_name


def write_export(job: Job, weights: dict[str, Tensor], manifest: Manifest, prepared: Path) -> None:
    """Write the export folder beside and give it its name when it is whole; an older one is replaced."""
    beside = job.run.export.with_name("export.tmp")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    dtype = torch.bfloat16 if job.spec.precision == "bf16" else torch.float32
    lora = tune.lora_of(job)
    if lora is not None:
        _write_adapter(beside / "adapter", *tune.adapter(weights, lora, Path(str(job.model.weights)).name))
        weights = tune.merged(weights, lora)
    if job.shape is not None:
        weights = {llama_name(name): value for name, value in one_by_one(weights).items()}
    # Cloned, because a module of the user's may share one tensor under two names and the format has no such thing.
    tensors = {name: value.to(dtype, copy=True).contiguous() for name, value in weights.items()}
    save_file(tensors, beside / "model.safetensors", metadata={"format": "pt"})
    (beside / "config.json").write_text(json.dumps(_config(job, manifest, dtype), indent=2) + "\n")
    shutil.copyfile(prepared / TOKENIZER, beside / "tokenizer.json")
    if job.spec.tokenizer.path is not None:
        for name in (TEMPLATE, CONFIG):  # whoever talks to the model puts words the way it was trained on them
            if (theirs := tokenizer_path(job, job.spec.tokenizer.path).with_name(name)).is_file():
                shutil.copyfile(theirs, beside / name)
    sync_folder(beside)
    shutil.rmtree(job.run.export, ignore_errors=True)
    move_folder(beside, job.run.export)


def _write_adapter(folder: Path, tensors: dict[str, Tensor], config: dict[str, Any]) -> None:
    folder.mkdir()
    contiguous = {name: value.float().contiguous() for name, value in tensors.items()}
    save_file(contiguous, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")
    sync_folder(folder)


def _config(job: Job, manifest: Manifest, dtype: torch.dtype) -> dict[str, Any]:
    tokens = {"bos_token_id": manifest.end_token, "eos_token_id": manifest.end_token}
    kind = {"torch_dtype": str(dtype).removeprefix("torch.")}
    if job.shape is None:
        return {"entry": job.model.entry, "vocab": job.vocab, "context": job.context} | tokens | kind
    return _llama_config(job.shape) | tune.constants(job) | tokens | kind


def _llama_config(shape: ModelShape) -> dict[str, Any]:
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
        "vocab_size": shape.vocab, "hidden_size": shape.hidden, "intermediate_size": shape.ffn,
        "num_hidden_layers": shape.layers, "num_attention_heads": shape.heads, "num_key_value_heads": shape.kv_heads,
        "max_position_embeddings": shape.context, "rms_norm_eps": NORM_EPSILON, "rope_theta": ROTARY_BASE,
        "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": shape.tied_head,
    }  # fmt: skip
    if shape.experts is None:
        return config
    return config | {
        "architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "intermediate_size": shape.experts.ffn,
        "num_local_experts": shape.experts.count, "num_experts_per_tok": shape.experts.active,
    }  # fmt: skip
