"""Steps in the call's order, lanes in order of arrival, and what stands before a decision."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from hanse.contracts.errors import Conflict, PolicyError, UsageError
from hanse.contracts.programme import ReviewStep
from hanse.contracts.review_steps import FindingWord, StepWord
from hanse.service.access.models import Application, Membership, Person
from hanse.service.review import desk_pages, lanes, orders, queue, rounds, steps, tables
from hanse.service.review.models import Assignment, OutOfOrder, Step
from hanse.service.runs.models import Event
from tests.portal import seed
from tests.review.world import AFTER, CUT_OFF, DUE, a_call, an_officer, api, entries, post, reviewers, score
from tests.service.test_races import at_once

pytestmark = pytest.mark.django_db
PASS, FAIL = StepWord(passed=True), StepWord(passed=False, reason="It asks for a closed partition.")
ALL = tuple(ReviewStep(kind=kind) for kind in ("administrative", "technical", "scientific"))


def an_operator() -> Person:
    """Of the site whose machine the applications name."""
    machine = seed.machine()
    made = seed.person("oscar")
    Membership.objects.create(person=made, organisation=machine.site.organisation, role="operator")
    return made


def a_lane(count: int, **changes: Any) -> list[Application]:
    call = a_call(order="arrival", decision_working_days=4, **changes)
    made = entries(count, call=call, cut_off=None)
    machine = seed.machine()
    for one in made:
        form = one.form.model_copy(update={"machine": machine.public_id})
        due = one.sent_at + timedelta(days=6)
        Application.objects.filter(pk=one.pk).update(form=form, decide_by=due)
    return [Application.objects.get(pk=one.pk) for one in made]


def test_steps_are_done_in_their_order_by_officers_and_by_the_sites_operators(officer: Person) -> None:
    operator = an_operator()
    (one,) = a_lane(1, review=ALL[:2])
    with pytest.raises(Conflict, match="the administrative step comes first"):
        steps.do(one, "technical", operator, PASS)
    with pytest.raises(PolicyError):
        steps.do(one, "administrative", operator, PASS)
    assert [kind for _, kind in queue.part(officer)[0]] == ["administrative"] and queue.part(operator)[0] == []
    done = steps.do(one, "administrative", officer, PASS)
    assert (done.state, done.by) == ("passed", "olga") and done.at is not None
    with pytest.raises(PolicyError, match="operators of The centre"):
        steps.do(one, "technical", officer, PASS)
    assert [kind for _, kind in queue.part(operator)[0]] == ["technical"] and queue.part(officer)[0] == []
    with pytest.raises(UsageError, match="failing a step needs its reason"):
        steps.do(one, "technical", operator, StepWord(passed=False))
    waiting = next(step for step in steps.of(one) if step.kind == "technical")
    assert waiting.turn and {found.id for found in waiting.findings} >= {"memory", "scales", "hours", "open"}
    words = StepWord(passed=True, corrections=(FindingWord(id="memory", answer="yes", reason="Measured here."),))
    done = steps.do(one, "technical", operator, words)
    kept = {found.id: found for found in done.findings}
    assert kept["memory"].corrected == "yes" and kept["memory"].answer == "unknown"
    with pytest.raises(Conflict, match="is passed and cannot become"):
        steps.do(one, "technical", operator, FAIL)
    assert list(Event.objects.filter(name="review:step:passed").values_list("data__kind", flat=True)) == [
        "administrative", "technical",
    ]  # fmt: skip
    with pytest.raises(UsageError, match="no scientific step"):
        steps.do(Application.objects.get(pk=one.pk), "scientific", officer, PASS)


def test_a_step_passes_against_a_finding_only_with_a_reason_and_one_that_failed_allows_no_grant(
    officer: Person,
) -> None:
    operator = an_operator()
    first, second = a_lane(2, review=ALL[1:2])
    machine = seed.machine()
    type(machine).objects.update(facts=machine.facts.model_copy(update={"status": "planned"}))
    with pytest.raises(UsageError, match=r"a finding says no: .* is planned"):
        steps.do(first, "technical", operator, PASS)
    steps.do(first, "technical", operator, PASS.model_copy(update={"reason": "It opens before the first day."}))
    steps.do(second, "technical", operator, FAIL)
    assert [one.excusable for one in orders.missing(second, "grant") if one.kind == "step"] == [False]
    assert orders.missing(second, "decline") == ()
    assert lanes.ahead(second) == (1, first.public_id)


def test_reviewers_are_given_only_after_the_steps_before_and_closing_the_round_does_the_scientific_one(
    officer: Person,
) -> None:
    call = a_call(review=ALL, order="ranking")
    first, second, third = entries(3, call=call)
    reviewers(2, officer)
    for one in (first, second, third):
        steps.do(one, "administrative", officer, PASS)
    for one, word in ((first, PASS), (third, FAIL)):
        steps.do(one, "technical", officer, word)  # no such machine is joined here
    given = rounds.assign("a-call", CUT_OFF, due_on=DUE, by=officer)
    assert len(given.given) == 2 and given.waiting == {second.public_id: "technical", third.public_id: "technical"}
    with pytest.raises(Conflict, match="technical step comes first"):
        Assignment.give(second, Assignment.objects.all()[0].reviewer, due_on=DUE, by=officer)
    with pytest.raises(UsageError, match="closing the round"):
        steps.do(first, "scientific", officer, PASS)
    for sheet in Assignment.objects.all():
        score(sheet, 4)
    with pytest.raises(Conflict, match="its technical step is not done"):
        rounds.close("a-call", CUT_OFF, places=1, by=officer, at=AFTER)
    steps.do(second, "technical", officer, PASS)
    rounds.assign("a-call", CUT_OFF, due_on=DUE, by=officer)
    for sheet in Assignment.objects.filter(state="given"):
        score(sheet, 2)
    assert {one.kind for one in orders.missing(first, "grant")} == {"step", "round-open"}
    closed = rounds.close("a-call", CUT_OFF, places=1, by=officer, at=AFTER)
    assert [one.application for one in closed.places] == [first.public_id, second.public_id]
    assert [steps.states(one).get("scientific") for one in (first, second, third)] == ["passed", "failed", None]
    assert orders.missing(Application.objects.get(pk=first.pk), "grant") == ()
    assert [one.kind for one in orders.missing(first, "decline")] == ["recommendation"]


def test_a_lane_is_decided_in_order_of_arrival_unless_a_reason_is_put_down(officer: Person) -> None:
    first, second = a_lane(2)
    orders.require(first, "grant")
    with pytest.raises(Conflict, match="1 came earlier and wait") as refused:
        orders.require(second, "grant")
    assert refused.value.fix.endswith("why it is decided out of order")
    with pytest.raises(UsageError, match="its reason"):
        orders.allow(second, officer, reason="")
    with pytest.raises(PolicyError):
        orders.allow(second, Person.objects.get(username="ida"), reason="Mine.")
    orders.allow(second, officer, reason="The first waits for its applicant's answer.")
    orders.require(second, "grant")
    with pytest.raises(UsageError, match="nothing stands before it"):
        orders.allow(first, officer, reason="In order anyway.")
    with pytest.raises(TypeError):
        OutOfOrder.objects.all().delete()
    first.withdraw(Person.objects.get(username="ida"))
    assert lanes.ahead(second) == (0, "")


def test_a_lane_shows_its_clock_and_how_the_promise_is_kept(officer: Person) -> None:
    made = a_lane(4, review=ALL[:1])
    monday = datetime(2026, 11, 2, 9, tzinfo=UTC)
    for number, one in enumerate(made):
        Application.objects.filter(pk=one.pk).update(
            sent_at=monday + timedelta(hours=number), decide_by=monday + timedelta(days=4, hours=number)
        )
    Application.objects.filter(pk=made[1].pk).update(state="declined", decided_at=monday + timedelta(days=1))
    Application.objects.filter(pk=made[2].pk).update(state="granted", decided_at=monday + timedelta(days=7))
    shown = lanes.shown("a-call", by=officer, at=monday + timedelta(days=3))
    assert [(one.application, one.place, one.working_days) for one in shown.waiting] == [
        (made[0].public_id, 1, 1), (made[3].public_id, 2, 1),
    ]  # fmt: skip
    assert [one.standing for one in shown.waiting] == ["due soon", "due soon"]
    assert shown.waiting[0].next_step == "administrative" and shown.promised_working_days == 4
    assert (shown.decided, shown.share_in_time, shown.out_of_order) == (2, 0.5, 2)
    assert [one.call for one in lanes.all_shown(by=officer)] == ["a-call"]
    with pytest.raises(UsageError, match="not taken in order of arrival"):
        lanes.shown("playground", by=officer)


def test_a_service_for_one_user_asks_for_no_order(officer: Person, settings: Any) -> None:
    _, second = a_lane(2, review=ALL[:1])
    with pytest.raises(Conflict):
        orders.require(second, "grant")
    settings.HANSE_EMBEDDED = True
    orders.require(second, "grant")


def test_over_the_api_steps_are_seen_by_who_does_them_and_lanes_by_officers(officer: Person) -> None:
    operator = an_operator()
    first, second = a_lane(2, review=ALL[:2])
    clients = {"officer": api(officer), "operator": api(operator), "owner": api(Person.objects.get(username="ida"))}
    path = f"applications/{first.public_id}/steps"
    assert clients["owner"].get(f"/api/v1/{path}").status_code == 404
    assert post(clients["owner"], f"{path}/administrative", {"passed": True}).status_code == 404
    assert len(clients["officer"].get("/api/v1/steps").json()["items"]) == 2
    assert post(clients["operator"], f"{path}/administrative", {"passed": True}).status_code == 403
    assert post(clients["officer"], f"{path}/administrative", {"passed": True}).json()["state"] == "passed"
    (sheet,) = clients["operator"].get("/api/v1/steps").json()["items"]
    assert sheet["step"]["kind"] == "technical" and sheet["step"]["findings"]
    assert clients["operator"].get(f"/api/v1/{path}").json()["steps"][0]["by"] == "olga"
    assert post(clients["operator"], f"{path}/technical", {"passed": False}).status_code == 422
    assert post(clients["operator"], f"{path}/technical", {"passed": True}).status_code == 200
    assert post(clients["operator"], f"{path}/technical", {"passed": True}).status_code == 409
    assert clients["owner"].get("/api/v1/lanes").status_code == 403
    assert clients["officer"].get("/api/v1/lanes/a-call").json()["waiting"][1]["application"] == second.public_id
    assert clients["officer"].get("/api/v1/lanes").json()["count"] == 1
    path = f"applications/{second.public_id}"
    assert clients["operator"].get(f"/api/v1/{path}/obstacles").status_code == 403
    left = clients["officer"].get(f"/api/v1/{path}/obstacles").json()
    assert [one["kind"] for one in left["grant"]] == ["step", "turn"]
    answered = post(clients["officer"], f"{path}/out-of-order", {"reason": "It is small."}).json()
    assert answered["excused"] == "It is small." and [one["kind"] for one in answered["grant"]] == ["step"]


@pytest.mark.django_db(transaction=True)
def test_of_two_operators_who_do_a_step_at_once_one_does() -> None:
    officers = [an_officer("olga"), an_officer("otto")]
    (one,) = a_lane(1, review=ALL[:1])

    def do(by: Person, word: StepWord) -> Any:
        return steps.do(Application.objects.select_related("call", "organisation").get(), "administrative", by, word)

    answers = at_once([lambda: do(officers[0], PASS), lambda: do(officers[1], FAIL)])
    connection.close()
    assert sorted(type(answer).__name__ for answer in answers) == ["Conflict", "Step"], answers
    assert Step.objects.get(application=one).state in ("passed", "failed")
    assert Event.objects.filter(name__startswith="review:step:").count() == 1


def test_the_desk_shows_the_first_of_a_lane_and_its_own_page_the_others_in_order(
    officer: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk_pages, "IN_LANE", 2)
    monkeypatch.setattr(desk_pages, "A_PAGE", 3)
    made = a_lane(5)
    page = Client()
    page.force_login(officer)

    def listed(address: str) -> list[str]:
        lane = page.get(address).content.decode().partition('id="lane-a-call"')[2]
        text = lane or page.get(address).content.decode()
        return sorted((one.public_id for one in made if one.public_id in text), key=text.index)

    ids = [one.public_id for one in made]
    assert listed("/review/") == ids[:2]
    assert "And 3 more" in page.get("/review/").content.decode()
    assert listed("/review/lanes/a-call/") == ids[:3] and listed("/review/lanes/a-call/?page=2") == ids[3:]
    assert "5 wait in order of arrival" in page.get("/review/lanes/a-call/").content.decode()
    assert [page.get(f"/review/lanes/{one}").status_code for one in ("playground/", "a-call/?page=x")] == [404, 404]


def test_of_an_application_whose_promise_ends_today_nobody_reads_that_days_are_left(officer: Person) -> None:
    soon, late = a_lane(2)
    moment = datetime(2026, 11, 4, 12, tzinfo=UTC)
    for one, decide_by in ((soon, moment + timedelta(hours=1)), (late, moment - timedelta(hours=1))):
        Application.objects.filter(pk=one.pk).update(decide_by=decide_by)
    shown = lanes.shown("a-call", by=officer, at=moment)
    text = " ".join(str(tables.lane(shown)).split())
    assert "since today" in text and "until today" in text and "0 working" not in text
