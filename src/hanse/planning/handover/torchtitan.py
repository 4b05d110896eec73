"""A plan as torchtitan's TOML: the options of its JobConfig, releases 0.2.0 to 0.2.2.

From 0.3 on torchtitan takes Python configurations; the same names are then options of the command line.
Source: torchtitan/config/job_config.py and distributed/pipeline_parallel.py of those releases.
"""

from __future__ import annotations

import json
from typing import Final, TypeAlias

from hanse.contracts.layout import Pipeline
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

Value: TypeAlias = "bool | int | str | list[str] | list[list[str]]"
Table: TypeAlias = dict[str, Value]

TOOL: Final = "torchtitan"
_FLAVORS: Final = {
    (32, 4096, 32, 14336, 128256): ("llama3", "8B"),
    (80, 8192, 64, 28672, 128256): ("llama3", "70B"),
    (126, 16384, 128, 53248, 128256): ("llama3", "405B"),
    (61, 7168, 128, 18432, 129280): ("deepseek_v3", "671B"),
    (28, 1024, 16, 3072, 151936): ("qwen3", "0.6B"),
    (28, 2048, 16, 6144, 151936): ("qwen3", "1.7B"),
    (36, 2560, 32, 9728, 151936): ("qwen3", "4B"),
    (36, 4096, 32, 12288, 151936): ("qwen3", "8B"),
    (40, 5120, 40, 17408, 151936): ("qwen3", "14B"),
    (64, 5120, 64, 25600, 151936): ("qwen3", "32B"),
    (48, 2048, 32, 6144, 151936): ("qwen3", "30B-A3B"),
    (94, 4096, 64, 12288, 151936): ("qwen3", "235B-A22B"),
}
"""Models torchtitan 0.2 ships, by (layers, hidden, heads, ffn, vocab)."""
_SCHEDULES: Final[dict[Pipeline, str]] = {
    "1f1b": "1F1B",
    "interleaved": "Interleaved1F1B",
    "zero-bubble": "ZBVZeroBubble",
}


def write(plan: Plan) -> Handover:
    """Raises UsageError for what these options do not say."""
    shape = shape_of(plan, TOOL)
    no_lora(plan, TOOL)
    _check(plan, shape)
    tables: dict[str, Table] = {
        "job": {"description": f"{plan.workload.name} on {plan.machine}"},
        "model": _model(plan, shape),
        "training": _training(plan),
        "parallelism": _parallelism(plan, shape),
        "activation_checkpoint": _recompute(plan),
    }
    if (every := checkpoint_steps(plan)) is not None:
        tables["checkpoint"] = {"enable": True, "interval": every}
    if plan.workload.precision == "fp8":
        tables["quantize.linear.float8"] = {"enable_fsdp_float8_all_gather": True, "filter_fqns": ["output"]}
    notes = _notes(plan, shape)
    text = comment(*heading(plan), "For torchtitan 0.2: ./run_train.sh --job.config_file THIS.toml", *notes)
    text += "".join(f"\n[{name}]\n{_lines(table)}" for name, table in tables.items())
    return Handover(tool=TOOL, file_name="torchtitan.toml", text=text, notes=notes)


def _check(plan: Plan, shape: ModelShape) -> None:
    layout = plan.layout
    if shape.family not in ("llama", "decoder"):
        raise refuse(plan, TOOL, f"train a model of the family {shape.family}", "It trains decoders.")
    if layout.fsdp > 1 and layout.zero == 1:
        raise refuse(
            plan, TOOL, "shard the optimiser's state alone (zero 1)", "Plan with layout.zero: 3, or replicate (dp)."
        )
    if layout.tp > 1 and not layout.sequence_parallel:
        raise refuse(plan, TOOL, "split matrices without the sequence", "Plan with sequence_parallel: true.")
    if layout.offload:
        raise refuse(plan, TOOL, "offload the optimiser's state alone", "Plan without offload, or export to deepspeed.")
    if layout.pipeline == "zero-bubble" and layout.pp > 1 and (layout.chunks > 2 or len(layout.stages) == layout.pp):
        raise refuse(plan, TOOL, "run a zero-bubble schedule but with two stages a rank", "Plan with chunks: 2.")


def _model(plan: Plan, shape: ModelShape) -> Table:
    name, flavor = _FLAVORS.get(_key(shape), ("llama3", plan.workload.name))
    model: Table = {"name": name, "flavor": flavor}
    if plan.workload.precision == "fp8":
        model["converters"] = ["quantize.linear.float8"]
    return model


def _key(shape: ModelShape) -> tuple[int, int, int, int, int]:
    return shape.layers, shape.hidden, shape.heads, shape.ffn, shape.vocab


def _training(plan: Plan) -> Table:
    layout, pipelined = plan.layout, plan.layout.pp > 1
    return {
        # In a pipeline the micro-batches are cut from the local batch; without one it is accumulated.
        "local_batch_size": layout.micro_batch * (layout.accumulate if pipelined else 1),
        "global_batch_size": plan.workload.global_batch,
        "seq_len": plan.workload.context,
        "steps": plan.steps,
        "mixed_precision_param": "float32" if plan.workload.precision == "fp32" else "bfloat16",
    }


def _parallelism(plan: Plan, shape: ModelShape) -> Table:
    layout = plan.layout
    table: Table = {
        "data_parallel_replicate_degree": layout.dp,
        "data_parallel_shard_degree": layout.fsdp,
        "fsdp_reshard_after_forward": "always" if layout.zero == 3 else "never",
        "tensor_parallel_degree": layout.tp,
        "context_parallel_degree": layout.cp,
        "expert_parallel_degree": layout.ep,
        "pipeline_parallel_degree": layout.pp,
    }
    if layout.pp > 1:
        table["pipeline_parallel_schedule"] = _SCHEDULES[layout.pipeline]
        table["pipeline_parallel_microbatch_size"] = layout.micro_batch
        table["module_fqns_per_model_part"] = _modules(plan, shape)
    return table


def _modules(plan: Plan, shape: ModelShape) -> list[list[str]]:
    """Which modules each stage holds. ZB-V always has two stages a rank, going there and back."""
    layout = plan.layout
    layers = stage_layers(plan, shape)
    if layout.pipeline == "zero-bubble" and layout.chunks == 1:
        layers = stage_layers(
            plan.model_copy(update={"layout": layout.model_copy(update={"chunks": 2, "stages": ()})}), shape
        )
    parts, begun = [], 0
    for count in layers:
        parts.append([f"layers.{layer}" for layer in range(begun, begun + count)])
        begun += count
    parts[0].insert(0, "tok_embeddings")
    parts[-1] += ["norm", "output"]
    return parts


def _recompute(plan: Plan) -> Table:
    if plan.layout.recompute == "selective":
        return {"mode": "selective", "selective_ac_option": "op"}
    return {"mode": plan.layout.recompute}


def _notes(plan: Plan, shape: ModelShape) -> tuple[str, ...]:
    notes = []
    if _key(shape) not in _FLAVORS:
        notes.append(
            f"torchtitan ships no such model: register the flavor {plan.workload.name} with dim {shape.hidden}, "
            f"n_layers {shape.layers}, n_heads {shape.heads}, n_kv_heads {shape.kv_heads}, "
            f"feed-forward {shape.ffn}, vocab {shape.vocab}."
        )
    if plan.layout.recompute == "selective":
        notes.append("Its selective recomputation keeps every other product; the plan keeps all but attention's.")
    if plan.layout.zero == 2 and plan.layout.fsdp > 1:
        notes.append("zero 2: parameters stay gathered from the forward to the backward pass.")
    return tuple(notes)


def _lines(table: Table) -> str:
    return "".join(f"{key} = {_written(value)}\n" for key, value in table.items())


def _written(value: Value) -> str:
    """TOML of these kinds of value is JSON's."""
    if isinstance(value, list) and value and isinstance(value[0], list):
        return "[\n" + "".join(f"  {json.dumps(each)},\n" for each in value) + "]"
    return json.dumps(value)
