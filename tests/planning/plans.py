"""Plans as the planner makes them, written down: for tests of what is told of a plan and of who it is handed to."""

from __future__ import annotations

from datetime import UTC, datetime

from hanse.contracts.layout import Layout
from hanse.contracts.plan import (
    Candidate,
    Expense,
    Goodput,
    Interval,
    Lever,
    Memory,
    Plan,
    StepPart,
    StepTime,
)
from hanse.contracts.scaling import Option, ScalingRow, ScalingTable
from hanse.contracts.workload import Experts, LatentAttention, ModelShape, Workload
from tests.planning.worlds import LLAMA_8B, workload

LLAMA_70B = ModelShape(
    layers=80, hidden=8192, heads=64, kv_heads=8, ffn=28672, vocab=128256, context=8192, tied_head=False
)
DEEPSEEK_V3 = ModelShape(
    family="decoder", layers=61, hidden=7168, heads=128, kv_heads=128, ffn=18432, vocab=129280, context=4096,
    tied_head=False, mtp_layers=1,
    latent=LatentAttention(q_rank=1536, kv_rank=512, nope_dim=128, rope_dim=64, v_dim=128),
    experts=Experts(count=256, active=8, ffn=2048, shared_ffn=2048, dense_layers=3),
)  # fmt: skip
PARTS: dict[StepPart, float] = {
    "matmul": 6.1, "attention": 0.9, "memory-bound": 0.8, "head": 0.4, "launch": 0.05, "tensor-parallel": 1.2,
    "pipeline": 0.05, "data-parallel": 0.3, "bubble": 0.7, "imbalance": 0.1, "optimiser": 0.12,
}  # fmt: skip
GB = 10**9


def about(expected: float, low: float = 0.9, high: float = 1.15) -> Interval:
    return Interval(low=expected * low, expected=expected, high=expected * high)


def work(shape: ModelShape = LLAMA_70B, *, batch: int = 1024, tokens: int = 10**12) -> Workload:
    """The counts of a shape that the planner's own formulas do not matter for."""
    if shape.family == "llama":
        return workload(shape, batch=batch, tokens=tokens)
    plain = workload(LLAMA_8B, batch=batch, tokens=tokens)
    return plain.model_copy(update={"shape": shape, "context": shape.context, "vocab": shape.vocab})


def plan(
    layout: Layout, *, shape: ModelShape = LLAMA_70B, machine: str = "leonardo-booster", rich: bool = True, **changes
) -> Plan:
    """A plan of `layout` with figures of the right order; `rich` adds goodput, expense, levers and runners-up."""
    trained = work(shape, batch=layout.global_batch)
    step_s = sum(PARTS.values())
    wall_s = trained.steps * step_s / 0.94
    memory = Memory(
        parameters=9 * GB, gradients=9 * GB, optimiser=14 * GB, activations=17 * GB, other=3 * GB, limit=61 * GB
    )
    made = Plan(
        workload=trained, machine=machine, layout=layout,
        step_time=StepTime(parts=PARTS, total_s=about(step_s), hidden={"data-parallel": 0.8}),
        memory=memory, tokens_per_s=about(trained.tokens_per_step / step_s), mfu=0.42, steps=trained.steps,
        wall_time_s=about(wall_s, 0.85, 1.3), accelerator_seconds=round(wall_s * layout.world_size), why=(),
        estimates=("Watts of a node: an estimate.",) if rich else (), machine_digest="0" * 64, searched=18432,
        made_at=datetime(2027, 1, 14, tzinfo=UTC),
    )  # fmt: skip
    return made.model_copy(update=(_rich(made) if rich else {}) | changes)


def _rich(made: Plan) -> dict[str, object]:
    layout, memory, step_s = made.layout, made.memory, made.step_time.total_s.expected
    twin = layout.model_copy(update={"recompute": "full"})
    tokens = made.workload.tokens_per_step
    stages = tuple(
        memory.model_copy(update={"activations": memory.activations * (layout.pp - stage) // layout.pp})
        for stage in range(layout.pp)
    )
    return {
        "goodput": Goodput(
            failures_per_day=Interval(low=0.3, expected=0.6, high=1.2), checkpoint_every_s=2700.0, checkpoint_s=25.0,
            restart_s=600.0, stragglers=0.02, share=Interval(low=0.9, expected=0.94, high=0.97),
        ),
        "expense": Expense(
            unit="core-hour", amount=about(made.accelerator_seconds / 3600 * 8), energy_joules=about(7e12),
            co2_grams=about(4.6e8),
        ),
        "memory_by_stage": stages if layout.pp > 1 else (),
        "levers": (
            Lever(
                change="with twice the batch", step_time_s=step_s * 1.9, wall_time_s=made.wall_time_s.expected * 0.95,
                accelerator_seconds=round(made.accelerator_seconds * 0.95), layout=layout,
            ),
            Lever(
                change="on lumi-g", step_time_s=step_s * 1.2, wall_time_s=made.wall_time_s.expected * 1.2,
                accelerator_seconds=round(made.accelerator_seconds * 1.2), layout=twin,
            ),
        ),
        "outside": ("Sequences of 8,192 tokens over a pipeline of more than 8 stages.",),
        "considered": tuple(
            Candidate(
                layout=one, step_time_s=seconds, tokens_per_s=tokens / seconds, memory_bytes=memory_bytes,
                fits=memory_bytes <= memory.limit, note=note,
            )
            for one, seconds, memory_bytes, note in (
                (layout, step_s, memory.total, ""),
                (twin, step_s * 1.21, memory.total - 12 * GB, ""),
                (
                    layout.model_copy(update={"micro_batch": 2}), step_s * 0.97, 66 * GB,
                    "needs 66 GB a rank of 61 GB usable",
                ),
            )
        ),
    }  # fmt: skip


def option(nodes: int, *, machine: str = "leonardo-booster", per_node: int = 4, wall_s: float, best: bool) -> Option:
    accelerators = nodes * per_node
    return Option(
        machine=machine, nodes=nodes, accelerators=accelerators, layout=Layout(nodes=nodes, fsdp=accelerators),
        global_batch=1024, step_time_s=about(wall_s / 1e5), tokens_per_s=about(8e11 / wall_s), mfu=0.4,
        wall_time_s=about(wall_s), accelerator_seconds=round(wall_s * accelerators), best=best,
    )  # fmt: skip


def options() -> tuple[Option, ...]:
    """Three machines at some sizes; what is neither sooner nor cheaper than another is not best."""
    return (
        *(option(n, wall_s=3e6 * 32 / n**0.95 / 32, best=n in (32, 64, 128)) for n in (32, 64, 128, 256)),
        *(option(n, machine="lumi-g", per_node=8, wall_s=4e6 / n**0.93, best=n == 512) for n in (64, 128, 512)),
        *(option(n, machine="mn5-acc", wall_s=2.2e6 / n**0.95, best=True) for n in (16, 256)),
    )


def strong() -> ScalingTable:
    rows = [option(n, wall_s=3e6 / n**0.93, best=True) for n in (16, 32, 64, 128, 256, 512)]
    first = rows[0]
    return ScalingTable(
        kind="strong", machine="leonardo-booster",
        rows=tuple(
            ScalingRow(
                option=row, speed_up=(up := row.tokens_per_s.expected / first.tokens_per_s.expected),
                efficiency=up * first.nodes / row.nodes,
            )
            for row in rows
        ),
    )  # fmt: skip


SMALL = Layout(nodes=8, dp=8, fsdp=4, micro_batch=2, accumulate=16)
HYBRID = Layout(nodes=64, dp=2, fsdp=128, zero=3, micro_batch=4)
PIPELINED = Layout(
    nodes=128, dp=4, fsdp=4, zero=1, tp=4, pp=8, micro_batch=1, accumulate=64, recompute="selective",
    pipeline="interleaved", chunks=2,
)  # fmt: skip
EXPERT = Layout(nodes=128, fsdp=64, zero=1, pp=8, ep=32, micro_batch=1, accumulate=16, recompute="full")
