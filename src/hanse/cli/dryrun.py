"""`hanse launch --dry-run`: the spec with its defaults, the plan, and the job it becomes, each line with its reason.

Needs no service: ids that only a launch gives read 'dry-run'.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hanse.cli import costing, planning

if TYPE_CHECKING:
    from hanse.contracts.job import JobSpec
    from hanse.contracts.machine import Machine
    from hanse.contracts.placement import Placement
    from hanse.contracts.plan import Plan
    from hanse.contracts.spec import TrainSpec
    from hanse.planning.sites import Offer

TRAINING_KEYS = {"data", "tokenizer", "optimizer", "schedule", "precision", "seed", "checkpoint"}
"""What a `command:` does not look at."""
ID = "dry-run"
UNASKED = "No service was asked: your hours, and how long jobs wait, decide at the launch which machine it is."
ACCOUNT = "YOUR-ALLOCATIONS-ACCOUNT"


def job_for(spec: TrainSpec, plan: Plan | None, machine: Machine) -> JobSpec:
    """The job of a first attempt, made by the code that makes the real one."""
    from hanse.planning.jobs import job_of, shape_of

    shape = shape_of(spec, plan, machine)
    account = spec.where.account or (ACCOUNT if machine.scheduler.account_required else "")
    return job_of(
        spec, machine, shape, run_id=ID, attempt_id=ID, number=1, wall_time_s=shape.wall_time_s, account=account
    )


def script_lines(job: JobSpec, machine: Machine) -> tuple[tuple[str, str], ...]:
    """What is handed to the scheduler, line by line with its reason; for this machine, what its launchers execute."""
    if machine.scheduler.kind == "local":
        return tuple(
            (
                " ".join(step.argv),
                f"step {step.name}, by {step.nodes} of this machine's node launchers at once, "
                f"each with {job.accelerators_per_node} of its ranks",
            )
            for step in job.steps
        )
    from hanse.schedulers.script import explain

    return explain(job, machine)


def show(spec: TrainSpec, spec_path: Path, machine_name: str | None, *, as_json: bool) -> None:
    """Print it all; nothing is sent anywhere."""
    if spec.across is not None:
        _show_legs(spec, spec_path, machine_name, as_json=as_json)
        return
    placement, taken, note = _weighed(spec, spec_path) if machine_name is None else (None, None, "")
    if taken is not None:
        machine, plan = taken.machine, taken.plan
    else:
        machine = planning.machine_for(spec, spec_path, machine_name)
        plan = planning.plan_for(spec, spec_path, machine) if spec.command is None else None
    job = job_for(spec, plan, machine)
    lines = script_lines(job, machine)
    if as_json:
        from hanse.cli.output import print_json

        shown = placement.model_dump(mode="json") if placement else None
        print_json({"spec": spec.model_dump(mode="json"), **_facts(job, plan, machine, lines), "placement": shown})
        return
    if placement is not None:
        _print_placement(placement, note)
    _print_spec(spec, spec_path)
    _print(plan, machine, lines)
    _print_end()


def _facts(job: JobSpec, plan: Plan | None, machine: Machine, lines: tuple[tuple[str, str], ...]) -> dict[str, object]:
    from hanse.machines.launch_facts import guesses

    return {
        "plan": plan.model_dump(mode="json") if plan else None,
        "job": job.model_dump(mode="json"),
        "script": [{"line": line, "reason": reason} for line, reason in lines],
        "cannot": [one.model_dump(mode="json") for one in machine.scheduler.cannot],
        "guessed": [one.key for one in guesses(machine)],
        "unknown": list(machine.unknown),
        "cost": list(costing.without_service(plan, machine)),
    }


def _show_legs(spec: TrainSpec, spec_path: Path, machine_name: str | None, *, as_json: bool) -> None:
    """Of a run across machines: what its legs agree on, and the job of each, or of the one that was named."""
    from hanse.cli import launching_across
    from hanse.cli.machine import resolve
    from hanse.contracts.errors import UsageError

    found = launching_across.weigh(spec, spec_path, [resolve(name) for name in spec.where.machines])
    wanted = [each for each in found.plans if machine_name in (None, each[0].id)]
    if not wanted:
        raise UsageError(
            f"This training has no leg on {machine_name}.", where=f"{spec_path}, key where.machines",
            fix=f"Name one of {', '.join(spec.where.machines)}, or none for all.",
        )  # fmt: skip
    jobs = [(machine, plan, steps, job_for(found.spec, plan, machine)) for machine, plan, steps in wanted]
    if as_json:
        from hanse.cli.output import print_json

        legs = [
            {"machine": machine.id, "inner_steps": steps, **_facts(job, plan, machine, script_lines(job, machine))}
            for machine, plan, steps, job in jobs
        ]
        print_json({"spec": found.spec.model_dump(mode="json"), "legs": legs})
        return
    from rich.text import Text

    from hanse.cli.output import tell
    from hanse.cli.views import sentences

    _print_spec(found.spec, spec_path)
    tell(Text("# Its legs", style="bold"), sentences(launching_across.told(found)), "")
    for machine, plan, _, job in jobs:
        _print(plan, machine, script_lines(job, machine))
        tell("")
    _print_end()


def _weighed(spec: TrainSpec, spec_path: Path) -> tuple[Placement | None, Offer | None, str]:
    """Where it would go, and what is not known about that; None where only one machine is allowed.

    A service that runs already is asked. Else hours and waits are unknown, and the first usable machine is shown.
    """
    machines = spec.where.machines
    if len(machines) < 2:
        return None, None, ""
    from hanse.cli import connect, weighing
    from hanse.contracts.errors import UsageError

    client = connect.running()
    found = (
        weighing.ask(client, spec, spec_path, machines)
        if client
        else weighing.without_service(spec, spec_path, machines)
    )
    placement = found.placed(spec)
    if placement is None:
        raise UsageError(
            "None of the machines of where.machines can take this run now.", where=f"{spec_path}, key where.machines",
            fix="-m shows the job for one of them all the same.",
            history=tuple(f"{each.machine}: {each.reason}" for each in found.ruled_out(spec)),
        )  # fmt: skip
    if client:
        return placement, found.offer(placement.options[0].machine), ""
    usable = {option.machine: option for option in placement.options}
    ordered = tuple(usable[name] for name in dict.fromkeys(each.machine.id for each in found.offers) if name in usable)
    why = f"{ordered[0].machine} is the first of where.machines that could take it."
    shown = placement.model_copy(update={"options": ordered, "why": why, "margin_s": 0.0})
    return shown, found.offer(ordered[0].machine), UNASKED


def _print_placement(placement: Placement, note: str) -> None:
    from rich.text import Text

    from hanse.cli import placed
    from hanse.cli.output import tell

    tell(Text("# Why this machine", style="bold"), placed.view(placement, decided=False))
    tell(note, "") if note else tell("")


def _print_spec(spec: TrainSpec, spec_path: Path) -> None:
    import yaml
    from rich.text import Text

    from hanse.cli.output import tell

    left_out = TRAINING_KEYS if spec.command is not None else set()
    facts = spec.model_dump(mode="json", exclude_none=True, exclude=left_out)
    resolved = yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)
    tell(Text(f"# {spec_path} with its defaults", style="bold"), resolved)


def _print(plan: Plan | None, machine: Machine, lines: tuple[tuple[str, str], ...]) -> None:
    from rich.text import Text

    from hanse.cli import plan_views, script_views
    from hanse.cli.output import tell

    if plan is not None:
        tell(Text(f"# The plan for {machine.name}", style="bold"), plan_views.overview(plan, machine), "")
    tell(Text(f"# The job for {machine.name} ({machine.scheduler.kind})", style="bold"))
    script_views.show(lines)
    script_views.told(machine)
    if said := costing.without_service(plan, machine):
        from hanse.cli.views import sentences

        tell("", Text("# What it will cost", style="bold"), sentences(said))


def _print_end() -> None:
    from hanse.cli.output import note

    note("Nothing was run. Without --dry-run this is launched.")
