"""Ending jobs, or asking their programs to: all of one Unix user's at once, within the site's limit of calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hanse.agent import policy
from hanse.agent.budget import Budget
from hanse.agent.identity import Schedulers
from hanse.agent.store import Record, Store
from hanse.contracts.base import now
from hanse.contracts.errors import SchedulerUnknown, SiteError
from hanse.contracts.policy import SitePolicy
from hanse.schedulers.base import Scheduler


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """An attempt's jobs that are to end; `softly`: by the stop signal, with time to save."""

    record: Record
    job_ids: tuple[str, ...]
    softly: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    schedulers: Schedulers
    budget: Budget
    store: Store
    say: Callable[[str, str], None]

    def end(self, ends: Sequence[End], rules: SitePolicy) -> None:
        """What could not be asked is asked again at the next look: nothing is written down for it."""
        together: dict[tuple[str | None, bool], list[End]] = {}
        for one in ends:
            user = policy.unix_user(rules, one.record.assignment)
            together.setdefault((user, one.softly), []).append(one)
        for (user, softly), theirs in together.items():
            if not self.budget.allows_a_cancel():
                return
            job_ids = tuple(job_id for one in theirs for job_id in one.job_ids)
            try:
                scheduler = self.schedulers.of(user)
                if softly:
                    self._ask(scheduler, job_ids)
                else:
                    scheduler.cancel(job_ids)
            except SiteError as error:
                self.say("cancel", f"jobs could not be ended yet: {error.what}")
                continue
            with self.store.together():
                for one in theirs:
                    self.store.cancelling(one.record.attempt_id, now())

    def _ask(self, scheduler: Scheduler, job_ids: tuple[str, ...]) -> None:
        try:
            scheduler.signal(job_ids, "USR1")
        except SchedulerUnknown:
            raise
        except SiteError as error:
            self.say("signal", f"{error.what}: jobs are ended instead")
            scheduler.cancel(job_ids)
