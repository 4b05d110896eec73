"""Published training runs as the kernel's inputs, one row a run and candidate.

What a row does not state is inferred from what it states (gated or not and head size from the parameter counts), or
taken as usual for its software; micro-batch and pipeline chunks that nobody stated become candidates, of which the
fastest counts: published runs are tuned ones. What cannot be expressed is told by reason.
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import published_hardware as hardware_of
from hanse.machines import accelerators
from hanse.planning import error, stacks
from hanse.planning.inputs import BF16, FP8, FP8_ROWWISE, FP32, MXFP8, NVFP4, Array, Degrees, Hardware, Model, Stack

_PRECISIONS = {
    "": None, "bf16": BF16, "fp16": BF16, "bfloat16": BF16, "float16": BF16, "amp_bf16": BF16, "mixed": BF16,
    "fp32": FP32, "tf32": FP32, "fp8": FP8, "float8": FP8, "amp_fp8": FP8, "mxfp8": MXFP8, "mxfp4": NVFP4,
    "nvfp4": NVFP4, "fp4": NVFP4,
}  # fmt: skip


class InexpressibleError(Exception):
    """Why a row is not predicted."""


@dataclass(frozen=True, slots=True)
class Run:
    """A row that can be predicted."""

    row: Mapping[str, str]
    measured_s: float
    candidates: tuple[dict[str, dict[str, float]], ...]
    moe: bool
    stated: tuple[Any, ...]
    """All inputs, to tell repeats of one configuration."""
    fitted: bool
    """Whether the fit may see it."""
    accelerator: str
    """The table's name of it."""
    small: bool
    ranks: float

    @property
    def family(self) -> str:
        return self.row.get("source_family", "") or "unnamed"


@dataclass(frozen=True, slots=True)
class Runs:
    """All expressible runs, and their candidates as arrays."""

    runs: tuple[Run, ...]
    inexpressible: Counter[str]
    rows: int
    of_run: np.ndarray
    """Position of the run of each candidate."""
    model: Model
    hardware: Hardware
    stack: Stack
    degrees: Degrees

    @property
    def measured_s(self) -> Array:
        return np.array([run.measured_s for run in self.runs])

    def fastest(self, seconds: Array) -> Array:
        """Per run, its fastest candidate."""
        best = np.full(len(self.runs), np.inf)
        np.minimum.at(best, self.of_run, seconds)
        return best


def read(path: Path, *, fitted: bool = True, nameless: bool = False) -> Runs:
    """The rows of a file with the columns of `data/published_runs.csv`.

    `fitted`: with what was fitted to runs. `nameless`: as if nobody had heard of the software.
    """
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    runs, reasons = [], Counter[str]()
    for row in rows:
        try:
            runs.append(
                run_of(
                    {name: (value or "").strip() for name, value in row.items() if name},
                    fitted=fitted,
                    nameless=nameless,
                )
            )
        except InexpressibleError as reason:
            reasons[str(reason)] += 1
    return arrays(tuple(runs), reasons, len(rows))


def arrays(runs: tuple[Run, ...], reasons: Counter[str], rows: int) -> Runs:
    flat = [(position, each) for position, run in enumerate(runs) for each in run.candidates]

    def struct(kind: type, name: str) -> Any:
        return kind(
            **{
                each.name: np.array([values[name][each.name] for _, values in flat], dtype=np.float64)
                for each in fields(kind)
                if flat and each.name in flat[0][1][name]
            }
        )

    if not flat:
        raise SystemExit("no row of this file can be predicted: " + ", ".join(f"{k} {v}" for k, v in reasons.items()))
    return Runs(
        runs=runs, inexpressible=reasons, rows=rows, of_run=np.array([position for position, _ in flat]),
        model=struct(Model, "model"), hardware=struct(Hardware, "hardware"), stack=struct(Stack, "stack"),
        degrees=struct(Degrees, "degrees"),
    )  # fmt: skip


def number(row: Mapping[str, str], name: str, default: float | None = None) -> float | None:
    text = row.get(name, "")
    if not text:
        return default
    try:
        value = float(text.replace(",", ""))
    except ValueError:
        return default
    return value if math.isfinite(value) and value > 0 else default


def run_of(row: Mapping[str, str], *, fitted: bool, nameless: bool = False) -> Run:
    """One row. Raises InexpressibleError."""
    text = " ".join((row.get("model_name", ""), row.get("notes", ""), row.get("source", ""))).lower()
    if "tokendrop" in text or "token drop" in text:
        raise InexpressibleError("tokens dropped at the experts")
    sizes = {name: number(row, name) for name in ("layers", "hidden", "heads", "vocab", "seq_len")}
    if any(word in text for word in ("mamba", "hybridnote", "state-space", "ssm")):
        raise InexpressibleError("state-space layers or an undisclosed shape")
    if sizes["layers"] is None or sizes["hidden"] is None:
        raise InexpressibleError("no shape")
    if sizes["seq_len"] is None:
        raise InexpressibleError("no sequence length")
    if number(row, "global_batch_sequences") is None:
        raise InexpressibleError("no batch")
    if number(row, "n_accelerators") is None:
        raise InexpressibleError("no accelerator count")
    traits = stacks.find("" if nameless else row.get("stack", ""), fitted=fitted)
    width = _PRECISIONS.get(row.get("precision", "").lower(), BF16)
    ranks = float(number(row, "n_accelerators") or 1)
    if width == FP8 and "rowwise" in text:
        width = FP8_ROWWISE
    accelerator = hardware_of.name(row.get("accelerator", ""))
    if accelerator is None:
        raise InexpressibleError("unknown accelerator")
    hardware = hardware_of.find(row, accelerator, width, traits, fitted=fitted)
    model = _model(row, text)
    candidates = _layouts(row, ranks, model, traits)
    if not candidates:
        raise InexpressibleError("degrees that do not multiply to the accelerators")
    measured_s = _measured(row, ranks, model)
    stack = _software(row, text, traits)
    code = _RECOMPUTE.get(row.get("recompute", "").lower())
    memory_bytes = accelerators.load(accelerator).memory_bytes
    expanded = tuple(
        {"model": model, "hardware": hardware, "stack": stack, "degrees": each
         | {"recompute": _recompute(model, each, traits, memory_bytes) if code is None else code}}
        for each in candidates
    )  # fmt: skip
    stated = tuple(row.get(name, "") for name in _INPUTS)
    return Run(
        row=row, measured_s=measured_s, candidates=expanded, moe=model["experts"] > 0, stated=stated,
        fitted=_fitted(text, width), accelerator=accelerator, small=_small(model, hardware, ranks), ranks=ranks,
    )  # fmt: skip


_INPUTS = (
    "stack", "machine", "accelerator", "n_accelerators", "gpus_per_node", "interconnect", "model_name", "layers",
    "hidden", "ffn_hidden", "heads", "kv_heads", "vocab", "seq_len", "n_experts", "top_k", "tp", "pp", "vpp", "cp",
    "ep", "dp", "sharding", "micro_batch", "global_batch_sequences", "recompute", "precision", "flash_attention",
    "sequence_parallel",
)  # fmt: skip


def _small(model: dict[str, float], hardware: dict[str, float], ranks: float) -> bool:
    """As `hanse.planning.error` has it."""
    hidden = model["hidden"]
    body = model["layers"] * hidden * (2 * hidden + 2 * model["kv_heads"] * model["qk_dim"]
                                       + (2 + model["gated"]) * model["ffn"])  # fmt: skip
    return body + model["vocab"] * hidden < error.SMALL_PARAMETERS and ranks <= hardware["domain"]


def _fitted(text: str, width: float | None) -> bool:
    """Data pitfalls: what is not what the columns say."""
    return width is not None and not any(word in text for word in ("lora", "sft", "dropless)"))


def _measured(row: Mapping[str, str], ranks: float, model: dict[str, float]) -> float:
    if (seconds := number(row, "step_time_s")) is not None:
        return seconds
    tokens = float(number(row, "global_batch_sequences") or 0) * model["context"]
    if (rate := number(row, "tokens_per_s_per_gpu")) is not None:
        return tokens / (rate * ranks)
    if (rate := number(row, "tflops_per_gpu_model")) is not None and not model["experts"]:
        # Megatron-LM's own count: attention in full, no recompute.
        h, layers = model["hidden"], model["layers"]
        wide = 2 + model["gated"]
        matrices = layers * (
            h * model["heads"] * (model["qk_dim"] + model["v_dim"])
            + h * model["kv_heads"] * (model["qk_dim"] + model["v_dim"])
            + wide * h * model["ffn"]
        )
        flops = 6 * (matrices + h * model["vocab"]) + 12 * layers * model["heads"] * model["qk_dim"] * model["context"]
        return tokens * flops / (rate * 1e12 * ranks)
    raise InexpressibleError("no measured step time")


def _model(row: Mapping[str, str], text: str) -> dict[str, float]:
    layers, hidden = float(number(row, "layers") or 1), float(number(row, "hidden") or 1)
    heads = float(number(row, "heads") or max(1.0, round(hidden / 128)))
    vocab = float(number(row, "vocab") or 50304)
    experts, top_k = float(number(row, "n_experts") or 0), float(number(row, "top_k") or 0)
    if experts <= 1:
        experts = top_k = 0.0
    elif not top_k:
        top_k = 2.0
    latent = experts > 0 and number(row, "kv_heads") is None
    kv_heads = float(number(row, "kv_heads") or heads)
    kv_heads = min(kv_heads, heads)
    ffn = float(number(row, "ffn_hidden") or 4 * hidden)
    count = number(row, "params_b")
    active = number(row, "active_params_b")
    gated = _gated(layers, hidden, heads, kv_heads, ffn, vocab, None if experts else count)
    head_dim = hidden / heads
    expert_ffn = shared = dense_layers = 0.0
    if experts:
        gated, expert_ffn = 1.0, ffn
        ffn = 0.0
        if latent:
            # DeepSeek-V2 and -V3 and what follows them: three dense blocks of 9 times the width, a shared expert.
            head_dim, shared = 192.0, expert_ffn
            dense_layers, ffn = 1.0 if layers < 61 else 3.0, 9 * expert_ffn
        else:
            head_dim = _head_dim(layers, hidden, heads, kv_heads, expert_ffn, top_k, vocab, active)
    elif count and not (hidden / heads).is_integer():
        head_dim = 128.0
    context = float(number(row, "seq_len") or 1)
    lora = "lora" in text
    latents = (
        {"q_rank": 1536.0, "kv_rank": 512.0, "rope_dim": 64.0}
        if latent
        else dict.fromkeys(("q_rank", "kv_rank", "rope_dim"), 0.0)
    )
    mtp = latent and "w/o mtp" not in text
    return {
        "layers": layers, "hidden": hidden, "heads": heads, "qk_dim": head_dim, "v_dim": 128.0 if latent else head_dim,
        "kv_heads": 0.0 if latent else kv_heads, **latents, "ffn": ffn, "gated": gated,
        "moe_layers": layers - dense_layers if experts else 0.0, "experts": experts, "top_k": top_k,
        "expert_ffn": expert_ffn, "shared_ffn": shared, "vocab": vocab, "context": context, "keys": context / 2,
        "predictions": 2.0 if mtp else 1.0, "weight_gradients": 0.02 if lora else 1.0,
        "trained": 0.005 if lora else 1.0,
    }  # fmt: skip


def _gated(
    layers: float, hidden: float, heads: float, kv_heads: float, ffn: float, vocab: float, count: float | None
) -> float:
    """1 where three matrices come nearer to the stated parameters than two."""
    if count is None:
        return 0.0 if ffn == 4 * hidden else 1.0
    attention = 2 * hidden * hidden + 2 * hidden * hidden * kv_heads / heads

    def off(matrices: int) -> float:
        body = layers * (attention + matrices * hidden * ffn)
        return min(abs(math.log((body + times * vocab * hidden) / (count * 1e9))) for times in (1, 2))

    return 1.0 if off(3) < off(2) else 0.0


def _head_dim(
    layers: float, hidden: float, heads: float, kv_heads: float, ffn: float, top_k: float, vocab: float,
    active: float | None,
) -> float:  # fmt: skip
    """What comes nearest to the stated active parameters."""
    usual = {64.0, 128.0} | ({hidden / heads} if (hidden / heads).is_integer() else set())
    if active is None:
        return hidden / heads if (hidden / heads).is_integer() and hidden / heads >= 64 else 128.0

    def off(size: float) -> float:
        body = layers * (2 * hidden * size * (heads + kv_heads) + 3 * hidden * ffn * top_k)
        return min(abs(math.log((body + times * vocab * hidden) / (active * 1e9))) for times in (1, 2))

    return min(sorted(usual), key=off)


_SHARDING = (
    ("zero3", 3.0), ("fullshard", 3.0), ("fsdp", 3.0), ("zero2", 2.0), ("shardgradop", 2.0), ("zero1", 1.0),
    ("distributedoptimizer", 1.0), ("hsdp", 3.0), ("none", 0.0), ("ddp", 0.0), ("zero0", 0.0), ("zero", 1.0),
)  # fmt: skip


def _layouts(
    row: Mapping[str, str], ranks: float, model: dict[str, float], traits: stacks.Traits
) -> list[dict[str, float]]:
    """Layouts the row may mean, without recompute."""
    tp, pp, cp = (float(number(row, name) or 1) for name in ("tp", "pp", "cp"))
    if tp * pp * cp > ranks:
        return []
    batch = float(number(row, "global_batch_sequences") or 1)
    replicas = float(number(row, "dp") or 0)
    # Of frameworks that count context parallel ranks as data parallel ones, and of slips, the product decides.
    if not replicas or abs(replicas * tp * pp * cp - ranks) > 0.01 * ranks:
        replicas = ranks / (tp * pp * cp)
    ep = float(number(row, "ep") or (min(model["experts"], replicas) if model["experts"] else 1))
    if not model["experts"]:
        ep = 1.0
    text = row.get("sharding", "").lower()
    zero = next((level for word, level in _SHARDING if word in text.replace("-", "").replace("_", "")), None)
    zero = traits.zero if zero is None else zero
    # With a pipeline, FSDP keeps weights gathered over a step's micro-batches (torchtitan's default, Llama 3's too).
    if zero == 3 and pp > 1 and "fsdp" in text:
        zero = 2.0
    split = {"y": 1.0, "n": 0.0}.get(row.get("sequence_parallel", "").lower()[:1], traits.sequence_parallel)
    micro = number(row, "micro_batch")
    share = max(1.0, batch / replicas)
    micros = [micro] if micro else [size for size in (1.0, 2.0, 4.0, 8.0, 16.0, 32.0) if share % size == 0] or [1.0]
    stated = number(row, "vpp")
    per_stage = model["layers"] / pp
    chunks = [stated] if stated else [1.0]
    if not stated and pp > 1 and traits.interleaves:
        chunks += [each for each in (2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0) if per_stage >= each]
    if pp == 1:
        chunks = [1.0]
    notes = row.get("notes", "").lower()
    bubble_free = 1.0 if any(word in notes for word in ("zbv", "zero-bubble", "zero bubble", "dualpipe")) else 0.0
    return [
        {
            "tp": tp, "sequence_parallel": split if tp > 1 else 0.0, "cp": cp, "ep": ep, "pp": pp, "chunks": each,
            "zero_bubble": bubble_free, "replicas": replicas, "shard": replicas * cp if zero else 1.0, "zero": zero,
            "micro_batch": min(size, max(1.0, share)), "accumulate": max(1.0, share / size), "offload": 0.0,
        }
        for size in micros
        for each in chunks
        if each == 1 or micro or share / size >= pp
    ]  # fmt: skip


_RECOMPUTE = {
    "none": 0.0, "no": 0.0, "n": 0.0, "off": 0.0, "false": 0.0, "selective": 1.0, "sel": 1.0, "partial": 1.0,
    "full": 2.0, "y": 2.0, "yes": 2.0, "true": 2.0, "on": 2.0, "block": 2.0, "uniform": 2.0,
}  # fmt: skip


_SPARING = ("megatron", "jax")
"""Kinds whose recipes recompute single modules, or move activations to main memory, before whole blocks."""


def _recompute(model: dict[str, float], degrees: dict[str, float], traits: stacks.Traits, memory_bytes: float) -> float:
    """What a run that does not say recomputes: what is usual for its software, or all where memory would not do.

    Activations after Korthikanti et al. 2022, with tiled attention; state at 16 or more bytes a parameter, divided.
    """
    if traits.recompute or traits.kind in _SPARING:
        return traits.recompute
    tp, pp, cp = degrees["tp"], degrees["pp"], degrees["cp"]
    wide = (2 + model["gated"]) * (model["ffn"] if not model["experts"] else model["top_k"] * model["expert_ffn"])
    held = model["layers"] * model["hidden"] * (4 * model["hidden"] + (2 + model["gated"]) * model["ffn"]) / tp / pp
    held += model["moe_layers"] * 3 * model["hidden"] * model["expert_ffn"] * model["experts"] / degrees["ep"] / pp
    state = held * (4 + 12 / (degrees["shard"] if degrees["zero"] else 1))
    state = held * 16 / degrees["shard"] if degrees["zero"] == 3 else state
    tokens = degrees["micro_batch"] * model["context"] / cp
    kept = tokens * (20 * model["hidden"] + 2 * wide) / tp * model["layers"] / pp * min(pp, degrees["accumulate"])
    return 2.0 if state + kept > 1.15 * memory_bytes and state < memory_bytes else 0.0


def _software(row: Mapping[str, str], text: str, traits: stacks.Traits) -> dict[str, float]:
    """The kernel's stack for a row: the software's traits, and what the row says of its kernels."""
    tiled = {"y": 1.0, "n": 0.0, "t": 1.0, "f": 0.0, "1": 1.0, "0": 0.0}.get(
        row.get("flash_attention", "").lower()[:1], traits.tiled
    )
    stack = traits.values() | {"tiled": tiled}
    if "no compile" in text:
        stack |= {"traffic": stack["traffic"] / stacks.COMPILED, "plain_norms": 1.0, "plain_rotary": 1.0}
    elif "torch.compile" in text and traits.plain_norms:
        stack |= {"traffic": stack["traffic"] * stacks.COMPILED, "plain_norms": 0.0, "plain_rotary": 0.0}
    if any(word in text for word in ("async tp", "asynctp", "tp-comm-overlap", "tp overlap")):
        stack["tensor_exposed"] = min(stack["tensor_exposed"], stacks.TENSOR_OVERLAPPED)
    if "rms kernel" in text:
        stack["plain_norms"] = 0.0
    if "kernel=torch" in text:
        stack["scores"] = stacks.UNFUSED_SCORES
    return stack
