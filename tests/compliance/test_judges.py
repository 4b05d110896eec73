"""Nobody judges their own: an officer of the organisation that holds the award, or who stated the permit."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from hanse.contracts.base import now
from hanse.contracts.decision import Decision
from hanse.contracts.errors import PolicyError
from hanse.contracts.watch import ConditionChange, PermitForm
from hanse.service.access.models import Membership
from hanse.service.compliance.models import Condition, Permit, Rescreening, RunChange, Screening
from hanse.service.compliance.rescreen import answer
from hanse.service.runs.models import Event
from tests.compliance.parts import Granted
from tests.service.fixtures import a_spec

pytestmark = pytest.mark.django_db
DAY = date(2031, 1, 1)


def stated(granted: Granted, by: Any) -> Permit:
    form = PermitForm(
        kind="health-data", number="1", issuer="A body", purpose="Research.", datasets=("records",),
        machines=("local",), valid_until=date(2031, 3, 1),
    )  # fmt: skip
    return Permit.state_one(granted.award, form, by, today=DAY)


def test_who_stated_a_permit_does_not_confirm_it(granted: Granted, settings: Any) -> None:
    officer = granted.world.officer
    held = stated(granted, officer)
    with pytest.raises(PolicyError, match="who stated a permit"):
        held.confirm(officer, reason="I know it.")
    held.refresh_from_db()
    assert held.state == "stated" and not Event.objects.filter(name="officer:permit:confirmed").exists()
    settings.HANSE_EMBEDDED = True
    held.confirm(officer, reason="There is nobody else.")
    assert held.state == "confirmed"


def test_an_officer_of_the_organisation_judges_nothing_of_its_award(granted: Granted) -> None:
    officer, award = granted.world.officer, granted.award
    decision = Decision(subject="app", verdict="allow", findings=(), decided_at=now(), decided_by="gate")
    permit = stated(granted, granted.world.founder)
    condition = Condition.objects.create(award=award, key="a", kind="officer", text="The model is marked.")
    change = RunChange.objects.create(
        award=award, key="k", spec=a_spec(), decision=decision, state="asked", differences=[]
    )
    screening, _ = Screening.objects.get_or_create(
        application=award.application, defaults={"decision": decision, "answers": {}}
    )
    rescreening = Rescreening.objects.create(screening=screening, decision=decision, as_of=DAY)
    acts = (
        lambda: permit.confirm(officer, reason="Seen."),
        lambda: permit.withdraw(officer, reason="Seen."),
        lambda: condition.change(ConditionChange(to="met", evidence="It is marked."), officer),
        lambda: change.decide(officer, accept=True, reason="Seen."),
        lambda: answer(rescreening, officer, stands=True, reason="Seen."),
    )
    membership = Membership.objects.create(person=officer, organisation=award.application.organisation, role="member")
    for act in acts:
        with pytest.raises(PolicyError, match="you stand in"):
            act()
    membership.delete()
    for act in (acts[0], *acts[2:]):
        act()
    assert permit.state == "confirmed" and condition.state == "met" and change.state == "accepted"
