"""`hanse`: finds the verb, imports its module then and not before, and prints whatever went wrong as one message.

Start-up is what every command pays, so nothing heavy is imported here: tests/cli holds that line.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Annotated, Any

import click
import typer
from typer.core import TyperGroup

from hanse.cli.helptext import CONTEXT, VerbCommand, write_examples
from hanse.cli.registry import BY_NAME, GROUPS, VERBS, Example, Verb


def load(verb: Verb) -> click.Command:
    """Import the verb's module and make its command."""
    module = importlib.import_module(f"hanse.cli.verbs.{verb.module or verb.name}")
    command: click.Command
    if hasattr(module, "app"):
        command = typer.main.get_command(module.app)
        command.name, command.help = verb.name, verb.help
    else:
        single = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        settings: dict[str, Any] = dict(CONTEXT)
        if verb.passes_through:
            settings |= {"ignore_unknown_options": True, "allow_extra_args": True}
        single.command(verb.name, cls=VerbCommand, help=verb.help, context_settings=settings)(module.run)
        command = typer.main.get_command(single)
    command.examples = verb.examples  # type: ignore[attr-defined]
    return command


class LazyGroup(TyperGroup):
    """The verbs of the registry; a verb's module is imported when it is used or asked for help."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click asks
        return [verb.name for verb in VERBS if not verb.hidden]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click asks
        verb = BY_NAME.get(cmd_name)
        return load(verb) if verb else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in BY_NAME and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], BY_NAME, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise click.UsageError(f"There is no verb {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_commands(ctx, formatter)
        click.Command.format_options(self, ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click asks
        width = max(len(verb.name) for verb in VERBS)
        for group in GROUPS:
            rows = [(f"{v.name:{width}}", v.help) for v in VERBS if v.group == group and not v.hidden]
            with formatter.section(group):
                formatter.write_dl(rows)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click asks
        write_examples(
            formatter,
            (
                Example("hanse demo", "the whole journey on this machine"),
                Example("hanse plan train.yaml", "what a training will take, before it takes it"),
                Example("hanse launch train.yaml --watch", "run it, and look on"),
            ),
        )
        formatter.write_paragraph()
        formatter.write_text("hanse VERB --help says more of each, with examples.")

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            typer.echo("\nInterrupted.", err=True)
            raise typer.Exit(130) from None
        except BrokenPipeError:
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - `hanse status | head`: nothing left to say
            raise typer.Exit(1) from None
        except Exception as error:
            if os.environ.get("HANSE_DEBUG", "") not in ("", "0"):
                raise
            from hanse.cli.output import print_failure

            raise typer.Exit(print_failure(error)) from None


app = typer.Typer(
    cls=LazyGroup,
    context_settings=CONTEXT,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Europe's supercomputers for AI: apply for compute, plan a training, run it, leave with a model.",
)


@app.callback(invoke_without_command=True)
def _root(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from hanse import __version__

        typer.echo(f"hanse {__version__}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


def main() -> None:
    """The `hanse` command. Exit codes: 0 done, 1 it failed, 2 what was typed or written is wrong."""
    app(prog_name="hanse")
