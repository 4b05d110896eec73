"""An award takes two officers; before it is granted, what can still be awarded is counted."""

from __future__ import annotations

import contextlib
from datetime import date
from typing import Any

import pytest

from hanse.contracts.awarding import AwardPart, CapacityOffer
from hanse.contracts.errors import Conflict, PolicyError, UsageError
from hanse.service import records
from hanse.service.access.models import Allocation, Award, Membership
from hanse.service.awarding import capacity, duties, proposals
from hanse.service.awarding.proposals import Proposal
from tests.awarding.world import Programme
from tests.service.test_api import Http

pytestmark = pytest.mark.django_db


def test_one_officer_proposes_and_nothing_is_granted_until_another_confirms(programme: Programme) -> None:
    made = Proposal.propose(programme.application, programme.world.officer, "grant", programme.terms(gpu_hours=900))
    assert not Award.objects.exists()
    with pytest.raises(PolicyError, match="who proposed it does not confirm"):
        made.confirm(programme.world.officer)
    assert made.state == "waiting"
    opened = made.confirm(programme.second)
    assert opened.granted_accelerator_seconds == 900 * 3600
    assert opened.award.granted_by == programme.second
    assert opened.award.pays_per_use, "the call says that this kind pays"
    assert programme.world.events("officer:proposal:confirmed") == 1


def test_granting_around_the_proposal_is_refused(programme: Programme) -> None:
    with pytest.raises(PolicyError, match="two officers"):
        programme.application.grant(programme.world.officer, reason="Alone.")
    made = Proposal.propose(programme.application, programme.world.officer, "grant", programme.terms())
    with pytest.raises(PolicyError, match="two officers"):
        programme.application.grant(programme.second, reason="It is not confirmed.", proposal=made)
    assert not Award.objects.exists()


@pytest.mark.parametrize("who", ["officer", "second"])
def test_neither_officer_stands_in_the_applicants_organisation(programme: Programme, who: str) -> None:
    officer = {"officer": programme.world.officer, "second": programme.second}[who]
    if who == "second":
        made = Proposal.propose(programme.application, programme.world.officer, "grant", programme.terms())
    Membership.objects.create(person=officer, organisation=programme.world.organisation)
    with pytest.raises(PolicyError, match="you stand in"):
        if who == "second":
            made.confirm(officer)
        else:
            Proposal.propose(programme.application, officer, "grant", programme.terms())


def test_a_proposer_who_joined_the_applicant_since_stops_the_confirmation(programme: Programme) -> None:
    made = Proposal.propose(programme.application, programme.world.officer, "grant", programme.terms())
    Membership.objects.create(person=programme.world.officer, organisation=programme.world.organisation)
    with pytest.raises(PolicyError, match="you stand in"):
        made.confirm(programme.second)
    assert not Award.objects.exists()


def test_who_proposed_takes_it_back_and_only_then_another_proposal_is_made(programme: Programme) -> None:
    world, terms = programme.world, programme.terms()
    made = Proposal.propose(programme.application, world.officer, "grant", terms)
    with pytest.raises(Conflict, match="waits already"):
        Proposal.propose(programme.application, programme.second, "grant", terms)
    with pytest.raises(PolicyError, match="only who proposed"):
        made.take_back(programme.second)
    made.take_back(world.officer)
    again = Proposal.propose(programme.application, programme.second, "grant", terms)
    with pytest.raises(UsageError, match="needs its reason"):
        again.refuse(world.officer, reason=" ")
    again.refuse(world.officer, reason="Too long.")
    with pytest.raises(Conflict):
        again.confirm(world.officer)


def test_over_http_the_first_decision_is_a_proposal_and_the_answer_says_so(programme: Programme) -> None:
    first, second = (Http(programme.world.token(one)) for one in (programme.world.officer, programme.second))
    path = f"/api/v1/applications/{programme.application.public_id}/decide"
    told = first.post(path, {"decision": "grant", "reason": "fine", "gpu_hours": 50}).json()
    assert (told["state"], told["award_proposed_by"], told["allocation_id"]) == ("sent", "officer", None)
    assert first.post(path, {"decision": "grant", "reason": "again"}).status_code == 409
    other = second.post(path, {"decision": "grant", "reason": "mine", "gpu_hours": 60})
    assert other.status_code == 409 and "proposed 50" in other.json()["what"]
    granted = second.post(path, {"decision": "grant", "reason": "fine", "gpu_hours": 50}).json()
    assert granted["state"] == "granted" and granted["allocation_id"]
    assert Allocation.objects.get(public_id=granted["allocation_id"]).granted_accelerator_seconds == 50 * 3600


def test_one_officer_is_enough_where_the_service_says_so_and_where_it_is_embedded(
    programme: Programme, settings: Any
) -> None:
    settings.HANSE_AWARDS_BY, settings.HANSE_EMBEDDED = 2, True
    assert proposals.decide(programme.application, programme.world.officer, "grant", programme.terms()) == "granted"
    settings.HANSE_AWARDS_BY, settings.HANSE_EMBEDDED = 1, False
    assert proposals.decide(programme.apply(), programme.world.officer, "grant", programme.terms()) == "granted"


def test_declining_takes_as_many_as_the_service_says(programme: Programme, settings: Any) -> None:
    assert proposals.decide(programme.application, programme.world.officer, "decline", programme.terms()) == "declined"
    settings.HANSE_DECLINES_BY = 2
    again = programme.apply()
    assert proposals.decide(again, programme.world.officer, "decline", programme.terms()) == "proposed"
    assert proposals.decide(again, programme.second, "decline", programme.terms()) == "declined"
    assert again.state == "declined"


def test_an_award_opens_an_allocation_for_each_part_from_its_first_day(programme: Programme) -> None:
    parts = (
        AwardPart(machine="local", partition="gpu", gpu_hours=600, storage_bytes=10**12),
        AwardPart(machine="other", gpu_hours=400),
    )
    programme.award(parts=parts, starts=date(2027, 1, 31), duration_months=1, pattern="falling")
    opened = Allocation.objects.filter(award__application=programme.application).order_by("pk")
    assert [(one.machine.public_id, one.partition, one.storage_bytes) for one in opened] == [
        ("local", "gpu", 10**12), ("other", "", 0),
    ]  # fmt: skip
    assert {(one.starts, one.ends) for one in opened} == {(date(2027, 1, 31), date(2027, 2, 28))}
    assert Award.objects.get().gpu_hours == 1000
    assert programme.application.__class__.objects.get(pk=programme.application.pk).contract().allocation_id == (
        opened[0].public_id
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"gpu_hours": 5, "parts": (AwardPart(machine="local", gpu_hours=4),)}, "sum to 4"),
        ({"parts": (AwardPart(machine="local", gpu_hours=4),) * 2}, "stands twice"),
        ({"parts": (AwardPart(machine="nowhere", gpu_hours=4),)}, "no machine nowhere"),
        ({"gpu_hours": 100_001}, "at most 100,000"),
    ],
)
def test_what_cannot_be_granted_so_is_refused_to_who_proposes(
    programme: Programme, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        Proposal.propose(programme.application, programme.world.officer, "grant", programme.terms(**changes))


def test_more_than_a_month_has_left_is_not_awarded_and_the_figures_are_told(programme: Programme) -> None:
    officer, start = programme.world.officer, {"starts": date(2027, 1, 1), "duration_months": 1}
    for month, hours in (("2027-01", 1200), ("2027-02", 1200)):
        capacity.offer(CapacityOffer(machine="local", month=month, gpu_hours=hours), by=officer)
    programme.award(**start)
    january, february = capacity.table()
    assert 960 * 3600 < january.taken_accelerator_seconds < 1000 * 3600
    assert january.taken_accelerator_seconds + february.taken_accelerator_seconds == 1000 * 3600
    with pytest.raises(PolicyError, match=r"2027-01: \d+\sGPU-hours left") as refused:
        programme.award(programme.apply(), **start)
    assert "gpu_hours" in refused.value.where
    assert Award.objects.count() == 1


def test_room_that_went_between_proposal_and_confirmation_stops_the_confirmation(programme: Programme) -> None:
    start = {"starts": date(2027, 1, 1), "duration_months": 1}
    for month in ("2027-01", "2027-02"):
        capacity.offer(CapacityOffer(machine="local", month=month, gpu_hours=1200), by=programme.second)
    rival = programme.apply()
    late = Proposal.propose(rival, programme.world.officer, "grant", programme.terms(**start))
    programme.award(**start)
    with pytest.raises(PolicyError, match="not so much room"):
        late.confirm(programme.second)
    assert (late.state, late.reason, late.decided_by, late.decided_at) == ("waiting", "", None, None), "in memory, too"
    late.refresh_from_db()
    rival.refresh_from_db()
    assert (late.state, rival.state) == ("waiting", "sent"), "nothing of it was taken"
    capacity.offer(CapacityOffer(machine="local", month="2027-01", gpu_hours=5000), by=programme.second)
    capacity.offer(CapacityOffer(machine="local", month="2027-02", gpu_hours=5000), by=programme.second)
    assert late.confirm(programme.second) and late.application.state == "granted", "the same object can be asked again"


def test_a_grant_that_fails_at_its_end_leaves_the_application_and_its_screening_as_they_were(
    programme: Programme, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.HANSE_AWARDS_BY = 1
    asked, officer = programme.application, programme.world.officer
    gate = asked.screening.decision.model_copy(update={"verdict": "review"})
    type(asked.screening).objects.update(decision=gate)
    asked.screening.refresh_from_db()
    with monkeypatch.context() as broken:
        broken.setattr(duties, "open_for", lambda _award: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            asked.grant(officer, reason="Sound.", override_reason="Seen.")
    assert (asked.state, asked.reason, asked.decided_at) == ("sent", "", None)
    assert asked.screening.decision.verdict == "review" and not Award.objects.exists()
    assert asked.grant(officer, reason="Sound.", override_reason="Seen.") and asked.state == "granted"


def test_what_a_savepoint_lost_goes_back_and_what_was_kept_around_it_stays(programme: Programme) -> None:
    first, second = programme.application, programme.apply()
    officer = programme.world.officer
    with pytest.raises(Conflict, match="cannot become"), records.together():
        first.withdraw(by=officer)
        with contextlib.suppress(ZeroDivisionError), records.together():
            second.withdraw(by=officer)
            raise ZeroDivisionError
        assert (first.state, second.state) == ("withdrawn", "sent")
        first.withdraw(by=officer)
    assert (first.state, second.state) == ("sent", "sent")
