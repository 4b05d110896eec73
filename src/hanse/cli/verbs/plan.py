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
    budget: Annotated[
        float | None, typer.Option("--budget", metavar="HOURS", help="GPU-hours at most; default: the spec's.")
    ] = None,
    whole_space: Annotated[
        bool, typer.Option("--whole-space", help="Also layouts that Hanse's own trainer cannot execute.")
    ] = False,
    details: Annotated[bool, typer.Option("--details", "-d", help="All parts, reasons and layouts weighed.")] = False,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page with plots that stands alone.")
    ] = None,
    export: Annotated[
        str | None,
        typer.Option(
            "--export", metavar="TRAINER", help="The layout for hanse, torchtitan, megatron, accelerate or deepspeed."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where --export writes; default: stdout.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The plan as JSON.")] = False,
) -> None:
    from hanse.cli import plan_files, plan_views, planning
    from hanse.cli.machine import LOCAL
    from hanse.cli.output import note, print_json, tell
    from hanse.workloads.load import load_spec

    planning.check_budget(budget)
    plan_files.check(tool=export, out=out, html=html)
    spec = load_spec(spec_path)
    chosen = planning.machine_for(spec, spec_path, machine)
    plan = planning.plan_for(
        spec, spec_path, chosen, nodes=nodes, partition=partition, gpu_hours=budget, executable_only=not whole_space
    )
    if html is not None:
        plan_files.page(plan, chosen, html)
    if export is not None:
        if (text := plan_files.export(plan, export, out)) is not None:
            typer.echo(text, nl=False)
        return
    if as_json:
        print_json(plan)
        return
    tell(plan_views.overview(plan, chosen, details=details))
    if chosen.id == LOCAL and chosen.calibration is None:
        note("This machine was not measured yet: 'hanse machines calibrate' (half a minute) makes this plan better.")
    others = [name for name in spec.where.machines if name != chosen.id]
    if others and machine is None:
        note(f"{spec_path.name} also allows {', '.join(others)}: hanse plan {spec_path} --machine {others[0]}")
