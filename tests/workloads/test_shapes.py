"""Counts of parameters, FLOPs and bytes, against published figures and by laws."""

from __future__ import annotations

import json
import subprocess
import sys

import jsonschema
import pytest
import yaml
from hypothesis import given, settings

from hanse.contracts.errors import SpecError
from hanse.contracts.spec import CommandSpec, ModelSpec, TrainSpec, WhereSpec
from hanse.contracts.workload import ModelShape
from hanse.workloads import shapes
from hanse.workloads.presets import PRESETS, published
from tests.workloads import specs


@pytest.mark.parametrize("name", list(PRESETS))
def test_a_preset_has_the_parameters_its_publisher_states(name: str) -> None:
    shape = PRESETS[name].model_copy(update={"mtp_layers": 0})
    tolerance = 0.005 if published()[name].confidence == "rounded" else 1e-9
    assert shapes.parameters(shape) == pytest.approx(published()[name].parameters, rel=tolerance)


def test_parameters_of_a_small_model_counted_by_hand() -> None:
    shape = ModelShape(layers=2, hidden=8, heads=2, kv_heads=1, ffn=16, vocab=32, context=4)
    block = 8 * 8 + 8 * 4 + 8 * 4 + 8 * 8 + 3 * 8 * 16 + 2 * 8
    assert shapes.parameters(shape) == 2 * block + 32 * 8 + 8
    assert shapes.parameters(shape.model_copy(update={"tied_head": False})) == 2 * block + 2 * 32 * 8 + 8


def test_model_flops_agree_with_narayanan_2021_for_a_plain_transformer() -> None:
    """Their eq. 3 without recompute and with full attention: 72·B·s·L·h²·(1 + s/6h + V/12Lh). We count attention by
    half, so s/12h; a gated feed-forward of width 8h/3 has as many weights as their plain one of width 4h."""
    shape = ModelShape(layers=24, hidden=3072, heads=24, kv_heads=24, ffn=8192, vocab=51200, context=2048)
    by_the_paper = 72 * 24 * 3072**2 * (1 + 2048 / (12 * 3072) + 51200 / (12 * 24 * 3072))
    assert shapes.flops_per_token(shape) == pytest.approx(by_the_paper, rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(shape=specs.shapes())
def test_products_of_a_block_hold_all_its_weights(shape: ModelShape) -> None:
    assert sum(k * n for _, k, n in shapes.block_products(shape, 7)) == shapes.layer_matmul_parameters(shape)
    assert shapes.flops_per_token(shape) > 6 * shape.layers * shapes.layer_matmul_parameters(shape)


def test_a_workload_of_an_entry_takes_the_counted_parameters() -> None:
    where = WhereSpec(max_gpu_hours=1)
    model = ModelSpec(entry="mine:build", vocab=5000, context=64)
    spec = TrainSpec.model_construct(name="a", model=model, batch=8, tokens=1000, precision="fp32", where=where)
    assert shapes.workload_of(spec, 1000).parameters == 1000
    with pytest.raises(SpecError, match="parameter count"):
        shapes.workload_of(spec)


def test_a_command_has_no_workload() -> None:
    spec = TrainSpec(name="a", command=CommandSpec(run="true"), where=WhereSpec(max_gpu_hours=1))
    with pytest.raises(SpecError, match="command"):
        shapes.workload_of(spec)


def test_the_schema_for_editors_takes_the_example_and_refuses_a_wrong_key() -> None:
    command = [sys.executable, "-m", "hanse.workloads.schema"]
    schema = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    example = yaml.safe_load(specs.WHOLE)
    jsonschema.validate(example, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**example, "bacth": 3}, schema)


def test_the_time_of_a_block_is_the_sum_of_its_parts() -> None:
    """On a machine of 1 FLOP/s, where bytes and launches cost nothing, the time is the number of FLOPs."""
    shape = ModelShape(layers=1, hidden=8, heads=2, kv_heads=2, ffn=16, vocab=32, context=4)
    seconds = shapes.block_seconds(
        shape,
        3,
        flops_per_s=lambda _: 1.0,
        memory_bytes_per_s=float("inf"),
        launch_overhead_s=0.0,
        exponential_flops=0.0,
    )
    products = 6 * 12 * (4 * 8 * 8 + 3 * 8 * 16)
    attention = 3.5 * 12 * 4 * 4 * 8  # one tile holds all four keys, so nothing is skipped
    assert seconds == products + attention


@pytest.mark.parametrize("count", [1_000_000, 124_000_000, 8_000_000_000])
def test_a_module_of_known_size_is_stood_in_for_by_a_transformer_of_that_size(count: int) -> None:
    shape = shapes.stand_in(count, vocab=4096, context=512)
    assert 0.4 * count < shapes.parameters(shape) <= 1.05 * count
