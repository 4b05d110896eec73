"""A plan as arguments of Megatron-LM's pretrain_gpt.py, in a shell array; names as of Megatron Core 0.16 to 0.19.

Sources: megatron/training/arguments.py and argument_utils.py of those releases. Data-parallel ranks are not an argument
there: they are what tensor, pipeline and context ranks leave of the world.
"""

from __future__ import annotations

import shlex
from typing import Final, TypeAlias

from hanse.contracts.plan import Plan
from hanse.contracts.workload import ModelShape
from hanse.planning.handover.common import (
    Handover,
    checkpoint_steps,
    comment,
    heading,
    no_lora,
    refuse,
    shape_of,
    stage_layers,
)

TOOL: Final = "Megatron-LM"
_POSITIONS: Final = {"rotary": "rope", "learned": "learned_absolute", "none": "none"}


def write(plan: Plan) -> Handover:
    """Raises UsageError for what these arguments do not say."""
    shape = shape_of(plan, TOOL)
    no_lora(plan, TOOL)
    _check(plan, shape)
    groups = {
        "the model": _model(plan, shape),
        "what is trained": _training(plan),
        "the layout": _layout(plan, shape),
        "memory": _memory(plan),
    }
    notes = _notes(plan)
    arguments = "".join(
        f"  # {name}\n" + "".join(f"  {shlex.join(each)}\n" for each in given)
        for name, given in groups.items()
        if given
    )
    layout = plan.layout
    launch = f"torchrun --nnodes {layout.nodes} --nproc-per-node {layout.ranks_per_node}"
    head = comment(*heading(plan), f'source THIS; {launch} … pretrain_gpt.py "${{HANSE_LAYOUT[@]}}" …', *notes)
    return Handover(tool=TOOL, file_name="megatron.sh", text=f"{head}HANSE_LAYOUT=(\n{arguments})\n", notes=notes)


def _check(plan: Plan, shape: ModelShape) -> None:
    layout = plan.layout
    if shape.family not in ("llama", "decoder"):
        raise refuse(
            plan, TOOL, f"build a model of the family {shape.family} by pretrain_gpt.py", "It is for decoders."
        )
    if shape.positions not in _POSITIONS:
        raise refuse(plan, TOOL, f"give the model {shape.positions} positions", "Export to another tool.")
    if layout.pipeline == "zero-bubble" and layout.pp > 1:
        raise refuse(
            plan,
            TOOL,
            "run a zero-bubble schedule",
            "Plan with pipeline: 1f1b or interleaved, or export to torchtitan.",
        )
    if layout.ep > 1 and shape.experts is None:
        raise refuse(plan, TOOL, "spread experts of a model that has none", "Plan with ep: 1.")
    if layout.zero > 1 and layout.fsdp > 1 and layout.offload:
        raise refuse(plan, TOOL, "offload the optimiser under Megatron-FSDP", "Plan with zero: 1, or without offload.")


Arguments: TypeAlias = list[list[str]]


def _flags(*pairs: tuple[str, object]) -> Arguments:
    """True is a bare flag; None and False are left out."""
    return [
        [f"--{name}"] if value is True else [f"--{name}", str(value)]
        for name, value in pairs
        if value is not None and value is not False
    ]


def _model(plan: Plan, shape: ModelShape) -> Arguments:
    grouped = shape.kv_heads < shape.heads and shape.latent is None
    given = _flags(
        ("num-layers", shape.layers),
        ("hidden-size", shape.hidden),
        ("ffn-hidden-size", shape.ffn),
        ("num-attention-heads", shape.heads),
        ("group-query-attention", grouped),
        ("num-query-groups", shape.kv_heads if grouped else None),
        ("kv-channels", shape.head_size if shape.latent is None else None),
        ("seq-length", plan.workload.context),
        ("max-position-embeddings", plan.workload.context),
        ("position-embedding-type", _POSITIONS[shape.positions]),
        ("normalization", "RMSNorm" if shape.norm == "rms" else "LayerNorm"),
        ("swiglu", shape.gated),
        ("disable-bias-linear", shape.biases != "all"),
        ("add-qkv-bias", shape.biases == "qkv"),
        ("qk-layernorm", shape.qk_norm),
        ("untie-embeddings-and-output-weights", not shape.tied_head),
        ("vocab-size", plan.workload.vocab),
        ("window-size", f"{shape.window - 1},0" if shape.window else None),
        ("window-attn-skip-freq", shape.full_attention_every),
        ("mtp-num-layers", shape.mtp_layers or None),
    )
    if (latent := shape.latent) is not None:
        given += _flags(
            ("multi-latent-attention", True),
            ("q-lora-rank", latent.q_rank),
            ("kv-lora-rank", latent.kv_rank),
            ("qk-head-dim", latent.nope_dim),
            ("qk-pos-emb-head-dim", latent.rope_dim),
            ("v-head-dim", latent.v_dim),
        )
    if (experts := shape.experts) is not None:
        dense = experts.dense_layers
        given += _flags(
            ("num-experts", experts.count),
            ("moe-router-topk", experts.active),
            ("moe-ffn-hidden-size", experts.ffn),
            ("moe-shared-expert-intermediate-size", experts.shared_ffn or None),
            ("moe-layer-freq", f"([0]*{dense}+[1]*{shape.layers - dense})" if dense else None),
            ("moe-grouped-gemm", True),
            ("moe-token-dispatcher-type", "alltoall"),
        )
    return given


def _training(plan: Plan) -> Arguments:
    precision = plan.workload.precision
    return _flags(
        ("micro-batch-size", plan.layout.micro_batch),
        ("global-batch-size", plan.workload.global_batch),
        ("train-iters", plan.steps),
        ("bf16", precision != "fp32"),
        ("fp8-format", "hybrid" if precision == "fp8" else None),
        ("save-interval", checkpoint_steps(plan)),
    )


def _layout(plan: Plan, shape: ModelShape) -> Arguments:
    layout = plan.layout
    sharded = layout.fsdp > 1
    whole = sharded and layout.zero > 1
    return _flags(
        ("tensor-model-parallel-size", layout.tp),
        ("sequence-parallel", layout.tp > 1 and layout.sequence_parallel),
        ("context-parallel-size", layout.cp),
        ("expert-model-parallel-size", layout.ep if layout.ep > 1 else None),
        ("pipeline-model-parallel-size", layout.pp),
        *_stages(plan, shape),
        ("use-distributed-optimizer", sharded),
        ("num-distributed-optimizer-instances", layout.dp if sharded and layout.dp > 1 else None),
        ("use-megatron-fsdp", whole),
        ("data-parallel-sharding-strategy", _strategy(layout.zero) if whole else None),
        ("outer-dp-sharding-strategy", "no_shard" if whole and layout.dp > 1 else None),
        ("ckpt-format", "fsdp_dtensor" if whole else None),
        ("overlap-grad-reduce", layout.world_size > layout.tp * layout.pp * layout.cp),
        ("overlap-param-gather", sharded),
    )


def _strategy(zero: int) -> str:
    return "optim_grads_params" if zero == 3 else "optim_grads"


def _stages(plan: Plan, shape: ModelShape) -> list[tuple[str, object]]:
    """Even stages follow from the counts; uneven ones are drawn, 't' a layer, 'E' the embedding, 'L' the loss."""
    layout = plan.layout
    if layout.pp == 1:
        return []
    layers = stage_layers(plan, shape)
    if len(set(layers)) == 1:
        return [("num-virtual-stages-per-pipeline-rank", layout.chunks if layout.chunks > 1 else None)]
    drawn = ["t" * count for count in layers]
    drawn[0] = f"E{drawn[0]}"
    drawn[-1] += "m" * shape.mtp_layers + "L"
    return [("pipeline-model-parallel-layout", "|".join(drawn))]


def _memory(plan: Plan) -> Arguments:
    layout = plan.layout
    full = layout.recompute == "full"
    return _flags(
        ("recompute-granularity", None if layout.recompute == "none" else layout.recompute),
        ("recompute-method", "uniform" if full else None),
        ("recompute-num-layers", 1 if full else None),
        ("optimizer-cpu-offload", layout.offload),
        ("use-precision-aware-optimizer", layout.offload),
    )


def _notes(plan: Plan) -> tuple[str, ...]:
    layout = plan.layout
    notes = ["Data, tokenizer, learning rate and --save are yours to add."]
    whole = layout.fsdp > 1 and layout.zero > 1
    if whole:
        notes.append("Megatron-FSDP wants CUDA_DEVICE_MAX_CONNECTIONS unset.")
    elif layout.tp > 1 or layout.cp > 1:
        notes.append("Before Blackwell, export CUDA_DEVICE_MAX_CONNECTIONS=1.")
    return tuple(notes)
