"""The watch where runs are launched: admission asks it, tickets carry conditions and permits."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from hanse.contracts.errors import PolicyError
from hanse.contracts.spec import DatasetSpec
from hanse.contracts.watch import ConditionChange, PermitForm
from hanse.service.compliance.models import Condition, Permit, RunChange
from hanse.service.notices import inbox
from hanse.service.notices.models import Notice
from hanse.service.runs.models import Event
from tests.compliance.parts import Granted
from tests.service.fixtures import a_spec

pytestmark = pytest.mark.django_db


def test_an_award_s_conditions_are_rows_once_it_is_granted_and_a_waived_one_leaves_the_tickets(
    granted: Granted,
) -> None:
    run = granted.world.launch()
    assert "Publish the tokenizer." in granted.world.attempt(run).ticket.ticket.conditions
    one = Condition.objects.get(award=granted.award, kind="officer")
    one.change(ConditionChange(to="waived", reason="dropped"), granted.world.officer)
    again = granted.world.launch()
    assert "Publish the tokenizer." not in granted.world.attempt(again).ticket.ticket.conditions


def test_a_launch_with_another_purpose_is_kept_and_starts_until_an_officer_refuses_it(granted: Granted) -> None:
    granted.world.launch(a_spec(purpose="Sort letters"))
    assert granted.world.launch(a_spec(purpose="Sort people")).state == "queued"
    noted = RunChange.objects.first()
    assert noted is not None and noted.state == "noted"
    noted.decide(granted.world.officer, accept=False, reason="That is another project.")
    with pytest.raises(PolicyError, match="may not start"):
        granted.world.launch(a_spec(purpose="Sort people"))
    noted.decide(granted.world.officer, accept=True, reason="The same people sort letters.")
    assert granted.world.launch(a_spec(purpose="Sort people")).state == "queued"


def test_personal_data_starts_under_a_confirmed_permit_whose_number_goes_into_the_ticket(granted: Granted) -> None:
    data: Any = (DatasetSpec(name="records", source="records/*.txt", licence="by permit", personal_data=True),)
    with pytest.raises(PolicyError):
        granted.world.launch(a_spec(data=data))
    form = PermitForm(
        kind="health-data", number="HDAB-9", issuer="A body", purpose="Research", datasets=("records",),
        machines=("local",), valid_until=date(2999, 1, 1),
    )  # fmt: skip
    held = Permit.state_one(granted.award, form, granted.world.founder, today=date(2026, 1, 1))
    held.confirm(granted.world.officer, reason="Seen.")
    run = granted.world.launch(a_spec(data=data))
    assert granted.world.attempt(run).ticket.ticket.datasets[0].permit == "HDAB-9"


def test_a_permit_that_is_stated_and_ends_is_told_and_stops_no_other_notice(granted: Granted) -> None:
    world = granted.world
    form = PermitForm(
        kind="health-data", number="HDAB-9", issuer="A body", purpose="Research", datasets=("records",),
        machines=("local",), valid_until=date(2999, 1, 1),
    )  # fmt: skip
    held = Permit.state_one(granted.award, form, world.founder, today=date(2026, 1, 1))
    Event.record("tick:permit:ending", held.public_id, by="tick", reason="It ends in 7 days.", days=7)
    Event.record("service:compute:near", granted.application.public_id, by="watch", reason="80 % of it.")
    inbox.tell()
    kinds = set(Notice.objects.filter(person=world.founder).values_list("kind", flat=True))
    assert {"permit-ending", "compute-near"} <= kinds
    assert Notice.objects.filter(person=world.officer, kind="permit-stated").exists()
