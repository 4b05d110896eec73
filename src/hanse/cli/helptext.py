"""Help as Hanse prints it: click's plain form, with the registry's examples at its end."""

from __future__ import annotations

from collections.abc import Sequence

import click
import typer.core
from typer.core import TyperCommand, TyperGroup

from hanse.cli.registry import Example

typer.core.HAS_RICH = False
# Typer 0.20 escapes brackets for Rich ("\\[default: …]") even where Rich does not print the help, and imports it.

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def write_examples(formatter: click.HelpFormatter, examples: Sequence[Example]) -> None:
    if not examples:
        return
    with formatter.section("Examples"):
        for example in examples:
            formatter.write(f"{'':{formatter.current_indent}}{example.command}\n")
            if example.why:
                formatter.indent()
                formatter.write_text(example.why)
                formatter.dedent()


class VerbCommand(TyperCommand):
    """One verb; its examples come from the registry."""

    examples: tuple[Example, ...] = ()

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        write_examples(formatter, self.examples)


class VerbGroup(TyperGroup):
    """A verb with verbs of its own."""

    examples: tuple[Example, ...] = ()

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        write_examples(formatter, self.examples)
