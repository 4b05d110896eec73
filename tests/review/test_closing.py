"""A closed round: its ranking is computed once and stands, whatever is decided afterwards."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hanse.contracts.errors import Conflict, PolicyError, UsageError
from hanse.contracts.review import Ranking
from hanse.programme.review import rules
from hanse.service.access.models import Application, Organisation, Person
from hanse.service.review import clearing, orders, rounds
from hanse.service.review.models import Assignment, Recommendation, Reviewer, Round
from hanse.service.runs.models import Event
from tests.portal import seed
from tests.review.world import (
    AFTER,
    CUT_OFF,
    DUE,
    NAMES,
    a_call,
    an_officer,
    api,
    closed_round,
    entries,
    post,
    reviewers,
    score,
    scored_round,
)
from tests.service.test_races import at_once


def order(found: Ranking) -> list[tuple[str, str, int | None]]:
    return [(one.application, one.standing, one.reserve) for one in found.places]


@pytest.mark.django_db
@given(
    points=st.lists(st.integers(0, 5), min_size=1, max_size=7),
    places=st.integers(1, 4),
    decided=st.lists(st.sampled_from(["granted", "declined", "withdrawn"]), max_size=7),
    again=st.booleans(),
)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_ranking_that_was_kept_does_not_change_when_decisions_fall(
    points: list[int], places: int, decided: list[str], again: bool
) -> None:
    from django.db import transaction

    with transaction.atomic():
        officer = an_officer()
        made = scored_round(officer, points)
        before = order(rounds.ranking("playground", CUT_OFF, places=places, by=officer))
        if again:  # decisions before the round is closed move nobody either
            Application.objects.filter(pk=made[0].pk).update(state="declined")
        kept = order(rounds.close("playground", CUT_OFF, places=places, by=officer, at=AFTER))
        assert kept == before
        for one, state in zip(made, decided, strict=False):
            Application.objects.filter(pk=one.pk).update(state=state)
            assert order(rounds.ranking("playground", CUT_OFF, by=officer)) == kept
        transaction.set_rollback(True)


@pytest.mark.django_db
def test_decisions_of_a_closed_round_are_shown_against_what_was_recommended(officer: Person) -> None:
    made = closed_round(officer, [5, 4, 1], places=1)
    first, _, third = made
    Application.objects.filter(pk=third.pk).update(state="granted")
    with pytest.raises(Conflict, match="the ranking recommends it"):
        first.decline(officer, reason="It asks for a machine that is full.")
    orders.allow(first, officer, reason="Its machine is full.")
    first.decline(officer, reason="It asks for a machine that is full.")
    shown = rounds.ranking("playground", CUT_OFF, by=officer)
    assert [one.against for one in shown.places] == [
        "declined, though recommended", "", "granted, though not recommended",
    ]  # fmt: skip
    assert shown.closed_by == "olga" and shown.closed_at == AFTER and shown.round
    assert [one.state for one in shown.places] == ["declined", "in-review", "granted"]
    assert Event.objects.get(name="officer:round:closed").data["applications"] == 3
    with pytest.raises(TypeError, match="append-only"):
        Recommendation.objects.update(place=9)


@pytest.mark.django_db
def test_a_closed_round_takes_no_reviewers_scores_or_second_closing(officer: Person) -> None:
    closed_round(officer, [4, 4], places=1)
    late = Assignment.objects.create(
        application=Application.objects.all()[0], reviewer=reviewers_more(officer), due_on=DUE
    )
    with pytest.raises(Conflict, match="its ranking stands"):
        score(late, 1)
    with pytest.raises(Conflict, match="its ranking stands"):
        rounds.assign("playground", CUT_OFF, due_on=DUE, by=officer)
    with pytest.raises(Conflict, match="its ranking stands"):
        rounds.close("playground", CUT_OFF, places=1, by=officer, at=AFTER)


def reviewers_more(officer: Person) -> Reviewer:
    return Reviewer.enlist(seed.person("late"), organisation="Elsewhere", keywords=(), by=officer)


@pytest.mark.django_db
def test_a_round_is_not_closed_early_without_its_reviews_or_without_knowing_its_places(officer: Person) -> None:
    entries(1)
    reviewers(2, officer)
    with pytest.raises(Conflict, match="still arrive"):
        rounds.close("playground", CUT_OFF, places=1, by=officer, at=CUT_OFF - timedelta(minutes=1))
    rounds.assign("playground", CUT_OFF, due_on=DUE, by=officer)
    first, second = Assignment.objects.all()
    score(first, 4)
    with pytest.raises(Conflict, match="a review of it is missing"):
        rounds.close("playground", CUT_OFF, places=1, by=officer, at=AFTER)
    score(second, 4)
    for places in (None, -1):
        with pytest.raises(UsageError, match="places") as refused:
            rounds.close("playground", CUT_OFF, places=places, by=officer, at=AFTER)
        assert refused.value.where == "places"
    with pytest.raises(PolicyError):
        rounds.close("playground", CUT_OFF, places=1, by=first.reviewer.person, at=AFTER)
    assert not Recommendation.objects.exists() and not Round.objects.filter(state="closed").exists()
    assert rounds.close("playground", CUT_OFF, places=1, by=officer, at=AFTER).places[0].standing == "grant"


@pytest.mark.django_db
def test_a_calls_own_rules_hold_and_an_amendment_changes_none_for_those_who_applied_before(officer: Person) -> None:
    one = rules.default().model_copy(update={"reviewers_each": 1, "places": 1, "reserve": 1, "threshold_points": 0})
    own = one.model_copy(update={"criteria": (rules.default().criteria[0].model_copy(update={"threshold": 0}),)})
    call = a_call(scoring=own)
    made = entries(3, call=call)
    later = type(call).objects.create(call_id="a-call", version=2, terms=call.terms.model_copy(update={"version": 2}))
    Application.objects.filter(pk=made[2].pk).update(call=later)
    reviewers(1, officer)
    assert len(rounds.assign("a-call", CUT_OFF, due_on=DUE, by=officer).given) == 3
    for number, given_ in enumerate(Assignment.objects.order_by("application")):
        given_.send(given_.reviewer.person, points={NAMES[0]: number}, comments={NAMES[0]: "said"})
    with pytest.raises(UsageError, match="has 1 places, not 2"):
        rounds.close("a-call", CUT_OFF, places=2, by=officer, at=AFTER)
    ranked = rounds.close("a-call", CUT_OFF, by=officer, at=AFTER)
    assert [one.standing for one in ranked.places] == ["grant", "reserve", "below"]
    assert Round.objects.get().rules == own


@pytest.mark.django_db
def test_who_could_have_a_conflict_is_asked_only_when_an_officer_cleared_it(officer: Person) -> None:
    application = entries(1)[0]
    Organisation.objects.filter(pk=application.organisation_id).update(name="Firm Three")
    person = seed.person("anna", first_name="Anna", last_name="Müller")
    anna = Reviewer.enlist(person, organisation="Firm Three GmbH", keywords=(), by=officer)
    reviewers(1, officer)
    assert rounds.assign("playground", CUT_OFF, due_on=DUE, by=officer).short == {application.public_id: 1}
    (shown,) = rounds.conflicts("playground", CUT_OFF, by=officer)
    assert (shown.reviewer, shown.found, shown.verdict) == ("anna", ("works at what could be Firm Three",), None)
    with pytest.raises(PolicyError, match="could have a conflict"):
        Assignment.give(Application.objects.get(), anna, due_on=DUE, by=officer)
    with pytest.raises(UsageError, match="its reason"):
        clearing.answer(application, anna, officer, verdict="cleared", reason=" ")
    application = Application.objects.select_related("organisation", "applicant").get()
    clearing.answer(application, anna, officer, verdict="cleared", reason="Another house of the same name.")
    with pytest.raises(Conflict, match="cleared before"):
        clearing.answer(application, anna, officer, verdict="confirmed", reason="No.")
    assert len(rounds.assign("playground", CUT_OFF, due_on=DUE, by=officer).given) == 1
    assert Event.objects.filter(name="officer:conflict:cleared").count() == 1


@pytest.mark.django_db
def test_over_the_api_officers_enlist_reviewers_clear_conflicts_and_close_a_round(officer: Person) -> None:
    made = scored_round(officer, [5, 1])
    seed.person("vera", first_name="Vera", last_name="Holm")
    client, stranger = api(officer), api(Person.objects.get(username="ida"))
    form = {"person": "vera", "organisation": "Firm 1 Ltd", "keywords": ["Speech"]}
    assert post(stranger, "reviewers", form).status_code == 403
    assert post(client, "reviewers", {**form, "person": "nobody"}).status_code == 422
    assert post(client, "reviewers", form).json()["keywords"] == ["speech"]
    assert [one["person"] for one in client.get("/api/v1/reviewers").json()["items"]][-1] == "vera"
    where = {"call": "playground", "cut_off": CUT_OFF.isoformat()}
    found = client.get("/api/v1/reviews/conflicts", where).json()["items"]
    assert [(one["application"], one["reviewer"]) for one in found] == [(made[1].public_id, "vera")]
    word = {"application": made[1].public_id, "reviewer": "vera", "verdict": "confirmed", "reason": "Her own firm."}
    assert post(client, "reviews/conflicts", word).json()["verdict"] == "confirmed"
    assert post(stranger, "reviews/conflicts", word).status_code == 403
    assert client.get("/api/v1/reviews/rounds").json()["items"][0]["reviews_sent"] == 4
    assert post(client, "reviews/rounds/close", where).status_code == 422
    assert post(stranger, "reviews/rounds/close", {**where, "places": 1}).status_code == 403
    assert post(client, "reviews/rounds/close", {**where, "places": 1}).json()["places"][0]["standing"] == "grant"
    assert post(client, "reviews/rounds/close", {**where, "places": 1}).status_code == 409
    shown = client.get("/api/v1/reviews/rounds").json()["items"][0]
    assert (shown["state"], shown["places"], shown["undecided"]) == ("closed", 1, 2)


@pytest.mark.django_db(transaction=True)
def test_of_two_officers_who_close_a_round_at_once_one_does() -> None:
    officers = [an_officer("olga"), an_officer("otto")]
    scored_round(officers[0], [5, 4, 3])

    def close(by: Person) -> Ranking:
        return rounds.close("playground", CUT_OFF, places=1, by=by, at=AFTER)

    answers = at_once([lambda by=by: close(by) for by in officers])  # type: ignore[misc]
    connection.close()
    assert sorted(type(one).__name__ for one in answers) == ["Conflict", "Ranking"], answers
    assert Recommendation.objects.count() == 3 and Event.objects.filter(name="officer:round:closed").count() == 1
