"""`hanse manage prepare`: bring the database up to date and publish the calls of this version."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from hanse.service import bootstrap


class Command(BaseCommand):
    help = "Migrate, make the officers' group and publish the calls that come with this version. Safe to repeat."

    def handle(self, *_args: Any, **_options: Any) -> None:
        bootstrap.prepare()
        self.stdout.write("ready to serve")
