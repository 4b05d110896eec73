"""`hanse plan`: the layout for a train.yaml and what is expected of it, before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def run(
    spec_path: Annotated[Path, typer.Argument(metavar="TRAIN.YAML", help="The training.")] = Path("train.yaml"),
    machine: Annotated[
        str | None,
        typer.Option(
            "--machine", "-m", help="Machine id, or a machine description ending in .yaml. Default: the spec's first."
        ),
    ] = None,
    nodes: Annotated[int | None, typer.Option("--nodes", "-n", min=1, help="Exactly so many nodes.")] = None,
    partition: Annotated[str | None, typer.Option("--partition", "-p", help="Partition of the machine.")] = None,
    candidates: Annotated[bool, typer.Option("--candidates", "-c", help="Also the layouts that came next.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The plan as JSON.")] = False,
) -> None:
    from hanse.cli import planning, views
    from hanse.cli.machine import LOCAL
    from hanse.cli.output import note, print_json, tell
    from hanse.workloads.load import load_spec

    spec = load_spec(spec_path)
    chosen = planning.machine_for(spec, spec_path, machine)
    plan = planning.plan_for(spec, spec_path, chosen, nodes=nodes, partition=partition)
    if as_json:
        print_json(plan)
        return
    tell(views.plan(plan, chosen))
    if candidates:
        tell("", views.candidates(plan))
    if chosen.id == LOCAL and chosen.calibration is None:
        note("This machine was not measured yet: 'hanse machines calibrate' (half a minute) makes this plan better.")
    others = [name for name in spec.where.machines if name != chosen.id]
    if others and machine is None:
        note(f"{spec_path.name} also allows {', '.join(others)}: hanse plan {spec_path} --machine {others[0]}")
