"""The joining line: an application is granted or declined only as its review allows, whoever decides and however."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from hanse.contracts.awarding import AwardTerms
from hanse.contracts.base import now
from hanse.contracts.decision import Decision
from hanse.contracts.errors import Conflict
from hanse.contracts.programme import ReviewStep
from hanse.contracts.review_steps import StepWord
from hanse.service.access.models import Allocation, Application, Award, Person
from hanse.service.awarding.models import Proposal
from hanse.service.compliance.models import Screening
from hanse.service.notices.models import Viewing
from hanse.service.review import steps
from hanse.service.review.models import Letter
from tests.review.test_pages import browse, text
from tests.review.test_steps import an_operator
from tests.review.world import a_call, an_officer, api, entries, post
from tests.reviewed import PASSES, reviewed
from tests.service.test_races import at_once

BOTH = (ReviewStep(kind="administrative"), ReviewStep(kind="technical", by="the site"))
FAILS = StepWord(passed=False, reason="It is no start-up.")


def applied(*, review: tuple[ReviewStep, ...] = BOTH) -> Application:
    an_operator()
    (one,) = entries(1, call=a_call(review=review, order="arrival"), cut_off=None)
    allowed = Decision(subject=one.public_id, verdict="allow", findings=(), decided_at=now(), decided_by="gate")
    Screening.objects.create(application=one, decision=allowed)
    return again(one)


def again(one: Application) -> Application:
    return Application.objects.select_related("call", "organisation", "applicant", "screening").get(pk=one.pk)


@pytest.mark.django_db
def test_an_application_is_granted_once_its_steps_are_passed(officer: Person) -> None:
    one = applied()
    for asked in (again(one).grant, again(one).decline):
        with pytest.raises(Conflict, match="the administrative step is not done"):
            asked(officer, reason="Sound.")
    with pytest.raises(Conflict, match="the administrative step is not done"):
        Proposal.propose(again(one), officer, "grant", AwardTerms(reason="Sound."))
    assert again(one).state == "sent" and not Award.objects.exists() and not Proposal.objects.exists()
    steps.do(one, "administrative", officer, PASSES)
    with pytest.raises(Conflict, match="the technical step is not done"):
        again(one).grant(officer, reason="Sound.")
    reviewed(one, officer)
    again(one).grant(officer, reason="Sound.")
    assert again(one).state == "granted"


@pytest.mark.django_db
def test_an_application_that_failed_a_step_can_only_be_declined(officer: Person) -> None:
    one = applied()
    steps.do(one, "administrative", officer, FAILS)
    with pytest.raises(Conflict, match="the administrative step failed: it can only be declined"):
        again(one).grant(officer, reason="All the same.")
    again(one).decline(officer, reason="It is no start-up.")
    assert again(one).state == "declined"


@pytest.mark.django_db
def test_the_applications_page_says_what_is_missing_and_where_it_is_done(officer: Person) -> None:
    one = applied()
    shown = text(browse(officer).get(f"/applications/{one.public_id}/"))
    assert "Before it can be granted" in shown and "The administrative step is not done." in shown
    assert f"/review/steps/{one.public_id}/administrative/" in shown
    refused = post(api(officer), f"applications/{one.public_id}/decide", {"decision": "grant", "reason": "Sound."})
    assert refused.status_code == 409 and refused.json()["what"] == "the administrative step is not done"
    reviewed(one, officer)
    assert "Before it can be granted" not in text(browse(officer).get(f"/applications/{one.public_id}/"))


@pytest.mark.django_db
def test_a_service_for_one_user_decides_without_steps(officer: Person, settings: Any) -> None:
    settings.HANSE_EMBEDDED = True
    one = applied()
    again(one).grant(officer, reason="My own machine.")
    assert again(one).state == "granted"


@pytest.mark.django_db
def test_an_operator_sees_no_application_whose_call_has_no_technical_step(officer: Person) -> None:
    one = applied(review=BOTH[:1])
    operator = Person.objects.get(memberships__role="operator")
    assert steps.may(one, "technical", operator), "the machine is theirs"
    assert api(operator).get(f"/api/v1/applications/{one.public_id}/steps").status_code == 404
    assert api(officer).get(f"/api/v1/applications/{one.public_id}/steps").status_code == 200


@pytest.mark.django_db
def test_who_looks_at_steps_replies_and_letters_over_the_api_is_written_down(officer: Person) -> None:
    one = applied()
    letter = Letter.objects.create(
        application=one, decided_at=now(), decision="declined", language="en", text="Dear applicant"
    )
    client = api(officer)
    for path in (f"applications/{one.public_id}/steps", f"applications/{one.public_id}/reply",
                 f"letters/{letter.public_id}", "steps"):  # fmt: skip
        assert client.get(f"/api/v1/{path}").status_code == 200, path
    looks = Viewing.objects.filter(viewer=officer.username, how="API").order_by("pk")
    assert list(looks.values_list("subject_id", flat=True)) == [one.public_id, one.public_id, letter.public_id, ""]
    assert {each.organisation for each in looks.exclude(subject_id="")} == {one.organisation}


@pytest.mark.django_db(transaction=True)
def test_a_grant_that_races_the_last_step_finds_it_passed_or_is_refused_whole() -> None:
    olga, otto = an_officer("olga"), an_officer("otto")
    one = applied(review=BOTH[:1])
    grant, _ = at_once([
        lambda: again(one).grant(otto, reason="Sound."),
        lambda: steps.do(again(one), "administrative", olga, PASSES),
    ])  # fmt: skip
    connection.close()
    assert steps.states(one) == {"administrative": "passed"}
    granted = isinstance(grant, Allocation)
    assert granted or isinstance(grant, Conflict), grant
    assert again(one).state == ("granted" if granted else "sent") and Award.objects.count() == int(granted)
