"""Two at once, and a process that dies at any point of a decision: it is wholly taken, or not at all."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from django.db import connection, connections

from hanse.contracts.errors import Conflict, HanseError
from hanse.service.access import own
from hanse.service.access.models import Allocation, Application, Award, Project, Review
from hanse.service.awarding.models import Duty, Movement, Proposal
from hanse.service.runs.models import Event
from tests.awarding.world import TERMS, Programme
from tests.service.test_races import at_once

KILLED = -signal.SIGKILL


class _Dies:
    """Kills its process at the n-th statement, before or after the database did it."""

    def __init__(self, at: int, *, after: bool) -> None:
        self.at, self.after, self.seen = at, after, 0

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        self.seen += 1
        if self.seen == self.at and not self.after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = execute(sql, params, many, context)
        if self.seen == self.at and self.after:
            os.kill(os.getpid(), signal.SIGKILL)
        return result


def _confirm_in_a_child(proposal: str, second: str, death: _Dies) -> int:
    """Exit code of a child that confirms it and dies on the way, or 0 where it lived to the end."""
    connections.close_all()
    pid = os.fork()
    if pid == 0:
        try:
            found = Proposal.objects.select_related("application", "proposed_by").get(public_id=proposal)
            officer = type(found.proposed_by).objects.get(username=second)
            with connection.execute_wrapper(death):
                found.confirm(officer)
        except BaseException:
            os._exit(3)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_confirmation_killed_at_any_statement_is_wholly_taken_or_not_at_all(shared_programme: Programme) -> None:
    world, second = shared_programme.world, shared_programme.second.username
    codes, point = [], 0
    while True:
        point += 5
        asked = shared_programme.apply(title=f"Killed at {point}")
        made = Proposal.propose(asked, world.officer, "grant", shared_programme.terms())
        code = _confirm_in_a_child(made.public_id, second, _Dies(point, after=point % 2 == 0))
        codes.append(code)
        assert code in (KILLED, 0), "it is killed or it lives; it never fails by itself"
        asked.refresh_from_db()
        made.refresh_from_db()
        done = asked.state == "granted"
        assert (asked.state, made.state) in {("granted", "confirmed"), ("sent", "waiting")}
        allocations = Allocation.objects.filter(award__application=asked)
        assert Award.objects.filter(application=asked).count() == allocations.count() == int(done)
        assert Movement.objects.filter(allocation__in=allocations).count() == int(done)
        assert Review.objects.filter(application=asked).count() == int(done)
        assert Duty.objects.filter(award__application=asked).count() == len(TERMS.obligations) * done
        assert Project.objects.filter(name=asked.form.title).count() == int(done)
        assert Event.objects.filter(subject_id=asked.public_id, name="officer:application:granted").count() == done
        if code == 0:
            assert done
            break
        if not done:
            assert made.confirm(shared_programme.second), "what was cut off is simply done again"
    assert codes.count(KILLED) > 5, codes


def test_of_officers_who_confirm_at_once_one_does_and_the_others_learn_of_it(shared_programme: Programme) -> None:
    made = Proposal.propose(
        shared_programme.application, shared_programme.world.officer, "grant", shared_programme.terms()
    )
    copies = [Proposal.objects.select_related("application", "proposed_by").get(pk=made.pk) for _ in range(4)]
    answers = at_once([lambda copy=copy: copy.confirm(shared_programme.second) for copy in copies])
    assert sum(isinstance(answer, Allocation) for answer in answers) == 1, answers
    refused = [answer for answer in answers if not isinstance(answer, Allocation)]
    assert all(isinstance(answer, Conflict) and "somebody else" in answer.what for answer in refused), answers
    assert Award.objects.count() == 1


def test_of_officers_who_propose_at_once_one_does_and_the_others_learn_of_it(shared_programme: Programme) -> None:
    ours = (shared_programme.world.officer, shared_programme.second) * 2
    copies = [Application.objects.get(pk=shared_programme.application.pk) for _ in ours]
    answers = at_once([
        lambda copy=copy, by=by: Proposal.propose(copy, by, "grant", shared_programme.terms())
        for copy, by in zip(copies, ours, strict=True)
    ])  # fmt: skip
    assert sum(isinstance(answer, Proposal) for answer in answers) == 1, answers
    assert all(isinstance(answer, Proposal | Conflict) for answer in answers), answers


def test_own_hours_entered_by_two_at_once_are_one_allocation(shared_programme: Programme) -> None:
    world = shared_programme.world
    until = world.allocation.ends

    def enter() -> Allocation:
        return own.enter(
            world.machine, by=world.operator, account="a1", partition="", accelerator_seconds=3600, ends=until
        )

    answers = at_once([enter] * 4)
    assert not [answer for answer in answers if isinstance(answer, HanseError | Exception)], answers
    assert len({answer.pk for answer in answers}) == 1
    assert Project.objects.filter(name="Own hours on local").count() == 1
    assert Movement.objects.filter(allocation=answers[0]).count() == 1
