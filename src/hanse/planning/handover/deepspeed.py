"""A plan as DeepSpeed's JSON, keys as of release 0.19. JSON has no comments, so what it has no key for is in the notes.

Sources: deepspeed/runtime/config.py, runtime/zero/config.py, runtime/tensor_parallel/config.py, runtime/pipe/engine.py
and module_inject/auto_ep_presets/base.py of that release.
"""

from __future__ import annotations

import json
from typing import Any, Final

from hanse.contracts.plan import Plan
from hanse.planning.handover.common import Handover, checkpoint_steps, refuse

TOOL: Final = "DeepSpeed"


def write(plan: Plan) -> Handover:
    """Raises UsageError for what these keys do not say."""
    _check(plan)
    layout = plan.layout
    stage = layout.zero if layout.fsdp > 1 else 0
    zero: dict[str, Any] = {"stage": stage}
    if stage:
        zero |= {"overlap_comm": True, "contiguous_gradients": True, "reduce_scatter": True}
    if layout.offload:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": True}
    config: dict[str, Any] = {
        "train_batch_size": plan.workload.global_batch,
        "train_micro_batch_size_per_gpu": layout.micro_batch,
        "gradient_accumulation_steps": layout.accumulate,
        "bf16": {"enabled": plan.workload.precision == "bf16"},
        "zero_optimization": zero,
    }
    if layout.recompute == "full":
        config["activation_checkpointing"] = {
            "partition_activations": False,
            "cpu_checkpointing": False,
            "number_checkpoints": plan.workload.shape.layers if plan.workload.shape else None,
        }
    if layout.tp > 1:
        config["tensor_parallel"] = {"autotp_size": layout.tp}
    if layout.ep > 1:
        config["expert_parallel"] = {"enabled": True, "autoep_size": layout.ep}
    if layout.pp > 1:
        config["pipeline"] = {
            "stages": layout.pp,
            "partition": "parameters",
            "activation_checkpoint_interval": 1 if layout.recompute == "full" else 0,
        }
    return Handover(tool=TOOL, file_name="deepspeed.json", text=json.dumps(config, indent=2) + "\n", notes=_notes(plan))


def _check(plan: Plan) -> None:
    layout = plan.layout
    if plan.workload.precision == "fp8":
        raise refuse(plan, TOOL, "turn fp8 on by its configuration", "Plan in bf16, or export to megatron.")
    if layout.fsdp > 1 and layout.dp > 1:
        raise refuse(
            plan, TOOL, "replicate groups that share their state (dp beside fsdp)",
            f"Plan with dp: 1 and fsdp: {layout.dp * layout.fsdp}, or export to torchtitan.",
        )  # fmt: skip
    if layout.pp > 1 and layout.fsdp > 1 and layout.zero > 1:
        raise refuse(
            plan, TOOL, f"combine zero {layout.zero} with a pipeline", "Plan with zero: 1, or export to torchtitan."
        )
    if layout.pp > 1 and layout.pipeline != "1f1b":
        raise refuse(
            plan, TOOL, f"run an {layout.pipeline} schedule", "Plan with pipeline: 1f1b, or export to torchtitan."
        )
    if layout.pp > 1 and layout.tp > 1:
        raise refuse(plan, TOOL, "split matrices inside pipeline stages by its configuration", "Export to megatron.")
    if layout.cp > 1:
        raise refuse(plan, TOOL, "split the sequence by its configuration (cp)", "Plan with cp: 1.")
    if layout.recompute == "selective":
        raise refuse(plan, TOOL, "recompute selectively", "Plan with recompute: none or full.")
    if layout.offload and layout.fsdp == 1:
        raise refuse(plan, TOOL, "offload an optimiser that is not sharded", "Plan with fsdp and zero: 1.")


def _notes(plan: Plan) -> tuple[str, ...]:
    layout = plan.layout
    notes = []
    if layout.nodes > 1:
        notes.append(f"Start {layout.world_size} processes: {layout.nodes} nodes of {layout.ranks_per_node}.")
    if layout.pp > 1:
        notes.append(f"The model must be a PipelineModule with num_stages={layout.pp}.")
    if layout.stages:
        notes.append(f"Its stages hold {', '.join(map(str, layout.stages))} layers: give it partition_method so.")
    if layout.tp > 1:
        notes.append("AutoTP knows models of Hugging Face; others need a partition_config.")
    if layout.recompute == "full":
        notes.append(
            "Recompute in the model too: gradient_checkpointing_enable(), or deepspeed.checkpointing.checkpoint."
        )
    if plan.workload.training == "lora":
        notes.append("Adapters are made by PEFT in your script.")
    if (every := checkpoint_steps(plan)) is not None:
        notes.append(f"Save every {every:,} steps.")
    return tuple(notes)
