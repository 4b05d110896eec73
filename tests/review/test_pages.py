"""The pages of review: what is whose to see and do, said plainly where it cannot be done."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from hanse.contracts.programme import ReviewStep
from hanse.service.access.models import Application, Membership, Person
from hanse.service.review import rounds, tables
from hanse.service.review.models import Assignment, Reviewer
from hanse.service.review.steps import Step
from tests.portal import seed
from tests.review.world import CUT_OFF, DUE, GOOD, NAMES, a_call, entries, reviewers, score, scored_round

pytestmark = pytest.mark.django_db


def browse(person: Person) -> Client:
    client = Client()
    client.force_login(person)
    return client


def text(answer: Any) -> str:
    return str(answer.content.decode().replace("\xa0", " "))


def of(application: Application) -> str:
    return f"/review/rounds/{application.call.call_id}/{tables.stamp(CUT_OFF)}/"


def said(client: Client, path: str, **posted: str) -> str:
    """What the page tells after a form was sent to it."""
    return text(client.post(path, posted, follow=True))


def test_the_address_of_a_round_is_its_cut_off_to_the_second() -> None:
    assert tables.read(tables.stamp(CUT_OFF)) == CUT_OFF
    with pytest.raises(ValueError, match="does not match"):
        tables.read("yesterday")


def test_an_officer_gives_a_round_its_reviews_and_closes_it_once_all_are_in(officer: Person) -> None:
    made = entries(2)
    reviewers(2, officer)
    page = browse(officer)
    assert "Give the reviews that are missing" in text(page.get(of(made[0])))
    assert "The day is over" in said(page, of(made[0]), assign="1", due_on="2020-01-01")
    assert "The day cannot be read" in said(page, of(made[0]), assign="1", due_on="soon")
    assert "4 reviews given" in said(page, of(made[0]), assign="1", due_on="2099-01-02")
    assert "A review of it is missing" in text(page.get(of(made[0])))
    for number, sheet in enumerate(Assignment.objects.order_by("application", "pk")):
        score(sheet, 5 if number < 2 else 4)
    shown = text(page.get(of(made[0])))
    assert "Close the round" in shown and "Ranking as it would come out now" in shown
    assert "The places are no number" in said(page, of(made[0]), close="1", places="two")
    assert "does not say how many places" in said(page, of(made[0]), close="1", places="")
    closed = rounds.close(made[0].call.call_id, CUT_OFF, by=officer, places=1, at=datetime(2026, 12, 1, tzinfo=UTC))
    assert [one.standing for one in closed.places] == ["grant", "reserve"]
    shown = text(page.get(of(made[0])))
    assert "Closed" in shown and "Recommended" in shown and "Reserve" in shown and "Close the round" not in shown


def test_a_possible_conflict_is_answered_on_the_rounds_page_with_its_reason(officer: Person) -> None:
    (made,) = entries(1)
    Reviewer.enlist(seed.person("rev0"), organisation="Firm 0 AB", keywords=(), by=officer)
    page = browse(officer)
    assert "Conflicts of interest" in text(page.get(of(made)))
    assert "lack reviewers" in said(page, of(made), assign="1", due_on="2099-01-02")
    asked = {"application": made.public_id, "reviewer": "rev0", "conflict": "clear"}
    assert "needs its reason" in said(page, of(made), **asked, reason="")
    assert "Your word is kept" in said(page, of(made), **asked, reason="Another house of that name.")
    assert "1 review given" in said(page, of(made), assign="1", due_on="2099-01-02")


def test_a_reviewer_keeps_a_half_written_sheet_sends_it_whole_and_cannot_change_it_then(officer: Person) -> None:
    (made,) = entries(1)
    (who,) = reviewers(1, officer)
    sheet = Assignment.give(made, who, due_on=DUE, by=officer)
    page, path = browse(who.person), f"/review/sheets/{sheet.public_id}/"
    assert "Model 0" in text(page.get("/review/"))
    first = NAMES[0]
    half = {f"points-{first}": "4", f"comment-{first}": "Clear."}
    assert "Only you see it until you send it" in said(page, path, keep="1", **half)
    shown = text(page.get(path))
    assert "Clear." in shown and 'value="4" checked' in shown
    refused = said(page, path, send="1", **half)
    assert "It is kept, not sent" in refused and "Clear." in refused
    assert Assignment.objects.get().state == "given"
    assert "Give 0 to 5 points" in said(page, path, send="1", **(half | {f"points-{first}": "9"}))
    whole = {f"points-{name}": "4" for name in NAMES} | {f"comment-{name}": "Clear." for name in NAMES}
    assert "Your review is sent" in said(page, path, send="1", **whole)
    assert Assignment.objects.get().state == "sent"
    assert "sent or declined before" in said(page, path, keep="1", **(whole | {f"points-{first}": "0"})).lower()
    assert Assignment.objects.get().points[first] == 4


def test_a_review_is_declined_with_a_reason_and_is_nobody_elses_page(officer: Person) -> None:
    (made,) = entries(1)
    one, other = reviewers(2, officer)
    sheet = Assignment.give(made, one, due_on=DUE, by=officer)
    path = f"/review/sheets/{sheet.public_id}/"
    for person in (other.person, officer, made.applicant):
        assert browse(person).get(path).status_code == 404
        assert browse(person).post(path, {"decline": "1", "reason": "x"}).status_code == 404
    page = browse(one.person)
    begun = {f"comment-{NAMES[0]}": "Begun."}
    assert "No reason was given" in said(page, path, decline="1", reason=" ", **begun)
    assert "Begun." in text(page.get(path)), "what was typed is kept where declining is refused"
    assert "You declined it" in said(page, path, decline="1", reason="I know them.")
    assert Assignment.objects.get().state == "declined"
    assert "I know them." in text(browse(officer).get(of(made)))


def test_an_operator_looks_through_the_technical_check_corrects_it_and_passes_it(officer: Person) -> None:
    call = a_call(review=(ReviewStep(kind="administrative"), ReviewStep(kind="technical", by="the site")))
    (made,) = entries(1, call=call, cut_off=None)
    machine = seed.machine()
    olli = seed.person("olli")
    Membership.objects.create(person=olli, organisation=machine.site.organisation, role="operator")
    Application.objects.filter(pk=made.pk).update(form=made.form.model_copy(update={"machine": machine.public_id}))
    admin, path = browse(officer), f"/review/steps/{made.public_id}/"
    assert "Administrative check" in text(admin.get("/review/"))
    assert "needs its reason" in said(admin, f"{path}administrative/", fail="1")
    assert "Administrative check of Model 0: passed" in said(admin, f"{path}administrative/", **{"pass": "1"})
    site = browse(olli)
    assert admin.get(f"{path}technical/").status_code == 404, "the site's operators do it"
    shown = text(site.get(f"{path}technical/"))
    assert "What Hanse found in the plan and the form" in shown
    assert made.form.contact_email not in shown, "the site reads what it checks, not how to reach whom"
    done = said(site, f"{path}technical/", reason="Looked at with the applicant.", **{"pass": "1"})
    assert "Technical check of Model 0: passed" in done
    assert {one.state for one in Step.objects.all()} == {"passed"}
    assert browse(made.applicant).get(f"{path}technical/").status_code == 404


def test_the_applicant_reads_where_it_stands_and_no_names(officer: Person) -> None:
    made = scored_round(officer, [5])[0]
    Membership.objects.get_or_create(person=made.applicant, organisation=made.organisation, role="owner")
    shown = text(browse(made.applicant).get(f"/applications/{made.public_id}/"))
    assert "rev0" not in shown and GOOD[NAMES[0]] not in shown
    asked = text(browse(officer).get(f"/applications/{made.public_id}/"))
    assert "rev0" in asked and "Its round" in asked


def test_what_stands_before_a_decision_is_said_and_set_aside_with_a_reason(officer: Person) -> None:
    call = a_call(order="arrival")
    _earlier, second = entries(2, call=call, cut_off=None)
    page = browse(officer)
    shown = text(page.get(f"/applications/{second.public_id}/"))
    assert "came earlier" in shown and "Before it can be granted" in shown
    assert "needs its reason" in said(page, f"/review/orders/{second.public_id}/", reason="")
    assert "Your reason is kept" in said(page, f"/review/orders/{second.public_id}/", reason="The first waits for us.")
    assert "Before it can be granted" not in text(page.get(f"/applications/{second.public_id}/"))
    assert "1. Model 0" in text(page.get("/review/"))


def test_reviewers_are_enlisted_by_their_user_name(officer: Person) -> None:
    seed.person("nora")
    page = browse(officer)
    assert "nobody here is called nobody" in said(page, "/review/reviewers/", person="nobody").lower()
    shown = said(
        page, "/review/reviewers/", person="nora", organisation="University", keywords="letters, sounds", active="on"
    )
    assert "is put down" in shown and "letters, sounds" in shown


def test_pages_of_officers_are_for_nobody_else(officer: Person) -> None:
    made = scored_round(officer, [5])[0]
    outsider = browse(seed.person("outsider"))
    assert outsider.get(of(made)).status_code == outsider.get("/review/reviewers/").status_code == 403
    assert outsider.post(f"/review/orders/{made.public_id}/", {"reason": "x"}).status_code == 404
    assert "Nothing waits for you" in text(outsider.get("/review/"))
    assert browse(officer).get("/review/rounds/a-call/nonsense/").status_code == 404
    assert Client().get("/review/").status_code == 302
