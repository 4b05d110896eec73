"""The parts run records are made of, with the figures of a small training on a laptop."""

from __future__ import annotations

import math
import random
from datetime import UTC, date, datetime, timedelta

from hanse.contracts.decision import Decision, Finding
from hanse.contracts.layout import Layout
from hanse.contracts.machine import Accelerator, Machine, SchedulerFacts
from hanse.contracts.plan import Interval, Memory, Plan, StepTime
from hanse.contracts.programme import Allocation, Application, ApplicationForm
from hanse.contracts.run import Attempt, AttemptState
from hanse.contracts.spec import DatasetSpec, ModelSpec, TrainSpec, WhereSpec
from hanse.contracts.telemetry import Spread, StepSummary, TrainResult
from hanse.contracts.workload import ModelShape, Workload

START = datetime(2026, 11, 23, 9, 12, 4, tzinfo=UTC)
TOKENS_PER_STEP = 32 * 256
STEPS = 240
SHAPE = ModelShape(layers=6, hidden=256, heads=8, kv_heads=4, ffn=704, vocab=4096, context=256)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def machine(name: str = "This machine") -> Machine:
    return Machine(
        id="local",
        name=name,
        site="laptop-17",
        accelerators_per_node=1,
        nodes=2,
        accelerator=Accelerator(
            name="one core of an x86-64 processor",
            kind="cpu",
            memory_bytes=8_000_000_000,
            memory_bytes_per_s=1.2e10,
            peak_flops={"fp32": 6.1e10},
        ),
        scheduler=SchedulerFacts(kind="local"),
    )


def spec(name: str = "stdlib-lm", licence: str = "PSF-2.0") -> TrainSpec:
    return TrainSpec(
        name=name,
        purpose="Complete Python source for students",
        model=ModelSpec(shape=SHAPE),
        data=(DatasetSpec(name="python-stdlib", source="python-stdlib", licence=licence),),
        batch=32,
        tokens=TOKENS_PER_STEP * STEPS,
        precision="fp32",
        where=WhereSpec(nodes=2, max_gpu_hours=0.5),
    )


def plan(step_s: float = 0.62) -> Plan:
    shares = {
        "matmul": 0.66,
        "attention": 0.08,
        "memory-bound": 0.09,
        "communication": 0.07,
        "optimiser": 0.06,
        "launch": 0.04,
    }
    rate = TOKENS_PER_STEP / step_s
    wall = step_s * STEPS + 14
    return Plan(
        workload=Workload(
            name="stdlib-lm",
            shape=SHAPE,
            context=256,
            vocab=4096,
            global_batch=32,
            total_tokens=TOKENS_PER_STEP * STEPS,
            precision="fp32",
            parameters=5_300_000,
            embedding_parameters=1_048_576,
            flops_per_token=3.3e7,
        ),
        machine="local",
        layout=Layout(nodes=2, dp=2, micro_batch=8, accumulate=2),
        step_time=StepTime(
            parts={k: v * step_s for k, v in shares.items()},
            total_s=Interval(low=step_s * 0.84, expected=step_s, high=step_s * 1.19),
        ),
        memory=Memory(
            parameters=21_200_000,
            gradients=21_200_000,
            optimiser=42_400_000,
            activations=610_000_000,
            other=420_000_000,
            limit=8_000_000_000,
        ),
        tokens_per_s=Interval(low=rate / 1.19, expected=rate, high=rate / 0.84),
        mfu=0.47,
        steps=STEPS,
        wall_time_s=Interval(low=wall * 0.84, expected=wall, high=wall * 1.2),
        accelerator_seconds=round(wall * 2),
        why=(
            "Two copies of the model sum their gradients once a step: it fits on one rank, and a copy moves least.",
            "Matrix products take 66 % of a step; a faster processor would help most.",
        ),
        estimates=("the latency between the two processes",),
        searched=42,
        machine_digest="c4" * 32,
        made_at=after(-60),
    )


def rows(
    first: int, last: int, *, attempt: int = 1, start_s: float = 9.0, step_s: float = 0.66
) -> tuple[StepSummary, ...]:
    dice = random.Random(attempt)
    made = []
    for step in range(first, last + 1):
        loss = 3.05 + 5.3 * math.exp(-step / 38) + 0.9 * math.exp(-step / 160) - 0.9 + dice.gauss(0, 0.035)
        took = step_s * (1 + abs(dice.gauss(0, 0.03))) * (2.4 if step == first else 1)
        made.append(
            StepSummary(
                attempt=attempt,
                step=step,
                at=after(start_s + (step - first) * step_s),
                tokens=step * TOKENS_PER_STEP,
                loss=loss,
                grad_norm=1.2,
                lr=3e-4,
                step_s=Spread(min=took * 0.99, median=took, max=took * 1.02),
                data_s=Spread(min=0.002, median=0.004, max=0.007),
                compute_s=Spread(min=took * 0.9, median=took * 0.92, max=took * 0.93),
                optimiser_s=Spread(min=0.03, median=0.035, max=0.04),
                memory_bytes=Spread(min=1.02e9, median=1.05e9, max=1.09e9),
                tokens_per_s=TOKENS_PER_STEP / took,
            )
        )
    return tuple(made)


def attempt(
    number: int,
    state: AttemptState,
    planned_s: float,
    started_s: float | None,
    ended_s: float | None,
    *,
    last_step: int | None = None,
    reason: str = "",
    exit_code: int | None = None,
) -> Attempt:
    held = 0 if started_s is None or ended_s is None else round((ended_s - started_s) * 2)
    return Attempt(
        id=f"run-7f3a-{number}",
        leg_id="leg-1",
        number=number,
        state=state,
        job_id=str(4100 + number),
        reason=reason,
        planned_at=after(planned_s),
        started_at=None if started_s is None else after(started_s),
        ended_at=None if ended_s is None else after(ended_s),
        exit_code=exit_code,
        last_step=last_step,
        accelerator_seconds=held,
    )


def gate() -> Decision:
    return Decision(
        subject="app-0001",
        verdict="condition",
        decided_at=after(-3600),
        decided_by="rules 2026-11-22",
        findings=(
            Finding(
                rule="gate.prohibited-practice",
                verdict="allow",
                reason="none of the prohibited practices is described",
                citation="Regulation (EU) 2024/1689, Article 5",
            ),
            Finding(
                rule="gate.personal-data",
                verdict="allow",
                reason="the data holds no personal data",
                citation="Regulation (EU) 2016/679, Article 6",
            ),
            Finding(
                rule="gate.training-summary",
                verdict="condition",
                reason="a general-purpose model may follow from it",
                citation="Regulation (EU) 2024/1689, Article 53(1)(d)",
                confidence="secondary",
                condition="Keep the list of datasets with their licences; publish a summary with the model",
            ),
        ),
    )


def allocation(used: int = 364, reserved: int = 0) -> Allocation:
    return Allocation(
        id="alloc-0001",
        project="norrlyd",
        machine="local",
        granted_accelerator_seconds=3600 * 10,
        used_accelerator_seconds=used,
        reserved_accelerator_seconds=reserved,
        starts=date(2026, 11, 23),
        ends=date(2027, 2, 22),
        conditions=("Acknowledge the programme in publications.",),
    )


def application() -> Application:
    return Application(
        id="app-0001",
        state="granted",
        sent_at=after(-7200),
        decided_at=after(-3600),
        allocation_id="alloc-0001",
        form=ApplicationForm(
            call="playground",
            organisation="Norrlyd",
            organisation_kind="start-up",
            country="DK",
            title="A small code model",
            purpose="Complete Python source for students",
            machine="local",
            gpu_hours=10,
            duration_months=3,
            contact_email="team@norrlyd.example",
        ),
    )


def result(sample: str = "(self, name):\n    return self._names[name]\n") -> TrainResult:
    return TrainResult(
        steps=STEPS,
        tokens=TOKENS_PER_STEP * STEPS,
        final_loss=2.94,
        validation_loss=3.11,
        unigram_entropy=6.02,
        vocab=4096,
        parameters=5_300_000,
        dataset_tokens=4_812_000,
        training_s=168.2,
        sample_prompt="def lookup",
        sample_text=sample,
        software={"torch": "2.13.0", "hanse": "0.1.0", "python": "3.12.3"},
        finished_at=after(182),
    )
