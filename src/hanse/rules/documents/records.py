"""What a run's record says of itself: one function a fact, each with the places it was read from; None is unknown.

Compute follows the two ways of the Commission's guidelines on general-purpose models (C(2025) 7719, annex A.2.1):
by architecture, 6 × parameters × tokens, and by hardware, accelerators × seconds × peak × utilisation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from hanse.contracts.record import RunRecord
from hanse.contracts.run import Attempt
from hanse.contracts.units import format_bytes, format_count, format_gpu_hours, format_seconds, significant
from hanse.contracts.workload import ModelShape
from hanse.rules import evaluations
from hanse.rules.documents import compute

KWH = 3.6e6
_FAMILIES = {
    "llama": "Decoder-only transformer, Llama style", "decoder": "Decoder-only transformer",
    "encoder": "Transformer encoder", "vit": "Vision transformer",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Told:
    """A value as people read it, where it stands in the record, and as a number where it is one."""

    text: str
    records: tuple[str, ...]
    number: float | None = None
    unit: str = ""


Source = Callable[[RunRecord], Told | None]


def _shape(record: RunRecord) -> ModelShape | None:
    if record.run.plan is not None and record.run.plan.workload.shape is not None:
        return record.run.plan.workload.shape
    return record.run.spec.model.shape if record.run.spec.model else None


def _attempts(record: RunRecord) -> tuple[Attempt, ...]:
    return tuple(attempt for leg in record.run.legs for attempt in leg.attempts if attempt.started_at is not None)


def model_name(record: RunRecord) -> Told:
    return Told(f"{record.run.name} (run {record.run.id})", ("run.name", "run.id"))


def specification_hash(record: RunRecord) -> Told:
    code = f"; code bundle SHA-256 {record.run.code_sha256}" if record.run.code_sha256 else ""
    return Told(f"Training specification SHA-256 {record.run.spec_hash}{code}", ("run.spec_hash", "run.code_sha256"))


def purpose(record: RunRecord) -> Told | None:
    return Told(record.run.spec.purpose, ("run.spec.purpose",)) if record.run.spec.purpose.strip() else None


def architecture(record: RunRecord) -> Told | None:
    shape = _shape(record)
    if shape is None:
        return None
    kind = f"{_FAMILIES[shape.family]}{' with mixture of experts' if shape.experts else ''}"
    text = f"{kind}; {shape.layers} layers, width {shape.hidden:,}, {shape.heads} heads, vocabulary {shape.vocab:,}."
    return Told(text, ("run.plan.workload.shape",))


def design(record: RunRecord) -> Told | None:
    shape = _shape(record)
    if shape is None:
        return None
    parts = [
        f"{shape.layers} blocks of width {shape.hidden:,}",
        f"{shape.heads} attention heads of size {shape.head_dim} with {shape.kv_heads} for keys and values",
        f"{'gated ' if shape.gated else ''}feed-forward of inner width {shape.ffn:,}",
        f"{'RMS' if shape.norm == 'rms' else 'layer'} normalisation",
        f"{shape.positions} positions",
        f"{'output projection tied to the embedding' if shape.tied_head else 'untied output projection'}",
    ]
    if shape.experts:
        parts.append(f"{shape.experts.count} experts, {shape.experts.active} active a token")
    return Told("; ".join(parts) + ".", ("run.plan.workload.shape",))


def parameters(record: RunRecord) -> Told | None:
    count = compute.parameters(record)
    if count is None:
        return None
    return Told(f"{significant(count, 2)} parameters", ("result.parameters",), float(count), "parameters")


def modality(record: RunRecord) -> Told | None:
    shape = _shape(record)
    if shape is None or not record.run.spec.data:
        return None
    if shape.family == "vit":
        return Told(f"Images, up to {shape.context:,} patches", ("run.plan.workload.shape",), shape.context, "patches")
    said = f"Text, up to {shape.context:,} tokens"
    return Told(said, ("run.plan.workload.shape.context", "run.spec.data"), shape.context, "tokens")


def output_modality(record: RunRecord) -> Told | None:
    shape = _shape(record)
    if shape is None or shape.family not in ("llama", "decoder") or not record.run.spec.data:
        return None
    said = f"Text, up to {shape.context:,} tokens together with the input"
    return Told(said, ("run.plan.workload.shape.context",), shape.context, "tokens")


def hardware(record: RunRecord) -> Told | None:
    if not record.machines:
        return None
    used = [f"{machine.name}: {machine.accelerator.name}" for machine in record.machines]
    plan = record.run.plan
    ranks = f" ({plan.layout.nodes} nodes, {plan.layout.world_size} accelerators)" if plan else ""
    return Told(f"Trained on {'; '.join(used)}{ranks}", ("machines", "run.plan.layout"))


def software(record: RunRecord) -> Told | None:
    if record.result is None or not record.result.software:
        return None
    return Told(
        ", ".join(f"{name} {version}" for name, version in sorted(record.result.software.items())),
        ("result.software",),
    )


def training_design(record: RunRecord) -> Told | None:
    spec, plan = record.run.spec, record.run.plan
    if spec.model is None:
        return None
    kind = {"pretraining": "Pre-training", "finetuning": "Full fine-tuning", "lora": "Fine-tuning by LoRA"}
    optimiser = spec.optimizer
    said = (
        f"{kind[spec.training]} with AdamW (learning rate {optimiser.lr:g}, betas {optimiser.betas[0]:g} "
        f"and {optimiser.betas[1]:g}, weight decay {optimiser.weight_decay:g}, gradients clipped at "
        f"{optimiser.clip_norm:g}), {spec.schedule.kind} schedule, {spec.batch} sequences a step, {spec.precision}, "
        f"seed {spec.seed}"
    )
    steps = f"; {plan.steps:,} steps planned" if plan else ""
    done = f", {record.result.steps:,} done" if record.result else ""
    return Told(f"{said}{steps}{done}.", ("run.spec", "run.plan.steps", "result.steps"))


def rationale(record: RunRecord) -> Told | None:
    plan = record.run.plan
    return Told(" ".join(plan.why), ("run.plan.why",)) if plan and plan.why else None


def data_sources(record: RunRecord) -> Told | None:
    """What was really read, where the trainer told it; else what train.yaml declares."""
    read = record.result.datasets if record.result else ()
    if read:
        parts = [
            f"{one.name} from {one.source}, licence {one.licence}: {format_count(one.tokens)} tokens read"
            for one in read
        ]
        return Told("; ".join(parts), ("result.datasets",))
    if not record.run.spec.data:
        return None
    said = "; ".join(f"{one.name} from {one.source}, licence {one.licence}" for one in record.run.spec.data)
    return Told(f"Declared: {said}", ("run.spec.data",))


def data_licences(record: RunRecord) -> Told | None:
    licences = sorted({one.licence for one in record.run.spec.data})
    return Told(", ".join(licences), ("run.spec.data",)) if licences else None


def data_points(record: RunRecord) -> Told | None:
    result = record.result
    if result is None:
        return None
    said = f"{format_count(result.dataset_tokens)} tokens of text; {format_count(result.tokens)} were trained on"
    return Told(said, ("result.dataset_tokens", "result.tokens"), float(result.dataset_tokens), "tokens")


def size_class(record: RunRecord) -> Told | None:
    """The public summary's classes of text: below a billion tokens, up to ten trillion, more."""
    if record.result is None:
        return None
    tokens = record.result.dataset_tokens
    said = (
        "Less than 1 billion"
        if tokens < 1e9
        else "1 billion to 10 trillion"
        if tokens <= 1e13
        else "More than 10 trillion"
    )
    return Told(f"Text: {said.lower()} tokens", ("result.dataset_tokens",), float(tokens), "tokens")


def personal_data(record: RunRecord) -> Told | None:
    if not record.run.spec.data:
        return None
    named = [one.name for one in record.run.spec.data if one.personal_data]
    said = f"Declared in: {', '.join(named)}" if named else "None is declared for any dataset"
    return Told(said, ("run.spec.data",))


def training_time(record: RunRecord) -> Told | None:
    spans = [(a.started_at, a.ended_at) for a in _attempts(record) if a.started_at and a.ended_at]
    if not spans:
        return None
    held = sum((end - begin).total_seconds() for begin, end in spans)
    first, last = min(begin for begin, _ in spans), max(end for _, end in spans)
    said = f"{format_seconds(held)} on the machine, from {_moment(first)} to {_moment(last)}, {len(spans)} jobs"
    return Told(said.replace("1 jobs", "one job") if len(spans) == 1 else said, ("run.legs",), held, "s")


def compute_by_architecture(record: RunRecord) -> Told | None:
    flops = compute.by_architecture(record)
    if flops is None:
        return None
    return Told(f"{_power(flops)} FLOP", ("result.tokens", "result.parameters"), flops, "FLOP")


def compute_by_hardware(record: RunRecord) -> Told | None:
    flops = compute.by_hardware(record)
    if flops is None:
        return None
    return Told(f"{_power(flops)} FLOP", ("usage", "machines", "telemetry", "run.plan.mfu"), flops, "FLOP")


def compute_method(record: RunRecord) -> Told | None:
    if compute.by_architecture(record) is None:
        return None
    formula = (
        "(4 × all + 2 × trained parameters) × tokens"
        if record.run.spec.training == "lora"
        else "6 × parameters × tokens"
    )
    return Told(
        f"By architecture: {formula}. By hardware: accelerator-seconds × peak × utilisation, the latter from "
        "measured throughput (Commission guidelines on general-purpose models, annex A.2.1).",
        ("result", "usage", "telemetry"),
    )


def accelerator_hours(record: RunRecord) -> Told:
    used = record.run.used_accelerator_seconds
    return Told(format_gpu_hours(used), ("run.used_accelerator_seconds", "usage"), used / 3600, "GPU-hours")


def energy(record: RunRecord) -> Told | None:
    joules = compute.energy_joules(record)
    if joules is None:
        return None
    return Told(f"{significant(joules / KWH)} kWh", ("usage",), joules / KWH, "kWh")


def energy_method(record: RunRecord) -> Told | None:
    counted = [entry for entry in record.usage if entry.energy_joules is not None]
    if not counted:
        return None
    estimated = sum(1 for entry in counted if entry.energy_estimated)
    if not estimated:
        return Told("Measured: the scheduler's energy counters of each job, summed.", ("usage",))
    if estimated == len(counted):
        return Told("Estimated from the power of the nodes and the time they were held; not measured.", ("usage",))
    return Told(
        f"Measured for {len(counted) - estimated} jobs, estimated from power and time for {estimated}.", ("usage",)
    )


def carbon(record: RunRecord) -> Told | None:
    grams = compute.co2_grams(record)
    if grams is None:
        return None
    return Told(f"{significant(grams / 1000)} kg CO₂e", ("usage", "run.plan.expense"), grams / 1000, "kg CO2e")


def evaluation(record: RunRecord) -> Told | None:
    """What training itself measured, and whatever evaluations were attached since."""
    result, attached = record.result, [evaluations.sentence(one) for one in record.evaluations]
    if result is None and not attached:
        return None
    more = ("evaluations",) if attached else ()
    if result is None:
        return Told(" ".join(attached), more)
    checked = f", {result.validation_loss:.4f} on held-out text" if result.validation_loss is not None else ""
    said = (
        f"Cross-entropy {result.final_loss:.4f} nats a token at the end of training{checked}; token frequencies alone "
        f"would reach {result.unigram_entropy:.4f}."
    )
    places = ("result.final_loss", "result.validation_loss", "result.unigram_entropy", *more)
    return Told(" ".join((said, *attached)), places, result.final_loss, "nats")


def against_plan(record: RunRecord) -> Told | None:
    plan = record.run.plan
    if plan is None or not plan.accelerator_seconds:
        return None
    used, planned = record.run.used_accelerator_seconds, plan.accelerator_seconds
    said = f"{format_gpu_hours(used)} used, {format_gpu_hours(planned)} planned ({used / planned:.0%})"
    failed = [attempt for attempt in _attempts(record) if attempt.state == "failed"]
    lost = "".join(f" Attempt {one.number} failed: {one.reason}." for one in failed if one.reason)
    places = ("run.used_accelerator_seconds", "run.plan.accelerator_seconds", "run.legs")
    return Told(f"{said}.{lost}", places, used / 3600, "GPU-hours")


def allocations(record: RunRecord) -> Told | None:
    if not record.allocations:
        return None
    said = [
        f"{one.machine}: {format_gpu_hours(one.granted_accelerator_seconds)} granted, "
        f"{format_gpu_hours(one.used_accelerator_seconds)} used, {one.starts} to {one.ends}"
        for one in record.allocations
    ]
    return Told("; ".join(said), ("allocations",))


def proposal(record: RunRecord) -> Told | None:
    return Told(record.application.id, ("application.id",)) if record.application else None


def organisation(record: RunRecord) -> Told | None:
    if record.application is None:
        return None
    form = record.application.form
    return Told(f"{form.organisation} ({form.country})", ("application.form",))


def memory(record: RunRecord) -> Told | None:
    peak = max((row.memory_bytes.max for row in record.telemetry), default=0)
    return Told(f"{format_bytes(peak)} on the fullest rank", ("telemetry",), peak, "bytes") if peak > 0 else None


def gate(record: RunRecord) -> Told | None:
    if record.gate is None:
        return None
    # A document may be published: a person who overruled the rules stands in the record by name, not here.
    by = "an officer, against the rules" if record.gate.overridden_from else record.gate.decided_by
    said = f"{record.gate.verdict}, decided {_moment(record.gate.decided_at)} by {by}"
    kept = f"; conditions: {' '.join(record.gate.conditions)}" if record.gate.conditions else ""
    return Told(said + kept, ("gate",))


def _power(value: float) -> str:
    """3.1 × 10²²: amounts of computing are compared by their powers of ten."""
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa} × 10{str(int(exponent)).translate(str.maketrans('0123456789-', '⁰¹²³⁴⁵⁶⁷⁸⁹⁻'))}"


def _moment(at: datetime) -> str:
    return f"{at.day} {at:%B %Y, %H:%M} UTC"


FROM_RECORDS: Mapping[str, Source] = {
    one.__name__.replace("_", "-"): one
    for one in (
        model_name, specification_hash, purpose, architecture, design, parameters, modality, output_modality, hardware,
        software, training_design, rationale, data_sources, data_licences, data_points, size_class, personal_data,
        training_time, compute_by_architecture, compute_by_hardware, compute_method, accelerator_hours, energy,
        energy_method, carbon, evaluation, against_plan, allocations, proposal, organisation, memory, gate,
    )
}  # fmt: skip
