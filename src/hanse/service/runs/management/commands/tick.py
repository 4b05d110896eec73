"""`hanse manage tick`: all timed work, once; for cron or a timer where the service does not tick itself."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from hanse.service.tick import tick


class Command(BaseCommand):
    help = "Do all timed work once: agents away, allocations ended, expired links and tokens."

    def handle(self, *_args: Any, **_options: Any) -> None:
        done = tick()
        self.stdout.write(
            f"{done.agents_away} agents away, {done.allocations_ended} allocations ended, "
            f"{done.purged} entries purged, {done.parcels_pruned} parcels pruned"
        )
        if done.failed:
            raise CommandError(f"these failed, the others are done: {', '.join(done.failed)}; the log says why")
