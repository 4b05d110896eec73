"""From a spec to a run: machine, plan, allocation, code bundle, and the request, as `launch` and `demo` need it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hanse.cli import bundle, costing, launching_across, pick, planning, weighing
from hanse.cli.machine import resolve, unknown
from hanse.cli.output import ProgramError
from hanse.contracts.errors import UsageError
from hanse.contracts.units import SECONDS_PER_HOUR, format_bytes

if TYPE_CHECKING:
    from hanse.client.api import Client
    from hanse.contracts.placement import Placement
    from hanse.contracts.plan import Plan
    from hanse.contracts.programme import Allocation
    from hanse.contracts.run import Run
    from hanse.contracts.spec import TrainSpec

SMOKE_STEPS = 10
SMOKE_WALL_TIME_S = 900
LOG_LINES = 6


def ten_steps(spec: TrainSpec) -> TrainSpec:
    """The same training cut to ten steps and a quarter of an hour; its own name, so that nobody mistakes it.

    Raises:
        UsageError: a `command:` has no steps to be cut.
    """
    if spec.command is not None or spec.model is None or spec.batch is None or spec.tokens is None:
        raise UsageError(
            "--smoke runs ten steps of a training; a command: has none Hanse could count.",
            fix="Try it with a small where.wall_time_s instead.",
        )
    from hanse.workloads.shapes import model_shape

    shape = model_shape(spec)
    context = shape.context if shape is not None else (spec.model.context or 1)
    tokens = min(spec.tokens, SMOKE_STEPS * spec.batch * context)
    where = spec.where.model_copy(update={"wall_time_s": min(spec.where.wall_time_s, SMOKE_WALL_TIME_S)})
    short = spec.model_copy(update={"name": f"{spec.name[:56]}-smoke", "tokens": tokens, "where": where})
    return short if spec.across is None else launching_across.in_smoke(short, SMOKE_STEPS)


def require_supported(spec: TrainSpec, spec_path: Path) -> None:
    """Nothing if the trainer can carry it out; said before anything is planned, sent or queued.

    Raises:
        UsageError: it cannot; the reason.
    """
    from hanse.workloads.supported import refusal

    if (because := refusal(spec)) is not None:
        raise UsageError(
            because,
            where=str(spec_path),
            fix=f"'hanse plan {spec_path} --whole-space --export megatron' plans it for another trainer.",
        )


def _allowed(spec: TrainSpec, machine: str | None, spec_path: Path) -> Sequence[str]:
    allowed = spec.where.machines
    if machine is None:
        return allowed
    machine = resolve(machine).id if machine not in allowed else machine
    if machine not in allowed:
        raise UsageError(
            f"{spec_path.name} does not allow {machine!r}; it allows {', '.join(allowed)}.",
            where=f"{spec_path}, key where.machines",
            fix=f"Add {machine} there if it may run on it.",
        )
    return (machine,)


def reserved(spec: TrainSpec) -> int:
    return round(spec.where.max_gpu_hours * SECONDS_PER_HOUR)


def launch(
    client: Client,
    spec: TrainSpec,
    spec_path: Path,
    *,
    machine: str | None = None,
    allocation: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Run:
    """Choose what to charge, plan, pack and start. Whatever the service refuses is raised with its findings."""
    if spec.across is not None:
        launching_across.refuse_beside(machine, allocation)
        return launching_across.launch(client, spec, spec_path, say=say)
    machines = _allowed(spec, machine, spec_path)
    if len(machines) > 1 and allocation is None:
        return _launch_where_best(client, spec, spec_path, machines, say)
    charged = pick.allocation(client.allocations(), machines, reserved(spec), allocation)
    known = {one.id: one for one in client.machines()}
    if charged.machine not in known:
        raise unknown(charged.machine, tuple(known))
    plan = None
    if spec.command is None:
        plan = planning.plan_for(spec, spec_path, known[charged.machine], partition=charged.partition)
    placement = None
    if len(spec.where.machines) > 1:
        placement = weighing.pinned(client, spec, known[charged.machine], charged, plan)
    return start(client, spec, spec_path, charged, plan, say=say, placement=placement)


def _launch_where_best(
    client: Client, spec: TrainSpec, spec_path: Path, machines: Sequence[str], say: Callable[[str], None]
) -> Run:
    """Of several machines the one that ends it soonest; said with the others before anything is sent."""
    from hanse.planning import sites

    found = weighing.ask(client, spec, spec_path, machines)
    placed = found.placed(spec)
    if placed is None:
        # With nothing to choose from, the refusal of the first allowed one says most.
        charged = pick.allocation(client.allocations(), machines, reserved(spec), None)
        raise UsageError(
            "None of the machines of where.machines can take this run now.", where=f"{spec_path}, key where.machines",
            fix=f"-m {charged.machine} asks for that one all the same.",
            history=tuple(f"{each.machine}: {each.reason}" for each in found.ruled_out(spec)),
        )  # fmt: skip
    for line in sites.in_words(placed):
        say(line)
    chosen = next(o for o in found.offers if o.allocation and o.allocation.id == placed.options[0].allocation_id)
    assert chosen.allocation is not None
    return start(client, spec, spec_path, chosen.allocation, chosen.plan, say=say, placement=placed)


def start(
    client: Client,
    spec: TrainSpec,
    spec_path: Path,
    charged: Allocation,
    plan: Plan | None,
    *,
    say: Callable[[str], None] = lambda _: None,
    placement: Placement | None = None,
) -> Run:
    """Say what it will cost, send the code, if there is some, and start the run."""
    for sentence in costing.before_launch(client, plan, charged):
        say(sentence)
    return client.launch(
        spec, plan, allocation=charged.id, machine=charged.machine, placement=placement,
        code_sha256=send_code(client, spec, spec_path, charged.machine, say),
    )  # fmt: skip


def send_code(client: Client, spec: TrainSpec, spec_path: Path, machine: str, say: Callable[[str], None]) -> str | None:
    """Pack and send the folder of train.yaml, where the run needs it; its SHA-256."""
    sha256 = None
    if bundle.needs_bundle(spec):
        packed = bundle.make(spec, spec_path)
        for name, size in packed.too_big:
            say(f"Left out of the code as over {format_bytes(bundle.MAX_FILE_BYTES)}: {name} ({format_bytes(size)}).")
        for name, size in packed.data_left:
            say(
                f"The data of {name} ({format_bytes(size)}) is not sent; the machine must have it at the same path: "
                f"hanse stage {spec_path.name} {machine}: brings it there."
            )
        sha256 = client.upload_code(packed.data).sha256
        count = len(packed.files)
        say(f"Sent {count} {'file' if count == 1 else 'files'} of code, {format_bytes(len(packed.data))} packed.")
    return sha256


def require_finished(client: Client, run: Run) -> None:
    """Nothing if the run finished.

    Raises:
        ProgramError: it did not; its reason, and the end of its log, stand in it.
    """
    if run.state == "finished":
        return
    raise ProgramError(
        f"{run.id} {'was cancelled' if run.state == 'cancelled' else f'is {run.state}'}"
        + (f": {run.reason}" if run.reason else "."),
        fix=f"'hanse logs {run.id}' prints all it wrote.",
        history=log_end(client, run.id),
    )


def log_end(client: Client, run_id: str, lines: int = LOG_LINES) -> tuple[str, ...]:
    """The last lines a run's job wrote."""
    offset, text = 0, ""
    while True:
        part = client.log(run_id, offset=offset)
        if not part.text:
            break
        text, offset = (text + part.text)[-20_000:], part.next_offset
    return tuple(line for line in text.splitlines() if line.strip())[-lines:]
