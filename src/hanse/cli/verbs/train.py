"""`hanse train`: what a job executes on each node; everything it needs to know is in the job's environment."""

from __future__ import annotations

import sys

import typer


def run(ctx: typer.Context) -> None:
    from hanse.training.launch import main

    code = main(ctx.args)
    sys.exit(code or 0)
