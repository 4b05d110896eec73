"""A ranked call's decision, cut off by SIGKILL at any statement: award, letter and notice are whole or not there."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, connections

from hanse.contracts.awarding import AwardPart, AwardTerms
from hanse.contracts.base import now
from hanse.contracts.decision import Decision
from hanse.contracts.programme import ReviewStep
from hanse.service.access.models import Allocation, Application, Award, Membership, Person, Project, Review
from hanse.service.awarding.models import Movement, Proposal
from hanse.service.compliance.models import Screening
from hanse.service.notices import inbox
from hanse.service.notices.models import Mail, Notice
from hanse.service.review import rounds, steps
from hanse.service.review.models import Letter, Recommendation, Round, Step
from hanse.service.runs.models import Event, Machine
from tests.portal import seed
from tests.review.test_steps import an_operator
from tests.review.world import AFTER, CUT_OFF, a_call, an_officer, entries, reviewers, score
from tests.reviewed import reviewed
from tests.service.fixtures import a_machine

KILLED = -signal.SIGKILL
STEPS = (ReviewStep(kind="administrative"), ReviewStep(kind="technical", by="the site"), ReviewStep(kind="scientific"))
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]


@pytest.fixture(autouse=True)
def two_officers(settings: Any) -> None:
    settings.HANSE_AWARDS_BY = 2
    settings.MAIL_ON, settings.PUBLIC_URL = True, "https://hanse.example"


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


def in_a_child(act: Callable[[], object], death: _Dies) -> int:
    """Exit code of a process that does it and dies on the way, or 0 where it lived to the end."""
    connections.close_all()
    pid = os.fork()
    if pid == 0:
        try:
            with connection.execute_wrapper(death):
                act()
        except BaseException:
            os._exit(3)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def points(first: int, most: int) -> list[tuple[int, bool]]:
    """Where to die: every so often, somewhere else in each stretch, before a statement or after it; always the same."""
    drawn = random.Random(first)
    return [(drawn.randrange(at, at + first), drawn.random() < 0.5) for at in range(1, most, first)]


def again(one: Application) -> Application:
    return Application.objects.select_related("call", "organisation", "applicant", "screening").get(pk=one.pk)


def a_round(officer: Person, count: int) -> list[Application]:
    """Applications to a ranked call on two machines, checked, reviewed by two each; its ranking is not closed."""
    an_operator()
    Machine.objects.create(public_id="other", site=seed.machine().site, facts=a_machine("other"))
    made = entries(count, call=a_call(review=STEPS, order="ranking"))
    people = reviewers(2, officer)
    for one in made:
        allowed = Decision(subject=one.public_id, verdict="allow", findings=(), decided_at=now(), decided_by="gate")
        Screening.objects.create(application=one, decision=allowed)
        reviewed(one, officer)
    Membership.objects.bulk_create(
        Membership(person=one.applicant, organisation=one.organisation, role="owner") for one in made
    )
    rounds.assign("a-call", CUT_OFF, due_on=AFTER.date(), by=officer)
    for who in people:
        for number, given in enumerate(who.assignments.order_by("application_id")):
            score(given, 5 if number < count else 1)
    return [again(one) for one in made]


def decide(one: Application, second: Person) -> None:
    """Confirm what was proposed, write its letter and send it, tell who applied: each is begun where it is not done."""
    waiting = Proposal.waiting_for(one)
    if waiting is not None:
        Proposal.objects.select_related("application", "proposed_by").get(pk=waiting.pk).confirm(second)
    letter = Letter.objects.filter(application=one).first() or Letter.draft(again(one), second)
    if letter.state == "draft":
        letter.write(second, text=f"{letter.text}\nWe look forward to it.", revision=letter.revision, send=True)
    inbox.tell()


def state_of(one: Application, hours: int) -> tuple[str, str]:
    """How far the decision and its letter are; that each is whole is asserted here."""
    now_at, made = again(one), Proposal.objects.get(application=one)
    granted = now_at.state == "granted"
    assert (now_at.state, made.state) in {("granted", "confirmed"), ("in-review", "waiting")}
    assert bool(now_at.decided_at) == bool(now_at.reason) == granted
    opened = Allocation.objects.filter(award__application=one)
    entered = Movement.objects.filter(allocation__in=opened)
    assert Award.objects.filter(application=one).count() == int(granted)
    assert opened.count() == entered.count() == 2 * granted, "one on each machine, with its hours in the ledger"
    assert sum(row.accelerator_seconds for row in entered) == hours * 3600 * granted
    assert Review.objects.filter(application=one).count() == int(granted)
    assert Project.objects.filter(name=one.form.title).count() == int(granted)
    told = [Event.objects.filter(subject_id=key, name=name).count() for key, name in (
        (one.public_id, "officer:application:granted"), (made.public_id, "officer:proposal:confirmed"))]  # fmt: skip
    assert told == [granted, granted]
    letter = Letter.objects.filter(application=one).first()
    if letter is None:
        return now_at.state, "none"
    assert granted
    sent = letter.state == "sent"
    assert letter.text.endswith("We look forward to it.") == sent == bool(letter.sent_at and letter.sent_by)
    assert Event.objects.filter(subject_id=letter.public_id, name="officer:letter:drafted").count() == 1
    assert Event.objects.filter(subject_id=letter.public_id, name="officer:letter:sent").count() == int(sent)
    return now_at.state, letter.state


def test_a_ranked_decision_killed_at_any_statement_is_whole_or_not_there_and_can_be_taken_again() -> None:
    first, second = an_officer("olga"), an_officer("otto")
    moments = points(9, 135)
    made = a_round(first, len(moments) + 1)
    rounds.close("a-call", CUT_OFF, by=first, places=len(made), at=AFTER)
    hours = made[0].form.gpu_hours
    parts = (AwardPart(machine=made[0].form.machine, gpu_hours=hours - 1), AwardPart(machine="other", gpu_hours=1))
    terms = AwardTerms(reason="Ranked first.", parts=parts)
    seen, codes = set(), []
    for one, (at, after) in zip(made, [*moments, (10**6, False)], strict=True):
        Proposal.propose(one, first, "grant", terms)
        code = in_a_child(lambda one=one: decide(one, second), _Dies(at, after=after))
        assert code in (KILLED, 0), "it is killed or it lives; it never fails by itself"
        codes.append(code)
        seen.add(state_of(one, hours))
        decide(one, second)
        assert state_of(one, hours) == ("granted", "sent"), "what was cut off is simply done again"
    assert codes[-1] == 0 and codes.count(KILLED) > len(moments) // 2, codes
    assert {("in-review", "none"), ("granted", "none"), ("granted", "sent")} <= seen, seen
    inbox.tell()
    ida = Person.objects.get(username="ida")
    decisions = Event.objects.filter(name="officer:application:granted").values_list("pk", flat=True)
    mine = Notice.objects.filter(person=ida, event_id__in=list(decisions))
    assert mine.count() == len(made), "each is told once"
    mails = {f"event-{one.event_id}-{one.kind}-{ida.pk}" for one in mine}
    assert Mail.objects.filter(key__in=mails, state="waiting").count() == len(made), "a mail to each is in the outbox"


def test_a_ranking_killed_at_any_statement_is_kept_whole_or_not_at_all() -> None:
    officer = an_officer("olga")
    made = a_round(officer, 4)
    codes = []
    for at, after in [*points(9, 72), (10**6, False)]:
        code = in_a_child(
            lambda: rounds.close("a-call", CUT_OFF, by=officer, places=2, at=AFTER), _Dies(at, after=after)
        )
        assert code in (KILLED, 0), "it is killed or it lives; it never fails by itself"
        codes.append(code)
        closed = Round.objects.filter(state="closed").exists()
        assert Recommendation.objects.count() == len(made) * closed
        assert Step.objects.filter(kind="scientific", state="passed").count() == len(made) * closed
        assert Event.objects.filter(name="officer:round:closed").count() == int(closed)
        assert [steps.turn(one) for one in made] == [None if closed else "scientific"] * len(made)
        if closed:
            break
    assert closed and codes.count(KILLED) > 3, codes
