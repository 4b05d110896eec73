"""`hanse plan`: the layout for a training and what is expected of it, before anything runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer


def run(
    spec_path: Annotated[
        Path | None,
        typer.Argument(metavar="[TRAIN.YAML]", help="The training; default: train.yaml.", show_default=False),
    ] = None,
    machine: Annotated[
        str | None,
        typer.Option(
            "--machine", "-m", help="Machine id, or a machine description ending in .yaml. Default: the spec's first."
        ),
    ] = None,
    nodes: Annotated[int | None, typer.Option("--nodes", "-n", min=1, help="Exactly so many nodes.")] = None,
    partition: Annotated[str | None, typer.Option("--partition", "-p", help="Partition of the machine.")] = None,
    objective: Annotated[
        str | None, typer.Option("--objective", metavar="WHAT", help="The least of: time, gpu-hours or energy.")
    ] = None,
    finish_by: Annotated[
        str | None, typer.Option("--finish-by", metavar="WHEN", help="A date (2027-03-01) or a duration (10d).")
    ] = None,
    budget: Annotated[
        float | None, typer.Option("--budget", metavar="HOURS", help="GPU-hours at most; default: the spec's.")
    ] = None,
    whole_space: Annotated[
        bool, typer.Option("--whole-space", help="Also layouts that Hanse's own trainer cannot execute.")
    ] = False,
    software: Annotated[
        str | None,
        typer.Option("--software", metavar="NAME", help="What trains it, as megatron-core; implies --whole-space."),
    ] = None,
    preset: Annotated[
        str | None, typer.Option("--preset", metavar="MODEL", help="Without a train.yaml: a published model.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Without a train.yaml: a model's config.json.")
    ] = None,
    workload: Annotated[
        Path | None, typer.Option("--workload", metavar="FILE", help="Without a train.yaml: a traced workload.")
    ] = None,
    batch: Annotated[
        str | None, typer.Option("--batch", metavar="SEQUENCES", help="Beside those: sequences in a step.")
    ] = None,
    tokens: Annotated[
        str | None, typer.Option("--tokens", metavar="COUNT", help="Beside those: tokens in all, as 2T or 300B.")
    ] = None,
    context: Annotated[
        str | None, typer.Option("--context", metavar="TOKENS", help="Beside those: length of a sequence.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option("--precision", metavar="WHAT", help="Beside those: bf16 (default), fp32 or fp8.")
    ] = None,
    why_not: Annotated[
        str | None, typer.Option("--why-not", metavar="DEGREES", help="Compare with another layout: tp=8,pp=4.")
    ] = None,
    all_machines: Annotated[
        bool, typer.Option("--all-machines", help="All known machines and sizes, soonest first.")
    ] = False,
    across: Annotated[
        str | None,
        typer.Option("--across", metavar="MACHINES", help="One machine or several at once: lumi-g,leonardo."),
    ] = None,
    link: Annotated[
        float | None, typer.Option("--link", metavar="GBIT", help="With --across: Gbit/s between the machines.")
    ] = None,
    inner_steps: Annotated[
        int | None, typer.Option("--inner-steps", min=1, help="With --across: steps between two exchanges.")
    ] = None,
    codec: Annotated[
        str | None, typer.Option("--codec", metavar="CODEC", help="With --across: fp32, bf16, int8 or int4.")
    ] = None,
    scaling: Annotated[
        str | None, typer.Option("--scaling", metavar="KIND", help="A scaling table: strong or weak.")
    ] = None,
    style: Annotated[
        str | None, typer.Option("--format", metavar="FORMAT", help="Of the scaling table: markdown or csv.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Build it as one of all ranks, without memory, and take it through a step.")
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
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Where --export or --format writes; default: stdout.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The plan as JSON, and what is asked beside it.")] = False,
) -> None:
    from hanse.cli import plan_answers, plan_files, plan_source, planning
    from hanse.contracts.errors import UsageError

    planning.check_budget(budget)
    wishes = plan_answers.Wishes(
        why_not=why_not, all_machines=all_machines, scaling=plan_answers.kind(scaling), tool=export
    )
    plan_files.check(tool=export, out=out, html=html, style=style, scaling=scaling)
    bounds = plan_answers.Bounds(
        nodes=nodes, partition=partition, gpu_hours=budget, executable_only=not whole_space,
        objective=plan_answers.objective(objective), finish_by_s=plan_answers.seconds_left(finish_by),
        software=plan_answers.software(software, export, whole_space=whole_space),
    )  # fmt: skip
    described = plan_source.Described(
        preset=preset, config=config, workload=workload, batch=batch, tokens=tokens, context=context,
        precision=precision,
    )  # fmt: skip
    from hanse.cli import plan_across

    written = plan_across.named_by(spec_path) if machine is None and described.model is None else None
    asked = plan_across.asked(written, across, link, inner_steps, codec)
    if asked is not None:
        others = {"--machine": machine, "--why-not": why_not, "--all-machines": all_machines, "--scaling": scaling,
                  "--export": export}  # fmt: skip
        plan_across.refuse_beside([name for name, given in others.items() if given], asked, typed=across is not None)
        made = plan_across.compare(spec_path, described, bounds, asked)
        each = check or as_json or html is not None
        where = partition or asked.partition
        legs = plan_across.legs_of(made, spec_path, partition=where, check=check) if each else ()
        if html is not None:
            plan_across.pages(legs, html)
        plan_across.tell(made, legs, as_json=as_json)
        return
    if link is not None or inner_steps is not None or codec is not None:
        raise UsageError("--link, --inner-steps and --codec are of --across.", fix="Add --across with two machines.")
    found = plan_answers.for_options(spec_path, described, machine, bounds, wishes)
    if check:
        from hanse.cli import check as dry_run

        checked = dry_run.run(found.plan, found.spec_path)
        if as_json:
            found = replace(found, checked=dry_run.facts(found.plan, checked))
        else:
            dry_run.tell(found.plan, checked)
    if html is not None:
        plan_files.page(found, html)
    if export is not None:
        text = plan_files.export(found.plan, export, out)
    elif style is not None and found.scaling is not None:
        text = plan_files.scaling(found.scaling, style, out)
    else:
        plan_files.tell(found, wishes, details=details, as_json=as_json)
        return
    if text is not None:
        typer.echo(text, nl=False)
