"""`hanse manage`: Django's own commands on the service's database."""

from __future__ import annotations

import typer


def run(ctx: typer.Context) -> None:
    from hanse.service.manage import main

    main(ctx.args)
