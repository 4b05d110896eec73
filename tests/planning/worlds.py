"""Workloads and machines for the planner's tests."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import yaml
from hypothesis import strategies as st

from hanse.contracts.layout import Layout
from hanse.contracts.machine import Calibration, Curve, Machine
from hanse.contracts.workload import Experts, ModelShape, Precision, Workload
from hanse.machines import catalogue
from hanse.machines.local import local_machine
from hanse.workloads import shapes

SMALL = ModelShape(layers=4, hidden=256, heads=8, kv_heads=4, ffn=688, vocab=4096, context=256)
LLAMA_8B = ModelShape(
    layers=32, hidden=4096, heads=32, kv_heads=8, ffn=14336, vocab=128256, context=8192, tied_head=False
)
GPT_3 = ModelShape(
    family="decoder", layers=96, hidden=12288, heads=96, kv_heads=96, ffn=49152, vocab=51200, context=2048, gated=False,
    norm="layer", biases="all", positions="learned",
)  # fmt: skip
MIXTURE = ModelShape(
    family="decoder", layers=27, hidden=2048, heads=16, kv_heads=16, ffn=10944, vocab=102400, context=16384,
    tied_head=False, experts=Experts(count=64, active=6, ffn=1408, shared_ffn=2816, dense_layers=1),
)  # fmt: skip


def workload(shape: ModelShape, *, batch: int = 64, tokens: int = 10**8, precision: Precision = "bf16") -> Workload:
    return Workload(
        name="a-model", shape=shape, context=shape.context, vocab=shape.vocab, global_batch=batch, total_tokens=tokens,
        precision=precision, parameters=shapes.parameters(shape),
        embedding_parameters=shapes.embedding_parameters(shape), flops_per_token=shapes.flops_per_token(shape),
    )  # fmt: skip


def calibrated(*, ranks: int = 2, block_scale: float = 1.0, flops_per_s: float = 4e10) -> Machine:
    """A host like a laptop's, calibrated with a flat matmul rate."""
    calibration = Calibration(
        measured_at=datetime(2026, 11, 22, tzinfo=UTC), software="a test", ranks=ranks,
        matmul=Curve(x=(1e5, 1e10), y=(flops_per_s, flops_per_s), x_unit="FLOPs", y_unit="FLOP/s"),
        memory_bytes_per_s=1e10, launch_overhead_s=5e-6, block_scale=block_scale, spread=0.05,
        all_reduce=Curve(x=(4e3, 3e5, 2e7), y=(6e6, 2.4e8, 1.1e9), x_unit="bytes", y_unit="bytes/s"),
        all_gather=Curve(x=(4e3, 3e5, 2e7), y=(7e6, 3e8, 1.3e9), x_unit="bytes", y_unit="bytes/s"),
    )  # fmt: skip
    return local_machine(calibration, nodes=ranks)


def idealised(flops_per_s: float = 1e12) -> Machine:
    """Nothing but products and attention takes time."""
    machine = calibrated(flops_per_s=flops_per_s)
    assert machine.calibration is not None
    flat = Curve(x=(1.0,), y=(1e30,), x_unit="bytes", y_unit="bytes/s")
    changes = {"memory_bytes_per_s": 1e30, "launch_overhead_s": 0.0, "all_reduce": flat, "all_gather": flat}
    return machine.model_copy(update={"calibration": machine.calibration.model_copy(update=changes)})


machines = st.sampled_from([*map(catalogue.load, ("lumi-g", "leonardo-booster", "dgx-h100")), calibrated()])


@st.composite
def layouts(draw: st.DrawFn, machine: Machine) -> Layout:
    """A layout of dp, fsdp, tp and pp that fills whole nodes of the machine."""
    power = st.sampled_from([1, 2, 4, 8])
    tp = draw(st.sampled_from([each for each in (1, 2, 4, 8) if machine.accelerators_per_node % each == 0]))
    dp, fsdp, pp = draw(power), draw(power), draw(power)
    ranks = dp * fsdp * tp * pp
    per_node = machine.accelerators_per_node
    dp *= 1 if ranks % per_node == 0 else per_node
    return Layout(
        nodes=max(1, dp * fsdp * tp * pp // per_node), dp=dp, fsdp=fsdp, tp=tp, pp=pp, micro_batch=draw(power),
        accumulate=draw(power), recompute=draw(st.sampled_from(["none", "selective", "full"])),
    )  # fmt: skip


class Published(NamedTuple):
    """One run of published.yaml."""

    name: str
    machine: Machine
    workload: Workload
    layout: Layout
    step_s: float


def published() -> list[Published]:
    rows = yaml.safe_load(Path(__file__).with_name("published.yaml").read_text())
    return [_published(row) for row in rows]


def _published(row: dict[str, str]) -> Published:
    machine = catalogue.load(row["machine"])
    shape = ModelShape.model_validate({name: row[name] for name in ModelShape.model_fields if name in row})
    ranks, batch, micro_batch = machine.accelerators(int(row["nodes"])), int(row["batch"]), int(row["micro_batch"])
    layout = Layout.model_validate(
        {"nodes": row["nodes"], "fsdp": ranks, "micro_batch": micro_batch, "recompute": row["recompute"]}
        | {"accumulate": batch // (ranks * micro_batch)}
    )
    return Published(row["name"], machine, workload(shape, batch=batch), layout, float(row["step_s"]))
