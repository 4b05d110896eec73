"""`hanse manage restore FOLDER`: a backup into an empty database and this HANSE_HOME."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from hanse.contracts.errors import HanseError
from hanse.service import backup


class Command(BaseCommand):
    help = "Restore a backup into an empty database and this HANSE_HOME, before the service is started."
    requires_system_checks: tuple[str, ...] = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path)

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            backup.restore(options["folder"])
        except HanseError as refused:
            raise CommandError(str(refused), returncode=2) from refused
        self.stdout.write("Restored. Run hanse manage prepare if this Hanse is newer, then start the service.")
