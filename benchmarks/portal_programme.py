"""Three years of a programme: applications over its calls, their review, awards, allocations and what they owe."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from benchmarks.portal_bulk import DAYS, Dice, Sizes, store
from benchmarks.portal_people import People
from hanse.contracts.awarding import AwardTerms, ChangeAsked
from hanse.programme import drafts, obligations, rounds
from hanse.programme.awards import months_later
from hanse.programme.review import steps as order
from hanse.rules import gate
from hanse.service.access.apply import facts_of
from hanse.service.access.models import Allocation, Application, Award, Call, Project, Review
from hanse.service.awarding.models import ChangeRequest, Duty, Movement, Proposal
from hanse.service.awarding.models import Reminder as DutyReminder
from hanse.service.compliance.conditions import DATA_DECLARED
from hanse.service.compliance.models import Condition, Screening
from hanse.service.monitoring.models import ApplicationFacts
from hanse.service.review.models import Assignment, Letter, Round, Step
from tests.portal import seed
from tests.programme.test_form import DRAFT, FAST

CALLS = {
    "playground": 34, "fast-lane": 26, "large-scale": 10, "ai-for-science": 8, "development": 10, "benchmark": 8,
    "regular": 3, "extreme-scale": 1,
}  # fmt: skip
PANELS = {"PE6": 40, "PE3": 10, "LS2": 15, "LS7": 10, "PE10": 10, "SH4": 15}
WAITING_DAYS = 60
"""Of what was sent lately, half waits for an answer; what is older is answered."""
DECIDED = {"granted": 60, "declined": 34, "withdrawn": 6}
HOURS = (500, 2_000, 5_000, 20_000, 50_000, 100_000, 400_000)
OPEN_CHANGES, OPEN_PROPOSALS = 30, 40


@dataclass(frozen=True, kw_only=True)
class Programme:
    applications: list[Any]
    allocations: list[Any]
    """Of awards, with `award.application` in hand."""


def fill(sizes: Sizes, people: People, dice: Dice) -> Programme:
    calls = {call.call_id: call for call in Call.current()}
    applications = _applications(sizes, people, calls, dice)
    _reviewed(applications, people, dice)
    allocations = _awarded([one for one in applications if one.state == "granted"], people, dice)
    _asked(applications, allocations, people, dice)
    return Programme(applications=applications, allocations=allocations)


def _applications(sizes: Sizes, people: People, calls: dict[str, Any], dice: Dice) -> list[Any]:
    form = drafts.form_of(DRAFT.model_copy(update={"answers": seed.answers()}), FAST)
    decision = gate.evaluate(form.answers, facts_of(form), subject="app", as_of=dice.at.date())
    pattern, gated = form.model_dump(mode="json"), decision.model_dump(mode="json")
    sent = sorted(dice.days_ago(0, DAYS) for _ in range(sizes.applications))
    stored = store(Application, (_application(at, pattern, people, calls, dice) for at in sent))
    for one in stored:
        one.plain = one.form
    store(Screening, (
        Screening(
            application=one, decision={**gated, "subject": one.public_id}, answers=form.answers, made_at=one.sent_at
        )
        for one in stored
    ))  # fmt: skip
    store(ApplicationFacts, (
        ApplicationFacts(
            application=one, mode=one.call.terms.mode, country=one.plain["country"],
            kind=one.plain["organisation_kind"], field=one.plain["whole"]["project"]["fields"][0]["panel"],
            machine=one.plain["machine"], asked_gpu_hours=one.plain["gpu_hours"],
        )
        for one in stored
    ))  # fmt: skip
    return stored


def _application(sent: datetime, pattern: Any, people: People, calls: dict[str, Any], dice: Dice) -> Any:
    call = calls[dice.one_of(CALLS)]
    terms, organisation = call.terms, dice.few_have_most(people.organisations)
    first = datetime(sent.year, sent.month, 1, 9, tzinfo=UTC)
    cut_off = months_first(first) if rounds.in_rounds(terms) else None
    decide_by = (cut_off or sent) + timedelta(days=1.5 * terms.decision_working_days) if (
        terms.decision_working_days) else None  # fmt: skip
    recent = sent > dice.at - timedelta(days=WAITING_DAYS)
    early = recent and (dice.random() < 0.5 or (cut_off is not None and cut_off > dice.at))
    state = dice.choice(("sent", "in-review")) if early else dice.one_of(DECIDED)
    decided = None
    if state in ("granted", "declined"):
        decided = min(dice.at, (cut_off or sent) + timedelta(days=dice.uniform(1, 30)))
    panels = [{"panel": dice.one_of(PANELS), "share": 1.0}]
    whole, machine, hours = pattern["whole"], dice.choice(people.machines).public_id, dice.choice(HOURS)
    title, months = f"A model number {dice.randrange(10**6)}", dice.choice((3, 6, 12))
    project = {**whole["project"], "fields": panels, "title": title, "duration_months": months}
    form = {
        **pattern,
        "call": call.call_id, "call_version": call.version, "organisation": organisation.name,
        "organisation_kind": organisation.kind, "country": organisation.country, "title": title, "machine": machine,
        "gpu_hours": hours, "duration_months": months,
        "whole": {
            **whole, "project": project, "compute": {**whole["compute"], "machine": machine, "gpu_hours": hours},
            "declarations": {**whole["declarations"], "names_may_be_published": dice.random() < 0.7},
        },
    }  # fmt: skip
    return Application(
        public_id=dice.id("app"), call=call, organisation=organisation,
        applicant=people.founders[organisation.pk - people.organisations[0].pk], state=state, form=form, sent_at=sent,
        cut_off=cut_off, decide_by=decide_by, decided_at=decided, reason="It is sound." if decided else "",
    )  # fmt: skip


def months_first(first: datetime) -> datetime:
    later = months_later(first.date(), 1)
    return datetime(later.year, later.month, 1, 9, tzinfo=UTC)


def _reviewed(applications: list[Any], people: People, dice: Dice) -> None:
    officer = people.officers[0]
    decided = [one for one in applications if one.decided_at]
    store(Review, (
        Review(application=one, officer=dice.choice(people.officers), verdict=one.state, reason="It is sound.",
               at=one.decided_at)
        for one in decided
    ))  # fmt: skip
    store(Letter, (
        Letter(
            public_id=dice.id("ltr"), application=one, decided_at=one.decided_at, decision=one.state, language="en",
            text="Dear applicant, this is the decision on what you sent. " * 20, state="sent", sent_by=officer,
            sent_at=one.decided_at,
        )
        for one in decided
    ))  # fmt: skip
    store(Step, _steps(applications, officer, dice))
    in_rounds = [one for one in applications if one.cut_off and "scientific" in order.kinds(one.call.terms)]
    store(Round, (
        Round(public_id=dice.id("rnd"), call_id=call, cut_off=cut_off, opened_at=cut_off)
        for call, cut_off in sorted({(one.call.call_id, one.cut_off) for one in in_rounds})
    ))  # fmt: skip
    store(Assignment, _sheets(in_rounds, people, dice))


def _steps(applications: list[Any], officer: Any, dice: Dice) -> Iterator[Any]:
    for one in applications:
        kinds = order.kinds(one.call.terms)
        done = kinds if one.decided_at else kinds[:2] if one.state == "in-review" else kinds[: dice.randrange(2)]
        for kind in done:
            yield Step(public_id=dice.id("stp"), application=one, kind=kind, state="passed", done_by=officer,
                       done_at=one.sent_at + timedelta(hours=5))  # fmt: skip


def _sheets(applications: list[Any], people: People, dice: Dice) -> Iterator[Any]:
    for one in applications:
        if one.state not in ("in-review", "granted", "declined"):
            continue
        due = (one.cut_off + timedelta(days=21)).date()
        for reviewer in dice.sample(people.reviewers, min(3, len(people.reviewers))):
            waits = one.state == "in-review" and dice.random() < 0.5
            yield Assignment(
                public_id=dice.id("rev"), application=one, reviewer=reviewer,
                due_on=max(due, dice.at.date() + timedelta(days=10)) if waits else due,
                state="given" if waits else "sent", sent_at=None if waits else one.cut_off + timedelta(days=14),
                points={} if waits else {"excellence": 4, "impact": 3, "implementation": 4},
                comments={} if waits else {"excellence": "Sound. " * 40},
            )  # fmt: skip


def _awarded(granted: list[Any], people: People, dice: Dice) -> list[Any]:
    projects = store(Project, (
        Project(public_id=dice.id("prj"), organisation=one.organisation, name=one.plain["title"],
                created_at=one.decided_at)
        for one in granted
    ))  # fmt: skip
    awards = store(Award, (
        Award(
            public_id=dice.id("awd"), application=one, project=project, gpu_hours=one.plain["gpu_hours"],
            conditions=[], starts=one.decided_at.date() + timedelta(days=3),
            duration_months=one.plain["duration_months"], granted_by=dice.choice(people.officers),
            granted_at=one.decided_at,
        )
        for one, project in zip(granted, projects, strict=True)
    ))  # fmt: skip
    allocations = store(Allocation, (part for award in awards for part in _allocations(award, people, dice)))
    store(Movement, (
        Movement(public_id=dice.id("mov"), allocation=one, kind="opened", at=one.award.granted_at, actor="officer",
                 accelerator_seconds=one.granted_accelerator_seconds)
        for one in allocations
    ))  # fmt: skip
    store(Condition, (
        Condition(
            public_id=dice.id("cnd"), award=award, key=DATA_DECLARED, kind="data", rule=DATA_DECLARED,
            text="Only datasets that train.yaml declares are read.", state=dice.choice(("open", "met")),
        )
        for award in awards
    ))  # fmt: skip
    duties = store(Duty, (duty for award in awards for duty in _duties(award, dice)))
    store(DutyReminder, (
        DutyReminder(duty=one, stage=stage, at=dice.at)
        for one in duties
        if one.state == "open" and one.due and (stage := obligations.stage(one.due, dice.at.date()))
    ))  # fmt: skip
    return allocations


def _allocations(award: Any, people: People, dice: Dice) -> Iterator[Any]:
    ends = months_later(award.starts, award.duration_months)
    machines = dice.sample(people.machines, 2 if dice.random() < 0.1 else 1)
    for machine in machines:
        yield Allocation(
            public_id=dice.id("alc"), award=award, project=award.project, machine=machine,
            granted_accelerator_seconds=award.gpu_hours * 3600 // len(machines), starts=award.starts, ends=ends,
            account=f"proj{award.pk}",
            ended_at=datetime(ends.year, ends.month, ends.day, tzinfo=UTC) if ends < dice.at.date() else None,
        )  # fmt: skip


def _duties(award: Any, dice: Dice) -> Iterator[Any]:
    ends, today = months_later(award.starts, award.duration_months), dice.at.date()
    for one in obligations.duties(award.application.call.terms.obligations, award.starts, ends):
        state = "open" if one.day is None or one.day > today - timedelta(days=30) else "accepted"
        if one.day is not None and state == "accepted" and one.day > today - timedelta(days=120):
            state = dice.one_of({"accepted": 80, "sent": 15, "open": 5})
        yield Duty(
            public_id=dice.id("dut"), award=award, kind=one.kind, name=one.name, text=one.text, due=one.day,
            after_end=one.after_end, state=state, sent_at=_noon(one.day) if state != "open" and one.day else None,
            sent_by=award.application.applicant if state != "open" else None,
        )  # fmt: skip


def _noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def _asked(applications: list[Any], allocations: list[Any], people: People, dice: Dice) -> None:
    """Requests to change an allocation, and proposals that wait for a second officer."""
    changed = dice.sample(allocations, len(allocations) // 10)
    asked = ChangeAsked(kind="extension", reason="More time.", months=1)
    store(ChangeRequest, (
        ChangeRequest(
            public_id=dice.id("req"), allocation=one, kind="extension", asked=asked,
            state="asked" if number < OPEN_CHANGES else "granted", asked_by=one.award.application.applicant,
            decided_by=None if number < OPEN_CHANGES else people.officers[0], asked_at=one.award.granted_at,
        )
        for number, one in enumerate(changed)
    ))  # fmt: skip
    waiting = [one for one in applications if one.state == "sent"][:OPEN_PROPOSALS]
    store(Proposal, (
        Proposal(public_id=dice.id("pro"), application=one, decision="grant", proposed_by=people.officers[1],
                 terms=AwardTerms(reason="Sound.", gpu_hours=one.call.terms.max_gpu_hours))
        for one in waiting
    ))  # fmt: skip
