"""`hanse manage rescreen`: stored answers asked again under today's rules; after an update of them, or from a timer."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from hanse.service.compliance.rescreen import rescreen


class Command(BaseCommand):
    help = "Ask the gate again about every open application; tell of which it says something else than before."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--as-of", default="", help="The day asked about, as 2026-12-02. Default: today.")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            day = date.fromisoformat(options["as_of"]) if options["as_of"] else None
        except ValueError:
            raise CommandError(f"{options['as_of']!r} is not a date; write it as 2026-12-02.") from None
        changed = rescreen(as_of=day)
        for one in changed:
            self.stdout.write(f"{one.application}: {one.before} before, {one.after} now")
            for sign, rules in (("+", one.appeared), ("-", one.gone)):
                for rule in rules:
                    self.stdout.write(f"  {sign} {rule}")
        self.stdout.write(f"{len(changed)} applications changed")
