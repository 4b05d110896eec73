"""`hanse manage backup FOLDER`: the database, the keys and the code bundles, as one folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from hanse.contracts.errors import HanseError
from hanse.service import backup


class Command(BaseCommand):
    help = "Write the database, the keys and the code bundles into a new folder. The service may run meanwhile."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path)

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            made = backup.backup(options["folder"])
        except HanseError as refused:
            raise CommandError(str(refused), returncode=2) from refused
        self.stdout.write(f"{made} holds the backup. It contains the service's keys: keep it as safe as them.")
