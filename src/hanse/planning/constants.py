"""The constants of the step-time kernel, read from `constants.yaml`, which `benchmarks/planner_fit.py` writes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import yaml


@dataclass(frozen=True, slots=True, kw_only=True)
class Constants:
    """Each field is described in `constants.yaml`."""

    training_over_benchmark: float
    fp8: float
    mxfp8: float
    nvfp4: float
    fp8_rowwise: float
    weight_traffic: float
    input_traffic: float
    output_traffic: float
    grouped: float
    quantised: float
    attention_of_ceiling: float
    attention_on_newer: float
    attention_backward: float
    short_heads: float
    attention_half: float
    scores_of_ceiling: float
    score_bytes: float
    odd_heads: float
    residual_elements: float
    head_elements: float
    ffn_elements: float
    norm_elements: float
    rotary_elements: float
    sorted_elements: float
    cast_elements: float
    backward_traffic: float
    memory_of_peak: float
    logit_bytes: float
    embedding_bytes: float
    launch_s: float
    launch_backward: float
    launch_experts: float
    launch_per_doubling: float
    expert_wait_s: float
    micro_batch_s: float
    tensor_half_bytes: float
    bus_of_link: float
    nic_of_link: float
    context_exposed: float
    expert_exposed: float
    expert_copies: float
    expert_latency_s: float
    pipeline_exposed: float
    sharding_exposed: float
    optimiser_bytes: float
    offload_bytes: float
    accumulate_bytes: float
    step_s: float
    step_layer_s: float
    straggling: float


@cache
def load() -> Constants:
    given = yaml.safe_load(Path(__file__).with_name("constants.yaml").read_text())
    return Constants(**{each.name: float(given[each.name]) for each in fields(Constants)})
