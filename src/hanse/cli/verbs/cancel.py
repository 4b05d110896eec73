"""`hanse cancel`: ask for a run to be stopped. What it checkpointed stays; what it used is charged."""

from __future__ import annotations

from typing import Annotated

import typer


def run(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="Id of the run.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; it stands in the run's record.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="The run as JSON.")] = False,
) -> None:
    from hanse.cli import pick
    from hanse.cli.connect import client as connect
    from hanse.cli.output import print_json, tell
    from hanse.contracts.errors import UsageError
    from hanse.contracts.run import FINAL_RUN_STATES

    client = connect()
    found = pick.run(client, run_id)
    if found.state in FINAL_RUN_STATES:
        raise UsageError(f"{found.id} is {found.state} already; there is nothing to stop.")
    stopped = client.cancel(found.id, reason=reason)
    if as_json:
        print_json(stopped)
        return
    if stopped.state == "cancelled":
        tell(f"{stopped.id} is cancelled; it had not started.")
    else:
        tell(f"{stopped.id} is being cancelled. hanse status {stopped.id} --watch shows when it has ended.")
