"""`hanse site`: what a site's administrator does on the host where sacctmgr is."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from hanse.cli.helptext import CONTEXT, VerbGroup

app = typer.Typer(
    cls=VerbGroup, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True,
    context_settings=CONTEXT,
)  # fmt: skip


@app.callback()
def _site() -> None:
    """Slurm objects for what was granted."""


@app.command(help="Make an award an account, users, a limit and a QoS of Slurm; prints the commands first.")
def provision(
    allocation: Annotated[str, typer.Argument(metavar="ALLOCATION", help="Id of the allocation.")],
    user: Annotated[list[str] | None, typer.Option("--user", help="Who may submit to it; may be repeated.")] = None,
    qos: Annotated[str, typer.Option("--qos", help="A QoS of its own; none if not given.")] = "",
    tres: Annotated[str, typer.Option("--tres", help="What is limited: gres/gpu, node or cpu.")] = "",
    folder: Annotated[str, typer.Option("--folder", help="The project's folder; {account} stands for it.")] = "",
    hook: Annotated[str, typer.Option("--folder-hook", help="Your program that makes it: account, folder.")] = "",
    end: Annotated[bool, typer.Option("--end", help="Close it: limits to nothing, nothing deleted.")] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Run the commands; without it they are printed only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The commands as JSON.")] = False,
) -> None:
    from hanse.agent import provision as planner
    from hanse.cli import connect
    from hanse.cli.output import note, print_json
    from hanse.client.usage import tie_account, usage
    from hanse.contracts.errors import UsageError

    client = connect.client()
    granted = usage(client, allocation, limit=1).allocation
    machine = client.machine(granted.machine)
    if machine.scheduler.kind != "slurm":
        raise UsageError(
            f"Machine {machine.id} keeps no accounts: its scheduler is {machine.scheduler.kind}, not slurm.",
            where=granted.id,
            fix="Name an allocation on a Slurm machine.",
        )
    policy = planner.Policy(qos=qos, tres=tres, folder=folder, folder_hook=tuple(shlex.split(hook)))
    account = planner.account_of(granted)
    existing = planner.look(planner.here, account, policy)
    wanted = (
        planner.close(granted, machine, existing, policy)
        if end
        else planner.commands(granted, user or [], machine, existing, policy)
    )
    if as_json:
        facts = [{"argv": list(command.argv), "why": command.why} for command in wanted]
        print_json({"account": account, "commands": facts, "applied": apply})
    else:
        for command in wanted:
            typer.echo(f"# {command.why}\n{shlex.join(command.argv)}")
        if not wanted:
            typer.echo(f"Nothing to do: {account} is as it should be.")
    for remark in planner.remarks(existing, policy, closing=end):
        note(remark)
    if not apply:
        if wanted:
            note("Nothing was changed. With --apply these commands are run, in this order.")
        return
    for command in wanted:
        planner.here(command.argv)
    if granted.account is None and not end:
        tie_account(client, granted.id, account)
    if wanted:
        note(f"Done: {len(wanted)} commands run.")
