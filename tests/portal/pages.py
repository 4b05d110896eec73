"""One world with a row of nearly everything an applicant meets, the pages that show it, and what a page says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

from django.test import Client

from hanse.contracts.awarding import ChangeAsked
from hanse.contracts.awarding import Price as PriceTerms
from hanse.contracts.base import now
from hanse.programme.review import rules
from hanse.service.access.models import Allocation, ApiToken, Membership, Person
from hanse.service.awarding.changes import ChangeRequest
from hanse.service.awarding.models import Duty, Price, Statement
from hanse.service.compliance import conditions
from hanse.service.compliance.models import Condition, Question
from hanse.service.notices.invitations import Invitation
from hanse.service.notices.models import Notice
from hanse.service.review.models import Assignment, Letter, Redress, Reviewer, Round
from hanse.service.runs.models import Run, UsageEntry
from tests.awarding.world import Programme, make_programme
from tests.portal import seed
from tests.reporting import records

RUNS = ("interrupted", "under_way", "waiting", "failed", "command")


class World:
    """Who looks, and at which addresses."""

    def __init__(self) -> None:
        self.programme: Programme = make_programme()
        self.ida = seed.person("ida", organisation=seed.organisation())
        self.founder = self.programme.world.founder
        self.held = self.programme.award(conditions=("Tell us monthly.",))
        conditions.open_for(self.held.award)
        self.runs = [self._run(name) for name in RUNS]
        self.sent = seed.application(self.ida, decision=records.finished().gate)
        self._asked()
        self._judged()
        self._billed()
        self._told()

    def _run(self, name: str) -> Run:
        record = getattr(records, name)()
        made = Run.objects.filter(name=record.run.name, state=record.run.state).first()
        return made or seed.run(record, self.ida)

    def _asked(self) -> None:
        asked = ChangeAsked(kind="extension", months=1, reason="We wait.")
        self.request = ChangeRequest.ask(self.held, self.founder, asked)
        Duty.objects.filter(name="acknowledge").update(due=date(2026, 1, 5))

    def _judged(self) -> None:
        """One that waits with its reviews to answer, one that was declined, one of which redress was asked."""
        cut_off, judge = datetime(2026, 11, 2, 9, tzinfo=UTC), self.programme.world.officer
        self.replied, self.declined, self.contested = (
            seed.application(self.ida, state=state) for state in ("in-review", "declined", "declined")
        )
        type(self.replied).objects.filter(pk=self.replied.pk).update(cut_off=cut_off)
        Round.objects.create(call_id="playground", cut_off=cut_off, reply_until=now() + timedelta(days=9))
        reviewer = Reviewer.objects.create(person=seed.person("rev"), organisation="Elsewhere")
        names = [one.id for one in rules.default().criteria]
        Assignment.objects.create(
            application=self.replied, reviewer=reviewer, due_on=date(2026, 11, 9), state="sent",
            points=dict.fromkeys(names, 4), comments=dict.fromkeys(names, "Well argued."),
        )  # fmt: skip
        for one in (self.declined, self.contested):
            type(one).objects.filter(pk=one.pk).update(decided_at=now(), reason="No room.")
        self.letter = Letter.objects.create(
            application=self.declined, decided_at=now(), decision="declined", language="de", text="Guten Tag",
            state="sent", sent_by=judge, sent_at=now(),
        )  # fmt: skip
        again = type(self.contested).objects.get(pk=self.contested.pk)
        Redress.ask(again, self.ida, grounds="It was misread.")

    def _billed(self) -> None:
        terms = PriceTerms(machine="local", from_day=date(2026, 1, 1), cents_per_gpu_hour=150)
        Price.state(terms, by=self.programme.world.officer)
        month = datetime(2026, 10, 5, tzinfo=UTC)
        self.held.award.__class__.objects.filter(pk=self.held.award.pk).update(pays_per_use=True)
        UsageEntry.objects.create(allocation=self.held, kind="site", accelerator_seconds=5_400_000, recorded_at=month)
        Statement.issue(self.founder.memberships.get().organisation, "2026-10", by=self.programme.world.officer)

    def _told(self) -> None:
        Notice.objects.create(
            person=self.ida, event_id=1, at=now(), kind="run-finished", title="Eins", text="Zwei", path="/"
        )
        ApiToken.issue("laptop", by="ida", person=self.ida, expires_at=now() + timedelta(days=9))
        self.firm = seed.organisation()
        other = seed.person("olaf")
        Membership.objects.create(person=other, organisation=self.firm, role="operator")
        self.invitation = Invitation.invite(self.ida, self.firm, email="neu@norrlyd.example", role="member")
        self.question = Question.ask(
            text="Gilt das auch für kleine Modelle?", email="", may_publish=True, address="192.0.2.7"
        )
        self.answered = Question.ask(
            text="Und für offene Modelle auch?", email="", may_publish=True, address="192.0.2.8"
        )
        self.answered.reply(self.programme.world.officer, "Ja, meist.", publish=True)

    def client(self, person: Person | None) -> Client:
        client = Client()
        if person is not None:
            client.force_login(person)
        return client

    def addresses(self) -> Iterator[tuple[Person | None, str, int]]:
        """Who, where, and the status that is expected."""
        for path in ("/welcome/", "/login/", "/login/?link=used", "/register/", "/register/?year=2026", "/desk/",
                     "/desk/check/", "/desk/check/?general-purpose=yes&builds-on-model=yes&as-of=2027-01-01",
                     "/desk/rules/", "/desk/timeline/", "/desk/timeline/?role=provider", "/desk/documents/",
                     "/desk/words/", "/desk/questions/", "/desk/questions/?q=offene", "/desk/ask/",
                     self.invitation.path,
                     f"/desk/questions/{self.question.public_id}/",
                     f"/desk/questions/{self.answered.public_id}/",
                     "/account/signup/", "/account/provider/cancelled/",
                     "/account/inactive/"):  # fmt: skip
            yield None, path, 200
        yield None, "/account/provider/error/", 401
        yield None, "/nowhere/", 404
        yield None, "/invitations/nothing/", 404
        firm, held = self.firm.public_id, Allocation.objects.filter(project__organisation=self.firm).first()
        assert held is not None
        for path in ("/", "/runs/", "/federation/", "/applications/", "/tokens/", "/notices/", "/my-data/",
                     "/views/", "/account/password/", "/account/factor/", "/account/provider/",
                     f"/organisations/{firm}/people/", f"/allocations/{held.public_id}/",
                     f"/allocations/{held.public_id}/requests/",
                     f"/applications/{self.sent.public_id}/", f"/applications/{self.replied.public_id}/",
                     f"/applications/{self.declined.public_id}/", f"/review/replies/{self.replied.public_id}/",
                     f"/review/replies/{self.sent.public_id}/", f"/review/letters/{self.letter.public_id}/",
                     *(f"/review/redress/{one.public_id}/"
                       for one in (self.sent, self.declined, self.contested))):  # fmt: skip
            yield self.ida, path, 200
        for run in self.runs:
            for tab in ("", "log/", "report/", "stop/") if run == self.runs[0] else ("", "report/"):
                yield self.ida, f"/runs/{run.public_id}/{tab}", 200
        yield self.ida, "/awards/", 403
        for path in ("/", "/applications/", f"/allocations/{self.held.public_id}/",
                     f"/allocations/{self.held.public_id}/requests/", "/awards/statements/",
                     f"/applications/{self.held.award.application.public_id}/",
                     *(f"/awards/duties/{one.public_id}/" for one in Duty.objects.all()),
                     *(f"/conditions/{one.public_id}/" for one in Condition.objects.all())):  # fmt: skip
            yield self.founder, path, 200

    def data(self) -> set[str]:
        """What people of this world wrote themselves, names, and what stands in English by intent."""
        return {
            "This machine", "Complete Python source for students", "A small code model", "A report on the middle.",
            "The model is released.", "The programme is named.", "Tell us monthly.", "Reading.", "A sound plan.",
            "We wait.", "Delivery notes", "Well argued.", "No room.", "It was misread.", "Guten Tag",
            "Out of memory at step 1", "Two attempts in a row ended without a step.",
            "Node lrdn0387 was lost", "Time limit, checkpoint saved",
            "BE", "hanse 0.1.0, python 3.12.3, torch 2.13.0", "Ja, meist.", "Eins", "Zwei", "Brick AI",
            "Gilt das auch für kleine Modelle?", "Und für offene Modelle auch?",
        }  # fmt: skip


class _Said(HTMLParser):
    """Texts and labels of a page; not what is marked as English, and no code."""

    VOID = frozenset({
        "meta", "link", "input", "br", "wbr", "img", "rect", "line", "path", "circle", "polyline", "polygon",
    })  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self._open: list[tuple[str, bool]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = dict(attrs)
        hidden = self._hidden or tag in ("script", "style", "code", "pre", "option", "textarea") or (
            tag != "html" and held.get("lang") is not None
        )  # fmt: skip
        if not self._hidden:
            self.said += [text for name in ("aria-label", "data-label", "title", "placeholder")
                          if (text := held.get(name))]  # fmt: skip
        if tag not in self.VOID:
            self._open.append((tag, hidden))

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        if not self._hidden:
            self.said += [text for name, text in attrs if name in ("aria-label", "title") and text]

    def handle_endtag(self, tag: str) -> None:
        while self._open:
            name, _ = self._open.pop()
            if name == tag:
                return

    def handle_data(self, data: str) -> None:
        if not self._hidden and data.strip():
            self.said.append(data)

    @property
    def _hidden(self) -> bool:
        return bool(self._open and self._open[-1][1])


def said(html: str) -> list[str]:
    """What a page says, text by text."""
    reader = _Said()
    reader.feed(html)
    return [re.sub(r"\s+", " ", one).strip() for one in reader.said]
