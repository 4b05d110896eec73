"""`hanse launch`: one train.yaml as a run, charged to an allocation; only shown, or first tried, if asked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def run(
    spec_path: Annotated[Path, typer.Argument(metavar="TRAIN.YAML", help="What to run.")] = Path("train.yaml"),
    machine: Annotated[
        str | None,
        typer.Option("--machine", "-m", help="One of the spec's machines. Default: the first with hours of yours."),
    ] = None,
    allocation: Annotated[str | None, typer.Option("--allocation", "-a", help="What to charge it to.")] = None,
    nodes: Annotated[int | None, typer.Option("--nodes", "-n", min=1, help="Exactly so many nodes.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show spec, plan and job script; run nothing.")] = False,
    smoke: Annotated[bool, typer.Option("--smoke", help="Ten steps first; the real run if they end well.")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Stay and look on until it ends.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The run (or all of --dry-run) as JSON.")] = False,
) -> None:
    from hanse.cli import launching, plan_views
    from hanse.cli.output import console, note, print_json
    from hanse.workloads.load import load_spec

    spec = load_spec(spec_path)
    launching.require_supported(spec, spec_path)
    if nodes is not None:
        spec = spec.model_copy(update={"where": spec.where.model_copy(update={"nodes": nodes})})
    if dry_run:
        from hanse.cli.dryrun import show

        show(spec, spec_path, machine, as_json=as_json)
        return
    from hanse.cli.connect import client as connect
    from hanse.cli.watch import follow, keeps_going

    client = connect()
    if smoke:
        tried = launching.launch(
            client, launching.ten_steps(spec), spec_path, machine=machine, allocation=allocation, say=note
        )
        note(f"Ten steps first, as {tried.id}.")
        try:
            tried = follow(client, tried, console(stderr=True), connect)
        except KeyboardInterrupt:
            typer.echo(keeps_going(tried.id) + "\nThe real run was not started.", err=True)
            raise typer.Exit(130) from None
        launching.require_finished(client, tried)
    started = launching.launch(client, spec, spec_path, machine=machine, allocation=allocation, say=note)
    if as_json and not watch:
        print_json(started)
        return
    out = console(stderr=as_json)
    if started.plan is not None and started.across is None:
        out.print(plan_views.line(started.plan))
    charged = ", ".join(dict.fromkeys(leg.allocation_id for leg in started.legs))
    out.print(f"{started.id} is {started.state}, charged to {charged}.")
    if not watch:
        out.print(f"  hanse status {started.id} --watch    look on")
        out.print(f"  hanse logs {started.id} -f           what its job writes")
        return
    try:
        ended = follow(client, started, out, connect)
    except KeyboardInterrupt:
        typer.echo(keeps_going(started.id), err=True)
        return
    if as_json:
        print_json(ended)
    if ended.state == "finished":
        out.print(f"\nhanse report {ended.id}    writes its report")
    launching.require_finished(client, ended)
