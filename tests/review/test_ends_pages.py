"""Pages of what follows the scores: the reply, letters, redress, places, the panel, and reviewers who are late."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hanse.contracts.base import now
from hanse.contracts.programme import ReviewStep
from hanse.programme.review import rules
from hanse.service.access.models import Application, Membership, Person
from hanse.service.notices import inbox
from hanse.service.notices.models import Notice
from hanse.service.review import replies, reserve, rounds
from hanse.service.review.models import Assignment, Letter, Panel, Redress, Reply, Reviewer, Round, StandIn
from tests.portal import seed
from tests.review.test_after_the_ranking import LATER, award, late_review, of
from tests.review.test_pages import browse, said, text
from tests.review.test_pages import of as of_round
from tests.review.world import (
    CUT_OFF,
    DUE,
    GOOD,
    NAMES,
    a_call,
    an_officer,
    closed_round,
    entries,
    reviewers,
    scored_round,
)

pytestmark = pytest.mark.django_db
TOO_LONG = "x" * 2001


def told(person: Person) -> list[str]:
    inbox.tell()
    return list(Notice.objects.filter(person=person).order_by("pk").values_list("kind", flat=True))


def test_an_applicant_reads_the_reviews_without_names_and_answers_once(officer: Person) -> None:
    (one,) = scored_round(officer, [4])
    nora, page = of(one), browse(officer)
    path = f"/review/replies/{one.public_id}/"
    assert "The day is over" in said(page, of_round(one), replies="1", until="2020-01-01")
    assert "Until when may they answer?" in said(page, of_round(one), replies="1", until="")
    assert "may answer once" in said(page, of_round(one), replies="1", until="2099-01-02")
    assert "reply-opened" in told(one.applicant)
    shown = text(browse(nora).get(path))
    assert "Reviewer 1" in shown and GOOD[NAMES[0]] in shown and "rev0" not in shown and "4 of 5 points" in shown
    assert path in text(browse(nora).get(f"/applications/{one.public_id}/"))
    much = "y" * 8001
    refused = said(browse(nora), path, text=much)
    assert "It has 8,001 characters, and 8,000 are taken. Shorten it." in refused and much in refused
    assert not Reply.objects.exists()
    assert "Your answer is sent" in said(browse(nora), path, text="They misread the second table.")
    assert "An answer is given once" in said(browse(nora), path, text="And the third.")
    reviewer = Assignment.objects.all()[0].reviewer.person
    seen = text(browse(reviewer).get(path))
    assert "They misread the second table." in seen and "Reviewer 1" not in seen and "nora" not in seen
    assert browse(seed.person("outsider")).get(path).status_code == 404
    german = browse(nora).get(path, HTTP_ACCEPT_LANGUAGE="de").content.decode()
    assert "Auf die Gutachten wurde geantwortet." in german and "The reviews" not in german


def test_a_letter_is_drafted_edited_and_sent_on_its_page_and_two_who_write_lose_nothing(officer: Person) -> None:
    _, one = closed_round(officer, [5, 2], places=1)
    nora, page, other = of(one), browse(officer), browse(an_officer("otto"))
    one.decline(officer, reason="Below the thresholds.")
    assert "Draft the letter" in text(page.get(f"/applications/{one.public_id}/"))
    shown = said(page, f"/review/applications/{one.public_id}/letter/", language="de")
    assert "wurde abgelehnt" in shown
    letter = Letter.objects.get()
    path = f"/review/letters/{letter.public_id}/"
    assert browse(nora).get(path).status_code == 404
    assert "1 to 20,000 characters" in said(page, path, keep="1", revision="0", text=" ")
    assert "Kept" in said(page, path, keep="1", revision="0", text="Guten Tag, nein.")
    lost = said(other, path, send="1", revision="0", text="My own words.")
    assert "somebody else changed it" in lost and "My own words." in lost and Letter.objects.get().state == "draft"
    assert "The letter is sent" in said(page, path, send="1", revision="1", text="Guten Tag, leider nein.")
    assert "letter-sent" in told(one.applicant)
    read = text(browse(nora).get(path))
    assert "Guten Tag, leider nein." in read and '<article class="card block" lang="de">' in read
    assert path in text(browse(nora).get(f"/applications/{one.public_id}/"))
    assert "<textarea" not in text(page.get(path))


def test_redress_is_asked_on_a_page_and_answered_by_who_did_not_decide(officer: Person) -> None:
    _, one = closed_round(officer, [5, 2], places=1)
    nora, otto, path = of(one), an_officer("otto"), f"/review/redress/{one.public_id}/"
    assert "It is for applications that were declined" in text(browse(nora).get(path))
    one.decline(officer, reason="Below the thresholds.")
    assert path in text(browse(nora).get(f"/applications/{one.public_id}/"))
    assert "Redress needs its grounds" in said(browse(nora), path, ask="1", grounds=" ")
    assert "It is asked for" in said(browse(nora), path, ask="1", grounds="The second table was misread.")
    assert "redress-asked" in told(otto) and "Redress that was asked for" in text(browse(otto).get("/review/"))
    assert "You took part in the decision" in text(browse(officer).get(path))
    assert "An answer needs its reason" in said(browse(otto), path, answer="redo", reason="")
    assert "in review again" in said(browse(otto), path, answer="redo", reason="The table is clear.")
    assert "redress-answered" in told(one.applicant)
    assert Redress.objects.get().state == "redone" and Application.objects.get(pk=one.pk).state == "in-review"
    assert "The decision was taken back" in text(browse(nora).get(path))
    assert browse(seed.person("outsider")).get(path).status_code == 404


def test_places_show_who_is_next_and_a_winner_gives_its_place_up(officer: Person) -> None:
    first, second, third, _ = closed_round(officer, [5, 4, 4, 1], places=1)
    award(first, officer)
    page, path = browse(officer), f"{of_round(first)}places/"
    shown = text(page.get(path))
    assert "1 of 1 places are held" in shown and "Holds a place" in shown and shown.count("On the list") == 2
    assert "needs its reason" in said(page, path, application=first.public_id, reason=" ")
    assert "It has 2,001 characters" in said(page, path, application=first.public_id, reason=TOO_LONG)
    assert "It is not in this round" in said(page, path, application="app-nothing", reason="x")
    freed = said(page, path, application=first.public_id, reason="It has no time.")
    assert "the next on the reserve list can be awarded" in freed and "Its turn now" in freed and "Gave it up" in freed
    assert reserve.state(Round.objects.get()).next == (second.public_id,)
    assert text(page.get(f"/applications/{second.public_id}/")).count("on the reserve list") == 0
    assert "comes before it on the reserve list" in text(page.get(f"/applications/{third.public_id}/"))
    assert browse(seed.person("outsider")).get(path).status_code == 403


def test_a_panel_is_convened_moves_places_and_closes_on_its_page(officer: Person) -> None:
    _, second = closed_round(officer, [5, 4], places=1)
    vera, page, path = seed.person("vera"), browse(officer), f"{of_round(second)}panel/"
    assert browse(vera).get(path).status_code == 404
    assert "Nobody here is called nobody" in said(page, path, convene="1", members="nobody", held_on="2026-12-04")
    assert "The day cannot be read" in said(page, path, convene="1", members="vera", held_on="")
    assert "is convened" in said(page, path, convene="1", members="vera", held_on="2026-12-04")
    asked = {"move": "1", "application": second.public_id}
    assert "needs its reason" in said(page, path, **asked, place="1", reason="")
    assert "Choose one and write its place" in said(page, path, **asked, place="", reason="x")
    assert "stands in place 1" in said(page, path, **asked, place="1", reason="Stronger data.")
    assert "It was in place 2. Stronger data." in text(browse(vera).get(path))
    assert "Panels you are a member of" in text(browse(vera).get("/review/"))
    assert browse(vera).post(path, {"close": "1", "minutes": "x"}).status_code == 404
    assert "A meeting has minutes" in said(page, path, close="1", minutes="")
    assert "its places stand" in said(page, path, close="1", minutes="Both were discussed.")
    assert "Both were discussed." in text(browse(vera).get(path)) and Panel.objects.get().state == "closed"


def test_a_late_reviewer_is_reminded_once_a_day_and_replaced_with_a_reason(officer: Person) -> None:
    late = late_review(officer)
    page, path = browse(officer), f"/review/given/{late.public_id}/"
    assert path in text(page.get(of_round(late.application)))
    assert "is reminded" in said(page, path, remind="1")
    assert "They were reminded today" in said(page, path, remind="1")
    assert told(late.reviewer.person)[-1] == "review-reminder"
    (other,) = (one for one in Reviewer.objects.all() if one != late.reviewer)
    asked = {"replace": "1", "reviewer": other.person.username, "due_on": "2099-01-02"}
    assert "needs its reason" in said(page, path, **asked, reason="")
    assert "The day is over" in said(page, path, **(asked | {"due_on": "2020-01-02"}), reason="Ill.")
    assert "No reviewer is called nobody" in said(page, path, **(asked | {"reviewer": "nobody"}), reason="Ill.")
    assert "is asked instead" in said(page, path, **asked, reason="Ill.")
    late.refresh_from_db()
    assert (late.state, late.reason) == ("replaced", "Ill.")
    assert Assignment.objects.get(state="given").reviewer == other
    gone = text(browse(late.reviewer.person).get(f"/review/sheets/{late.public_id}/"))
    assert "Another reviewer was asked instead: Ill." in gone and "You declined" not in gone
    for where in (of_round(late.application), f"/applications/{late.application.public_id}/"):
        assert "Replaced" in text(page.get(where))
    assert browse(other.person).get(path).status_code == 403


def test_a_proposed_stand_in_is_confirmed_or_left_on_the_reviews_page(officer: Person) -> None:
    late = late_review(officer)
    other = next(one for one in Reviewer.objects.all() if one != late.reviewer)
    made = StandIn.objects.create(assignment=late, reviewer=other, due_on=DUE + timedelta(days=7))
    page, path = browse(officer), f"/review/given/{late.public_id}/"
    assert path in text(page.get("/review/"))
    assert "needs its reason" in said(page, path, dismiss="1", stays=" ")
    assert "stands in" in said(page, path, confirm="1")
    made.refresh_from_db()
    late.refresh_from_db()
    assert (made.state, late.state) == ("confirmed", "replaced")


def test_what_is_refused_on_a_rounds_page_is_said_at_its_field_and_keeps_what_was_typed(officer: Person) -> None:
    (made,) = entries(1)
    Reviewer.enlist(seed.person("rev0"), organisation="Firm 0 AB", keywords=(), by=officer)
    Reviewer.enlist(seed.person("rev1"), organisation="Firm 0", keywords=(), by=officer)
    page = browse(officer)
    shown = text(page.get(of_round(made)))
    assert "Certain ones" in shown and "rev1" in shown and "same organisation" in shown
    refused = said(page, of_round(made), assign="1", due_on="soon")
    assert 'value="soon"' in refused and 'id="e-due"' in refused and 'aria-invalid="true"' in refused
    asked = {"application": made.public_id, "reviewer": "rev0", "conflict": "clear"}
    refused = said(page, of_round(made), **asked, reason=TOO_LONG)
    assert f'id="e-why-{made.public_id}-rev0"' in refused and TOO_LONG in refused and "Shorten it." in refused
    assert page.post(of_round(made), {"dance": "1"}).status_code == 404


def test_the_ranking_shows_how_far_the_reviewers_lie_apart(officer: Person) -> None:
    (one,) = scored_round(officer, [4])
    low = Assignment.objects.filter(application=one)[0]
    Assignment.objects.filter(pk=low.pk).update(points=dict.fromkeys(NAMES, 2))
    shown = rounds.ranking("playground", CUT_OFF, by=officer, places=1).places[0]
    assert shown.spread == dict.fromkeys(NAMES, (2, 4)) and shown.means[NAMES[0]] == 3
    assert "2–4" in text(browse(officer).get(of_round(one)))
    rounds.close("playground", CUT_OFF, by=officer, places=1, at=datetime(2026, 12, 5, tzinfo=UTC))
    assert rounds.ranking("playground", CUT_OFF, by=officer).places[0].spread == dict.fromkeys(NAMES, (2, 4))


@pytest.mark.parametrize("blind", [False, True])
def test_reviewers_read_who_applied_unless_the_call_is_reviewed_blind(officer: Person, blind: bool) -> None:
    call = a_call(scoring=rules.default().model_copy(update={"blind": blind}))
    (made,) = entries(1, call=call)
    Application.objects.filter(pk=made.pk).update(form=made.form.model_copy(update={"organisation": "Firm 0"}))
    (who,) = reviewers(1, officer)
    sheet = Assignment.give(made, who, due_on=DUE, by=officer)
    page = browse(who.person)
    shown = text(page.get(f"/review/sheets/{sheet.public_id}/"))
    assert ("Firm 0" in shown) is not blind
    assert ("The call is reviewed blind: you do not read who applied." in shown) is blind
    form = page.get(f"/api/v1/reviews/{sheet.public_id}/form").json()
    assert (form["organisation"] == "Firm 0") is not blind and (made.form.contact_email in str(form)) is not blind


def test_no_page_of_review_asks_the_database_more_than_fifteen_times(
    officer: Person, django_assert_max_num_queries: Any
) -> None:
    made = closed_round(officer, [5, 5, 4, 4, 3, 3, 2, 1], places=3)
    steps = (ReviewStep(kind="administrative"), ReviewStep(kind="technical"))
    waits = entries(3, call=a_call(order="arrival", review=steps), cut_off=None)[0]
    winner, loser = made[0], made[-1]
    award(winner, officer)
    loser.decline(officer, reason="Below.")
    nora, otto = of(loser), an_officer("otto")
    Letter.draft(Application.objects.get(pk=loser.pk), officer)
    Redress.ask(Application.objects.get(pk=loser.pk), nora, grounds="It was misread.")
    Panel.convene(Round.objects.get(), officer, members=("otto",), held_on=now().date())
    Round.objects.update(reply_until=LATER)
    replies.shown(made[1], officer)
    letter = Letter.objects.get()
    sheet = Assignment.objects.filter(application=made[1])[0]
    Assignment.objects.filter(pk=sheet.pk).update(state="given")
    asked = (
        (officer, "/review/"), (officer, "/review/reviewers/"), (officer, "/review/rounds/"),
        (officer, of_round(winner)), (officer, f"/review/steps/{waits.public_id}/administrative/"),
        (officer, f"{of_round(winner)}places/"), (officer, f"{of_round(winner)}panel/"),
        (officer, f"/review/given/{sheet.public_id}/"), (officer, f"/review/replies/{made[1].public_id}/"),
        (officer, f"/review/letters/{letter.public_id}/"), (otto, f"/review/redress/{loser.public_id}/"),
        (nora, f"/review/redress/{loser.public_id}/"), (nora, f"/review/replies/{loser.public_id}/"),
        *((officer, f"/applications/{one.public_id}/") for one in (winner, loser, waits, made[1], made[4])),
        (nora, f"/applications/{loser.public_id}/"),
        (sheet.reviewer.person, f"/review/sheets/{sheet.public_id}/"), (sheet.reviewer.person, "/review/"),
    )  # fmt: skip
    for person, path in asked:
        client = browse(person)
        client.get(path)  # what a first look loads once is not the page's own
        with django_assert_max_num_queries(15, info=path):
            assert client.get(path).status_code == 200, path


def test_an_officer_of_the_applicants_house_sees_neither_reviewers_nor_drafts_nor_places(officer: Person) -> None:
    first, second = closed_round(officer, [5, 2], places=1)
    second.decline(officer, reason="Below.")
    letter = Letter.draft(Application.objects.get(pk=second.pk), officer)
    partial = an_officer("otto")
    Membership.objects.create(person=partial, organisation=second.organisation, role="member")
    page, sheet = browse(partial), Assignment.objects.filter(application=second)[0]
    for path in (f"/review/given/{sheet.public_id}/", f"/review/letters/{letter.public_id}/",
                 f"{of_round(first)}places/", f"{of_round(first)}panel/"):  # fmt: skip
        assert page.get(path).status_code == 404, path
        assert browse(officer).get(path).status_code == 200, path
    assert "rev0" not in text(page.get(of_round(first)))
    assert "Reviewer 1" not in text(page.get(f"/review/replies/{second.public_id}/"))
    letter.send(officer)
    assert page.get(f"/review/letters/{letter.public_id}/").status_code == 200


def test_who_declined_a_review_reads_the_application_no_more(officer: Person) -> None:
    (made,) = entries(1)
    (who,) = reviewers(1, officer)
    sheet = Assignment.give(made, who, due_on=DUE, by=officer)
    page, path = browse(who.person), f"/review/sheets/{sheet.public_id}/"
    assert made.form.purpose in text(page.get(path))
    said(page, path, decline="1", reason="I know them.")
    assert made.form.purpose not in text(page.get(path))
