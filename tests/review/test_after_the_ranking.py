"""What follows a ranking: the panel's places, replies, letters, redress, the reserve list, and stand-ins."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from hanse.contracts.errors import Conflict, PolicyError, UsageError
from hanse.contracts.programme import ReviewStep
from hanse.contracts.review_steps import StepWord
from hanse.programme.review import rules
from hanse.service.access.models import Allocation, Application, Award, Membership, Person, Project
from hanse.service.access.models import Review as Decided
from hanse.service.review import chores, orders, queue, replies, reserve, rounds, steps
from hanse.service.review.models import (
    Assignment,
    Letter,
    OutOfOrder,
    Panel,
    PanelMove,
    Redress,
    Reply,
    Reviewer,
    Round,
    StandIn,
    Step,
)
from hanse.service.runs.models import Event
from tests.portal import seed
from tests.review.world import (
    AFTER,
    CUT_OFF,
    DUE,
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

pytestmark = pytest.mark.django_db
HELD = date(2026, 12, 4)
LATER = datetime(2100, 1, 1, tzinfo=UTC)


def again(one: Application) -> Application:
    return Application.objects.select_related("call", "organisation").get(pk=one.pk)


def ranked(officer: Person) -> dict[str, Any]:
    return {one.application: one for one in rounds.ranking("playground", CUT_OFF, by=officer).places}


def of(application: Application, name: str = "nora") -> Person:
    """Somebody of the organisation that applied."""
    made = seed.person(name)
    Membership.objects.create(person=made, organisation=application.organisation, role="member")
    return made


def award(application: Application, officer: Person) -> Allocation:
    """Granted outside the button: what is looked at here comes after it."""
    Application.objects.filter(pk=application.pk).update(state="granted", decided_at=AFTER, reason="Sound.")
    project = Project.objects.create(organisation=application.organisation, name="A model")
    made = Award.objects.create(
        application=application, project=project, gpu_hours=100, granted_by=officer, duration_months=3,
        starts=date(2027, 1, 1), conditions=["Civilian use only."],
    )  # fmt: skip
    return Allocation.open(
        award=made, project=project, machine=seed.machine(), granted_accelerator_seconds=360_000,
        starts=date(2027, 1, 1), ends=date(2027, 3, 31), by=officer.username,
    )  # fmt: skip


def test_the_panel_changes_places_with_reasons_beside_the_computed_ranking(officer: Person) -> None:
    first, second, third = closed_round(officer, [5, 4, 1], places=1)
    vera = seed.person("vera")
    with pytest.raises(PolicyError, match="stands in Firm 2"):
        Panel.convene(Round.objects.get(), officer, members=(of(third).username,), held_on=HELD)
    panel = Panel.convene(Round.objects.get(), officer, members=(vera.username,), held_on=HELD)
    assert [one.kind for one in orders.missing(first, "grant")] == ["panel-open"]
    with pytest.raises(UsageError, match="needs its reason"):
        panel.move(second, officer, place=1, reason=" ")
    for place in (2, 4):
        with pytest.raises(UsageError, match="in place 2 of 3"):
            panel.move(second, officer, place=place, reason="Stronger.")
    panel.move(second, officer, place=1, reason="The reviewers missed its data.")
    shown = ranked(officer)
    assert (shown[second.public_id].place, shown[second.public_id].panel_place) == (2, 1)
    assert shown[second.public_id].panel_reason == "The reviewers missed its data."
    assert [shown[one.public_id].panel_standing for one in (first, second, third)] == ["reserve", "grant", "below"]
    assert [shown[one.public_id].standing for one in (first, second, third)] == ["grant", "reserve", "below"]
    with pytest.raises(UsageError, match="minutes"):
        panel.close(officer, minutes="")
    panel.close(officer, minutes="All three were discussed.")
    with pytest.raises(Conflict, match="closed"):
        panel.move(third, officer, place=1, reason="Late.")
    with pytest.raises(Conflict, match="met already"):
        Panel.convene(Round.objects.get(), officer, members=("vera",), held_on=HELD)
    assert orders.missing(second, "grant") == ()
    assert [one.kind for one in orders.missing(first, "grant")] == ["reserve"]
    assert panel.contract().moves[0].was == 2 and PanelMove.objects.count() == 1


def test_closing_the_panel_does_its_step(officer: Person) -> None:
    call = a_call(review=(ReviewStep(kind="scientific"), ReviewStep(kind="panel")), order="ranking")
    first, second = closed_round(officer, [5, 1], places=1, call=call)
    seed.person("vera")
    panel = Panel.convene(Round.objects.get(), officer, members=("vera",), held_on=HELD)
    with pytest.raises(UsageError, match="closing the panel's meeting"):
        steps.do(first, "panel", officer, StepWord(passed=True))
    panel.close(officer, minutes="Short.")
    assert steps.states(first) == {"scientific": "passed", "panel": "passed"}
    assert steps.states(second) == {"scientific": "failed"}
    assert orders.missing(again(first), "grant") == ()


def test_applicants_see_values_without_names_and_answer_once_before_the_moment(officer: Person) -> None:
    one, other = scored_round(officer, [4, 3])
    nora, noel = of(one), of(other, "noel")
    with pytest.raises(UsageError, match="until when"):
        replies.open_for("playground", CUT_OFF, officer)
    with pytest.raises(Conflict, match="no answer is taken"):
        replies.answer(one, nora, text="They misread it.")
    assert replies.shown(one, nora).sheets == ()
    replies.open_for("playground", CUT_OFF, officer, until=LATER)
    with pytest.raises(Conflict, match="asked before"):
        replies.open_for("playground", CUT_OFF, officer, until=LATER)
    shown = replies.shown(one, nora)
    assert len(shown.sheets) == 2 and shown.may_answer and "rev0" not in shown.model_dump_json()
    assert shown.sheets[0].comments["impact"] == "well argued"
    with pytest.raises(PolicyError):
        replies.answer(one, noel, text="Not mine.")
    with pytest.raises(PolicyError):
        replies.shown(one, noel)
    with pytest.raises(Conflict, match="no answer is taken"):
        replies.answer(one, nora, text="Late.", at=LATER + timedelta(seconds=1))
    with pytest.raises(UsageError, match="1 to 8,000"):
        replies.answer(one, nora, text=" ")
    replies.answer(one, nora, text="They misread the second table.")
    with pytest.raises(Conflict, match="answered already"):
        replies.answer(one, nora, text="And the third.")
    reviewer = Assignment.objects.filter(application=one)[0].reviewer.person
    seen = replies.shown(one, reviewer)
    assert seen.text == "They misread the second table." and seen.sheets == () and seen.by == ""
    assert Event.objects.filter(name="review:reply:opened").count() == 2 and Reply.objects.count() == 1


def test_a_call_says_how_long_applicants_may_reply(officer: Person) -> None:
    call = a_call(scoring=rules.default().model_copy(update={"reply_days": 7}))
    scored_round(officer, [4], call=call)
    held = replies.open_for("a-call", CUT_OFF, officer)
    assert held.reply_until is not None and Round.objects.get().reply_until == held.reply_until
    rounds.close("a-call", CUT_OFF, places=1, by=officer, at=AFTER)
    assert [one.kind for one in orders.missing(again(Application.objects.get()), "grant")] == ["reply-open"]


@pytest.mark.parametrize(
    ("language", "says"), [("en", "was declined"), ("de", "wurde abgelehnt"), ("fr", "est refusée")]
)
def test_a_letter_is_drafted_from_the_records_edited_and_frozen_once_sent(
    officer: Person, language: str, says: str
) -> None:
    _, one = closed_round(officer, [5, 2], places=1)
    nora = of(one)
    with pytest.raises(Conflict, match="in-review"):
        Letter.draft(one, officer)
    again(one).decline(officer, reason="Below the thresholds.")
    letter = Letter.draft(one, officer, language=language)
    assert says in letter.text and "Below the thresholds." in letter.text and one.public_id in letter.text
    assert "well argued" in letter.text and "rev0" not in letter.text and "{" not in letter.text
    assert "\n\n\n" not in letter.text and "40" in letter.text
    stale = Letter.objects.get()
    letter.edit(officer, text="Dear Nora,\n\nno.", revision=letter.revision)
    with pytest.raises(Conflict, match="changed"):
        stale.edit(officer, text="Other.", revision=stale.revision)
    with pytest.raises(Conflict, match="changed the letter"):
        stale.send(officer)
    assert not Letter.seen_by(nora).exists()
    letter.send(officer)
    for act in (lambda: letter.edit(officer, text="Later.", revision=letter.revision), lambda: letter.send(officer)):
        with pytest.raises(Conflict):
            act()
    with pytest.raises(Conflict):
        Letter.draft(one, officer)
    assert Letter.seen_by(nora).get().text == "Dear Nora,\n\nno."
    assert Event.objects.get(name="officer:letter:sent").data["decision"] == "declined"


def test_the_letter_of_an_award_names_its_hours_days_and_conditions(officer: Person) -> None:
    (one,) = closed_round(officer, [5], places=1)
    award(one, officer)
    text = Letter.draft(again(one), officer).text
    for said in (
        "granted: 100 GPU-hours for 3 months, from 2027-01-01",
        "- Civilian use only.",
        "place 1",
        "100 GPU-h",
    ):
        assert said in text, text


def test_redress_is_judged_by_another_officer_and_redone_the_application_is_decided_anew(officer: Person) -> None:
    call = a_call(review=(ReviewStep(kind="administrative"),))
    (one,) = entries(1, call=call)
    nora, otto = of(one), an_officer("otto")
    steps.do(one, "administrative", officer, StepWord(passed=False, reason="No VAT number."))
    with pytest.raises(Conflict, match="is sent"):
        Redress.ask(one, nora, grounds="It has one.")
    again(one).decline(officer, reason="No VAT number.")
    declined = again(one)
    with pytest.raises(Conflict, match="could be asked for until"):
        Redress.ask(declined, nora, grounds="Late.", at=declined.decided_at + timedelta(days=32))
    with pytest.raises(PolicyError):
        Redress.ask(declined, otto, grounds="For them.")
    asked = Redress.ask(declined, nora, grounds="It stands in section 3.")
    with pytest.raises(Conflict, match="asked for already"):
        Redress.ask(declined, nora, grounds="Again.")
    with pytest.raises(PolicyError, match="who decided it"):
        asked.answer(officer, outcome="redone", reason="Fine.")
    asked.answer(otto, outcome="redone", reason="The number is there.")
    reopened = again(one)
    assert (reopened.state, reopened.decided_at, reopened.reason) == ("in-review", None, "")
    assert Step.objects.get().state == "waiting" and [kind for _, kind in queue.part(otto)[0]] == ["administrative"]
    steps.do(reopened, "administrative", otto, StepWord(passed=True))
    orders.require(reopened, "grant")
    reopened.decline(otto, reason="No room.")
    assert [one.verdict for one in Decided.objects.all()] == ["declined", "declined"]
    second = Redress.ask(again(one), nora, grounds="There is room.")
    second.answer(an_officer("olaf"), outcome="upheld", reason="There was none.")
    assert again(one).state == "declined" and OutOfOrder.objects.count() == 1
    assert [e.data["application"] for e in Event.objects.filter(name__startswith="officer:redress:")] == [
        one.public_id, one.public_id,
    ]  # fmt: skip


def test_a_redone_decision_of_a_closed_round_may_fall_against_its_ranking(officer: Person) -> None:
    call = a_call(review=(ReviewStep(kind="scientific"),), order="ranking")
    first, second = closed_round(officer, [5, 1], places=1, call=call)
    again(second).decline(officer, reason="Below the thresholds.")
    asked = Redress.ask(again(second), of(second), grounds="A reviewer was partial.")
    asked.answer(an_officer("otto"), outcome="redone", reason="He was.")
    otto = Person.objects.get(username="otto")
    steps.do(again(second), "scientific", otto, StepWord(passed=True, reason="Read again by two others."))
    orders.require(again(second), "grant")
    assert orders.missing(again(first), "grant") == ()


def test_a_place_that_is_given_up_goes_to_the_next_on_the_reserve_list(officer: Person) -> None:
    made = closed_round(officer, [5, 4, 4, 4, 1], places=2)
    winner, other, third, fourth, _ = made
    held = Round.objects.get()
    assert (reserve.state(held).free, reserve.state(held).next) == (0, ())
    assert orders.missing(third, "grant")[0].text == "It is on the reserve list, and all 2 places are held."
    allocation = award(winner, officer)
    with pytest.raises(UsageError, match="its reason"):
        reserve.free(winner, officer, reason=" ")
    now_at = reserve.free(winner, officer, reason="It moved to another machine.")
    assert (now_at.free, now_at.next) == (1, (third.public_id,))
    assert Allocation.locked(allocation.public_id).free_accelerator_seconds == 0
    with pytest.raises(Conflict, match="before"):
        reserve.free(winner, officer, reason="Again.")
    assert orders.missing(third, "grant") == ()
    assert orders.missing(fourth, "grant")[0].text == f"{third.public_id} comes before it on the reserve list."
    other.withdraw(of(other))
    assert reserve.state(held).next == (third.public_id, fourth.public_id)
    award(third, officer)
    assert reserve.state(held).next == (fourth.public_id,)
    assert rounds.ranking("playground", CUT_OFF, by=officer).free == 1
    assert Event.objects.get(name="review:reserve:next").subject_id == third.public_id


def late_review(officer: Person, **rule: Any) -> Assignment:
    call = a_call(scoring=rules.default().model_copy(update={"reviewers_each": 1, **rule}))
    entries(1, call=call)
    reviewers(2, officer)
    rounds.assign("a-call", CUT_OFF, due_on=DUE, by=officer)
    return Assignment.objects.get()


def test_a_late_review_gets_a_stand_in_that_an_officer_confirms(officer: Person) -> None:
    late = late_review(officer)
    days = [datetime(2026, 11, day, 12, tzinfo=UTC) for day in (15, 17, 19, 20, 21)]
    assert [chores.run(day) for day in days] == [1, 1, 0, 1, 0]  # two reminders, then a stand-in
    (proposed,) = StandIn.waiting()
    assert proposed.reviewer != late.reviewer and proposed.due_on == date(2026, 11, 27)
    with pytest.raises(PolicyError):
        proposed.confirm(late.reviewer.person)
    proposed.confirm(officer)
    with pytest.raises(Conflict, match="is replaced"):
        score(Assignment.objects.get(pk=late.pk), 5)
    after = Assignment.objects.get(state="given")
    assert after.reviewer == proposed.reviewer
    score(after, 4)
    assert rounds.close("a-call", CUT_OFF, places=1, by=officer, at=AFTER).places[0].standing == "grant"


def test_a_stand_in_is_dropped_where_the_review_comes_after_all(officer: Person) -> None:
    late = late_review(officer)
    for day in (17, 20):
        chores.run(datetime(2026, 11, day, 12, tzinfo=UTC))
    (proposed,) = StandIn.waiting()
    score(late, 3)
    assert not StandIn.waiting().exists()
    with pytest.raises(Conflict):
        proposed.confirm(officer)
    assert Assignment.objects.count() == 1 and StandIn.objects.get().state == "proposed"
    with pytest.raises(UsageError):
        proposed.dismiss(officer, reason=" ")
    proposed.dismiss(officer, reason="It came.")


def test_a_call_may_have_stand_ins_put_in_by_rule(officer: Person) -> None:
    late = late_review(officer, stand_ins="rule", stand_in_after_days=1)
    assert [chores.run(datetime(2026, 11, day, 12, tzinfo=UTC)) for day in (17, 18, 18)] == [1, 1, 0]
    assert Assignment.objects.get(pk=late.pk).state == "replaced"
    assert Assignment.objects.get(state="given").reviewer != late.reviewer
    assert Event.objects.get(name="review:stand-in:confirmed").actor == "hanse"


def test_over_the_api_an_applicant_replies_reads_the_letter_and_asks_for_redress(officer: Person) -> None:
    one, other = scored_round(officer, [4, 2])
    nora, noel = api(of(one)), api(of(other, "noel"))
    client, where = api(officer), {"call": "playground", "cut_off": CUT_OFF.isoformat()}
    assert post(nora, "reviews/replies", where).status_code == 403
    assert post(client, "reviews/replies", {**where, "until": LATER.isoformat()}).json()["reply_until"]
    path = f"applications/{one.public_id}"
    assert noel.get(f"/api/v1/{path}/reply").status_code == 404
    assert len(nora.get(f"/api/v1/{path}/reply").json()["sheets"]) == 2
    assert post(nora, f"{path}/reply", {"text": "Thank you."}).json()["text"] == "Thank you."
    assert post(nora, f"{path}/reply", {"text": "More."}).status_code == 409
    Round.objects.update(reply_until=CUT_OFF)
    assert post(client, "reviews/rounds/close", {**where, "places": 1}).status_code == 200
    seed.person("vera")
    panel = post(client, "panels", {**where, "members": ["vera"], "held_on": "2026-12-04"}).json()
    assert api(Person.objects.get(username="vera")).get("/api/v1/panels").json()["count"] == 1
    assert nora.get("/api/v1/panels").json()["count"] == 0
    move = {"application": other.public_id, "place": 1, "reason": "Its reply convinced us."}
    assert post(client, f"panels/{panel['id']}/moves", move).json()["moves"][0]["place"] == 1
    assert post(api(Person.objects.get(username="vera")), f"panels/{panel['id']}/moves", move).status_code == 403
    assert post(client, f"panels/{panel['id']}/close", {"minutes": "Done."}).json()["state"] == "closed"
    found = client.get("/api/v1/reviews/reserve", where).json()
    assert (found["places"], found["held"], found["free"]) == (1, 1, 0)
    again(one).decline(officer, reason="Another was better.")
    assert post(nora, f"{path}/letters", {"language": "fr"}).status_code == 403
    letter = post(client, f"{path}/letters", {"language": "fr"}).json()
    assert nora.get(f"/api/v1/letters/{letter['id']}").status_code == 404
    edit = {"text": "Non.", "revision": letter["revision"]}
    url = f"/api/v1/letters/{letter['id']}"
    assert client.put(url, edit, content_type="application/json").json()["text"] == "Non."
    assert client.put(url, edit, content_type="application/json").status_code == 409
    assert post(client, f"letters/{letter['id']}/send").json()["state"] == "sent"
    assert nora.get("/api/v1/letters").json()["items"][0]["text"] == "Non."
    asked = post(nora, f"{path}/redress", {"grounds": "The panel did not read it."}).json()
    assert post(noel, f"redress/{asked['id']}/withdraw").status_code == 404
    word = {"outcome": "upheld", "reason": "It did."}
    assert post(client, f"redress/{asked['id']}/answer", word).status_code == 403
    assert post(api(an_officer("otto")), f"redress/{asked['id']}/answer", word).json()["state"] == "upheld"
    assert nora.get("/api/v1/redress").json()["items"][0]["answer"] == "It did."
    assert post(client, f"applications/{other.public_id}/free-place", {"reason": "No."}).status_code == 409
    assert client.get("/api/v1/stand-ins").json()["count"] == 0 and nora.get("/api/v1/stand-ins").status_code == 403


def test_a_stand_in_is_confirmed_over_the_api(officer: Person) -> None:
    late_review(officer)
    for day in (17, 20):
        chores.run(datetime(2026, 11, day, 12, tzinfo=UTC))
    client = api(officer)
    (proposed,) = client.get("/api/v1/stand-ins").json()["items"]
    assert post(client, f"stand-ins/{proposed['id']}", {"confirm": False}).status_code == 422
    assert post(client, f"stand-ins/{proposed['id']}", {"confirm": True}).json()["state"] == "confirmed"
    assert Reviewer.objects.get(person__username=proposed["reviewer"]).assignments.get().state == "given"


@pytest.mark.django_db(transaction=True)
def test_of_two_officers_who_answer_a_redress_at_once_one_does() -> None:
    officers = [an_officer(name) for name in ("olga", "otto", "olaf")]
    (one,) = entries(1)
    again(one).decline(officers[2], reason="No.")
    asked = Redress.ask(again(one), of(one), grounds="Why?")

    def answer(by: Person, outcome: str) -> str:
        Redress.objects.get(pk=asked.pk).answer(by, outcome=outcome, reason="Looked at.")
        return outcome

    said = at_once([lambda: answer(officers[0], "redone"), lambda: answer(officers[1], "upheld")])
    connection.close()
    assert sorted(type(one).__name__ for one in said) == ["Conflict", "str"], said
    outcome = next(one for one in said if isinstance(one, str))
    assert again(one).state == ("in-review" if outcome == "redone" else "declined")
    assert Event.objects.filter(name__startswith="officer:redress:").count() == 1
