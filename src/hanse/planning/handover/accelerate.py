"""A plan as Accelerate's configuration for FSDP 2 (`accelerate launch --config_file`), keys as of release 1.15.

Sources: accelerate/commands/config/config_args.py, commands/launch.py and parallelism_config.py of that release.
"""

from __future__ import annotations

from typing import Any, Final

import yaml

from hanse.contracts.plan import Plan
from hanse.planning.handover.common import Handover, checkpoint_steps, comment, heading, refuse

TOOL: Final = "Accelerate"


def write(plan: Plan) -> Handover:
    """Raises UsageError for what these keys do not say."""
    _check(plan)
    layout = plan.layout
    config: dict[str, Any] = {
        "compute_environment": "LOCAL_MACHINE",
        "distributed_type": _kind(plan),
        "num_machines": layout.nodes,
        "num_processes": layout.world_size,
        "machine_rank": 0,
        "main_training_function": "main",
        "rdzv_backend": "static" if layout.nodes == 1 else "c10d",
        "mixed_precision": {"fp32": "no"}.get(plan.workload.precision, plan.workload.precision),
    }
    if layout.fsdp > 1 or layout.cp > 1:
        config["fsdp_config"] = {
            "fsdp_version": 2,
            "fsdp_reshard_after_forward": layout.zero == 3,
            "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            "fsdp_activation_checkpointing": layout.recompute == "full",
            "fsdp_offload_params": False,
            "fsdp_cpu_ram_efficient_loading": True,
            "fsdp_state_dict_type": "SHARDED_STATE_DICT",
        }
        config["parallelism_config"] = {
            "parallelism_config_dp_replicate_size": layout.dp,
            "parallelism_config_dp_shard_size": layout.fsdp,
            "parallelism_config_tp_size": layout.tp,
            "parallelism_config_cp_size": layout.cp,
        }
    notes = _notes(plan)
    text = comment(*heading(plan), "accelerate launch --config_file THIS.yaml train.py", *notes)
    return Handover(
        tool=TOOL, file_name="accelerate.yaml", text=text + yaml.safe_dump(config, sort_keys=False), notes=notes
    )


def _kind(plan: Plan) -> str:
    layout = plan.layout
    if layout.world_size == 1:
        return "NO"
    return "FSDP" if layout.fsdp > 1 or layout.cp > 1 else "MULTI_GPU"


def _check(plan: Plan) -> None:
    layout = plan.layout
    split = layout.fsdp > 1 or layout.cp > 1
    if layout.pp > 1:
        raise refuse(
            plan,
            TOOL,
            "split a model into pipeline stages (pp)",
            "Plan with pp: 1, or export to megatron or torchtitan.",
        )
    if layout.ep > 1:
        raise refuse(plan, TOOL, "spread experts over ranks (ep)", "Plan with ep: 1, or export to torchtitan.")
    if layout.tp > 1 and layout.fsdp == 1:
        raise refuse(
            plan,
            TOOL,
            "split matrices (tp) where nothing is sharded",
            "Plan with fsdp beside tp, or export to megatron.",
        )
    if layout.fsdp > 1 and layout.zero == 1:
        raise refuse(
            plan,
            TOOL,
            "shard the optimiser's state alone (zero 1) by FSDP",
            "Plan with zero: 3, or export to deepspeed.",
        )
    if layout.recompute == "selective":
        raise refuse(plan, TOOL, "recompute selectively", "Plan with recompute: none or full.")
    if layout.recompute == "full" and not split:
        raise refuse(
            plan, TOOL, "recompute activations without FSDP", "Call gradient_checkpointing_enable() on the model, and "
            "export a layout with recompute: none."
        )  # fmt: skip
    if layout.offload:
        raise refuse(
            plan, TOOL, "offload the optimiser's state alone by FSDP", "Plan without offload, or export to deepspeed."
        )


def _notes(plan: Plan) -> tuple[str, ...]:
    layout = plan.layout
    notes = [
        f"In your script: batches of {layout.micro_batch} a process, "
        f"Accelerator(gradient_accumulation_steps={layout.accumulate}).",
    ]
    if layout.nodes > 1:
        notes.append("Each node gives its own --machine_rank and the first one's --main_process_ip.")
    if plan.workload.training == "lora":
        notes.append("Adapters are made by PEFT in your script.")
    if (every := checkpoint_steps(plan)) is not None:
        notes.append(f"Save every {every:,} steps.")
    return tuple(notes)
