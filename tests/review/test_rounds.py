"""Rounds as the service keeps them: who is asked, who sees what, what is frozen, and the ranking at the end."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest

from hanse.contracts.errors import Conflict, PolicyError, UsageError
from hanse.service.access.models import Application, Person
from hanse.service.review import chores, rounds
from hanse.service.review.models import Assignment, Reminder
from hanse.service.runs.models import Event
from tests.review.world import CUT_OFF, DUE, GOOD, NAMES, api, entries, reviewers, score, scored_round

pytestmark = pytest.mark.django_db


def test_a_large_scale_round_of_12_with_5_reviewers_and_a_conflict_is_given_scored_and_ranked(officer: Person) -> None:
    applications = entries(12)
    reviewers(5, officer, rev4="FIRM 3")
    done = rounds.assign("playground", CUT_OFF, due_on=DUE, by=officer)
    assert len(done.given) == 24 and done.short == {}
    every = list(Assignment.objects.select_related("application", "reviewer__person"))
    assert not [one for one in every if one.application == applications[3] and one.reviewer.organisation == "FIRM 3"]
    assert max(Counter(one.reviewer_id for one in every).values()) == 5
    assert {one.state for one in Application.objects.all()} == {"in-review"}
    assert rounds.assign("playground", CUT_OFF, due_on=DUE, by=officer).given == ()
    with pytest.raises(Conflict, match="a review of it is missing"):
        rounds.ranking("playground", CUT_OFF, places=2, by=officer)
    for one in every:
        score(one, 5 if one.application in applications[7:9] else 4)
    ranked = rounds.ranking("playground", CUT_OFF, places=2, by=officer).places
    assert [one.application for one in ranked[:2]] == [one.public_id for one in applications[7:9]]
    assert [one.reserve for one in ranked[2:]] == list(range(1, 11))


def test_a_grand_challenge_of_94_entries_has_4_winners_and_a_ranked_reserve(officer: Person) -> None:
    applications = scored_round(officer, [n % 6 for n in range(94)])
    ranked = rounds.ranking("playground", CUT_OFF, places=4, by=officer).places
    assert [one.application for one in ranked[:4]] == [applications[n].public_id for n in (5, 11, 17, 23)]
    assert [one.standing for one in ranked].count("grant") == 4
    assert [one.reserve for one in ranked[4:30]] == list(range(1, 27))
    assert {one.standing for one in ranked[30:]} == {"below"}


def test_who_declines_is_replaced_by_somebody_not_asked_before(officer: Person) -> None:
    entries(1)
    reviewers(3, officer)
    rounds.assign("playground", CUT_OFF, due_on=DUE, by=officer)
    first = Assignment.objects.all()[0]
    with pytest.raises(UsageError, match="no reason"):
        first.decline(first.reviewer.person, reason=" ")
    first.decline(first.reviewer.person, reason="I wrote a paper with them")
    assert len(rounds.assign("playground", CUT_OFF, due_on=DUE, by=officer).given) == 1
    assert Counter(Assignment.objects.values_list("state", flat=True)) == {"given": 2, "declined": 1}
    assert len(set(Assignment.objects.values_list("reviewer", flat=True))) == 3


def test_sent_scores_are_frozen_and_of_two_sent_at_once_one_holds(officer: Person) -> None:
    entries(1)
    reviewers(2, officer)
    rounds.assign("playground", CUT_OFF, due_on=DUE, by=officer)
    first = Assignment.objects.all()[0]
    stale = Assignment.objects.get(pk=first.pk)
    score(first, 4)
    for late in (first, stale):
        with pytest.raises(Conflict):
            score(late, 1)
    assert Assignment.objects.get(pk=first.pk).points == dict.fromkeys(NAMES, 4)
    assert Event.objects.filter(name="reviewer:review:sent", subject_id=first.public_id).count() == 1


def test_nobody_scores_or_declines_what_is_decided_or_was_given_to_another(officer: Person) -> None:
    application = entries(1)[0]
    reviewers(2, officer)
    rounds.assign("playground", CUT_OFF, due_on=DUE, by=officer)
    first, second = Assignment.objects.all()
    with pytest.raises(PolicyError, match="somebody else"):
        first.send(second.reviewer.person, points=dict.fromkeys(NAMES, 3), comments=GOOD)
    Application.objects.get(pk=application.pk).decline(officer, reason="out of scope")
    with pytest.raises(Conflict, match="declined"):
        score(first, 3)
    with pytest.raises(Conflict, match="the application is declined"):
        second.decline(second.reviewer.person, reason="too late")
    assert Assignment.objects.filter(state="given").count() == 2


def test_an_officer_who_stands_in_an_organisation_of_the_round_can_neither_assign_nor_rank(officer: Person) -> None:
    application = entries(2)[1]
    reviewers(2, officer)
    officer.memberships.create(organisation=application.organisation, role="member")
    with pytest.raises(PolicyError, match="you stand in Firm 1"):
        rounds.assign("playground", CUT_OFF, due_on=DUE, by=officer)
    with pytest.raises(PolicyError, match="you stand in Firm 1"):
        rounds.ranking("playground", CUT_OFF, places=1, by=officer)
    assert not Assignment.objects.exists()


def test_a_reminder_is_written_once_for_each_due_date(officer: Person) -> None:
    entries(1)
    reviewers(2, officer)
    rounds.assign("playground", CUT_OFF, due_on=DUE, by=officer)
    score(Assignment.objects.all()[0], 3)
    days = [datetime(2026, 11, day, 12, tzinfo=UTC) for day in (13, 14, 15, 16, 17, 18)]
    assert [chores.run(day) for day in days] == [0, 1, 0, 0, 1, 0]
    assert list(Reminder.objects.values_list("kind", flat=True)) == ["soon", "late"]
    assert Event.objects.filter(name="review:reminder:due").count() == 2


def test_over_the_api_a_reviewer_sees_and_scores_their_own_and_nothing_else(officer: Person) -> None:
    entries(1)
    reviewers(2, officer)
    body = {"call": "playground", "cut_off": CUT_OFF.isoformat(), "due_on": DUE.isoformat()}
    stranger = api(Person.objects.get(username="ida"))
    assert stranger.post("/api/v1/reviews/assign", body, content_type="application/json").status_code == 403
    answer = api(officer).post("/api/v1/reviews/assign", body, content_type="application/json")
    assert answer.status_code == 200 and len(answer.json()["given"]) == 2
    first, second = Assignment.objects.select_related("reviewer__person")
    mine = api(first.reviewer.person)
    assert [one["id"] for one in mine.get("/api/v1/reviews").json()["items"]] == [first.public_id]
    assert mine.get(f"/api/v1/reviews/{first.public_id}/form").json()["title"] == "Model 0"
    assert mine.get(f"/api/v1/reviews/{second.public_id}/form").status_code == 404
    assert stranger.get("/api/v1/reviews").json()["items"] == []
    sheet = {"points": dict.fromkeys(NAMES, 4), "comments": GOOD}
    path = f"/api/v1/reviews/{first.public_id}/send"
    wrong = {**sheet, "points": {**sheet["points"], "impact": 9}}
    assert mine.post(path, wrong, content_type="application/json").status_code == 422
    assert mine.post(path, sheet, content_type="application/json").json()["state"] == "sent"
    assert mine.post(path, sheet, content_type="application/json").status_code == 409
    other = f"/api/v1/reviews/{second.public_id}/decline"
    assert mine.post(other, {"reason": "x"}, content_type="application/json").status_code == 404
    query = {"call": "playground", "cut_off": CUT_OFF.isoformat(), "places": 1}
    assert mine.get("/api/v1/reviews/ranking", query).status_code == 403
    assert api(officer).get("/api/v1/reviews/ranking", query).status_code == 409
