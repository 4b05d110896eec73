"""Awards by two: the service's world, a second officer, a call with everything an award can bring, an application."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest
from django.contrib.auth.models import Group

from hanse.contracts.awarding import AwardTerms
from hanse.contracts.base import now
from hanse.contracts.decision import Decision
from hanse.contracts.programme import ApplicationForm, CallObligation, CallTerms, Extension
from hanse.service.access.models import Allocation, Application, Call, Person
from hanse.service.access.people import OFFICERS
from hanse.service.awarding.proposals import Proposal
from hanse.service.compliance.models import Screening
from hanse.service.runs.models import Machine
from tests.service.fixtures import World, a_machine, make_world

TERMS = CallTerms(
    id="house", mode="regular", title="Regular", summary="A call.", opens=date(2026, 1, 1), max_gpu_hours=100_000,
    durations_months=(1, 2, 3, 6, 12), who=("start-up", "sme", "large"), decision_working_days=5,
    pays=("start-up",), extension=Extension(times=1, months=3, share=0.5),
    obligations=(
        CallObligation(id="progress-report", text="A report on the middle."),
        CallObligation(id="final-report", text="A final report.", months_after_end=3),
        CallObligation(id="release-or-publish", text="The model is released.", months_after_start=12),
        CallObligation(id="acknowledge", text="The programme is named."),
    ),
)  # fmt: skip


@dataclass
class Programme:
    world: World
    second: Person
    call: Call
    application: Application
    other: Machine

    def terms(self, **changes: Any) -> AwardTerms:
        return AwardTerms(**{"reason": "A sound plan.", "starts": now().date()} | changes)

    def award(self, application: Application | None = None, **changes: Any) -> Allocation:
        """Proposed by one officer and confirmed by the other."""
        asked = application or self.application
        made = Proposal.propose(asked, self.world.officer, "grant", self.terms(**changes))
        return self.held(made.confirm(self.second).public_id)

    def held(self, public_id: str) -> Allocation:
        rows = Allocation.objects.with_balance().select_related("machine", "award__application__call", "project")
        return rows.get(public_id=public_id)

    def apply(self, **changes: Any) -> Application:
        form = ApplicationForm(
            call="house", organisation="Brick AI", organisation_kind="start-up", country="BE", title="Delivery notes",
            purpose="Reading.", machine="local", gpu_hours=1000, duration_months=2, contact_email="f@example.eu",
        ).model_copy(update=changes)  # fmt: skip
        made = Application.objects.create(
            call=self.call, organisation=self.world.organisation, applicant=self.world.founder, state="sent", form=form,
            sent_at=now(),
        )  # fmt: skip
        allowed = Decision(subject=made.public_id, verdict="allow", findings=(), decided_at=now(), decided_by="gate")
        Screening.objects.create(application=made, decision=allowed)
        return made


def make_programme() -> Programme:
    world = make_world()
    second = Person.objects.create_user("second", "second@example.eu", "a long password")
    second.groups.add(Group.objects.get(name=OFFICERS))
    other = Machine.objects.create(public_id="other", site=world.site, facts=a_machine("other"))
    call = Call.objects.create(call_id=TERMS.id, version=1, terms=TERMS)
    made = Programme(world=world, second=second, call=call, application=None, other=other)  # type: ignore[arg-type]
    made.application = made.apply()
    return made


@pytest.fixture(autouse=True)
def two_officers(settings: Any) -> None:
    settings.HANSE_AWARDS_BY = 2


@pytest.fixture
def programme(db: None) -> Programme:
    return make_programme()


@pytest.fixture
def shared_programme(transactional_db: None) -> Programme:
    """In committed rows, for tests with threads and processes."""
    return make_programme()


__all__ = ["programme", "shared_programme", "two_officers"]
