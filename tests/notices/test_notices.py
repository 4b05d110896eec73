"""Events become notices and mails: to whom, in which language, once; and the pages that show them."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest
from django.contrib.auth.models import Group
from django.test import Client, override_settings

import hanse.service
from hanse.contracts.base import now
from hanse.contracts.programme import ReviewStep
from hanse.contracts.review_steps import StepWord
from hanse.service.access.models import Allocation, Membership, Person
from hanse.service.access.people import OFFICERS
from hanse.service.compliance import conditions
from hanse.service.notices import chores, inbox, rules, texts
from hanse.service.notices.models import Cursor, Mail, Notice, Preference
from hanse.service.review import steps
from hanse.service.review.models import Assignment, Reviewer
from hanse.service.runs.models import Event
from tests.compliance.parts import grant
from tests.portal import seed
from tests.portal.test_pages import read
from tests.reporting import records
from tests.review.world import a_call, an_officer, entries
from tests.service.fixtures import make_world
from tests.service.test_sign_on import officer

pytestmark = pytest.mark.django_db
MAIL = {"MAIL_ON": True, "PUBLIC_URL": "https://hanse.example"}


@pytest.fixture
def ida() -> Person:
    return seed.person("ida", organisation=seed.organisation())


def told(person: Person) -> list[str]:
    return list(Notice.objects.filter(person=person).order_by("pk").values_list("kind", flat=True))


@override_settings(**MAIL)
def test_an_application_is_told_to_its_applicant_and_to_officers_once_however_often_one_looks(ida: Person) -> None:
    olga = officer()
    kai = seed.person("kai", organisation=seed.organisation("Elsewhere"))
    sent = seed.application(ida)
    assert inbox.tell() == 2 and inbox.tell() == 0
    assert told(ida) == ["application-sent"] and told(olga) == ["application-to-decide"] and told(kai) == []
    Cursor.objects.update(read_to=0)
    assert inbox.tell() == 0, "a cursor that was lost tells nothing twice"
    assert [mail.to for mail in Mail.objects.all()] == [ida.email], "who has no address gets the notice only"

    Event.record("officer:application:declined", sent.public_id, by="olga", reason="Too large for this call.")
    inbox.tell()
    latest = Notice.objects.filter(person=ida).first()
    assert latest and "Too large for this call." in latest.text and latest.path == f"/applications/{sent.public_id}/"


@override_settings(**MAIL)
def test_a_notice_speaks_the_language_its_reader_chose_and_mail_can_be_declined(ida: Person) -> None:
    Preference.objects.create(person=ida, language="de", mail=False)
    seed.application(ida)
    inbox.tell()
    assert "ist eingegangen" in Notice.objects.get(person=ida).title
    assert not Mail.objects.exists()


def test_a_run_is_told_to_who_launched_it_and_hours_to_all_of_the_organisation(ida: Person) -> None:
    run = seed.run(records.finished(), ida)
    mate = seed.person("mate")
    Membership.objects.create(person=mate, organisation=seed.organisation(), role="member")
    Event.record("service:run:finished", run.public_id, by="service")
    held = Allocation.objects.get()
    Event.record("tick:allocation:used-four-fifths", held.public_id, by="tick", reason="80 % of the hours are used.")
    chores.run(now())
    assert {"run-finished", "hours-low"} <= set(told(ida))
    assert told(mate) == ["hours-low"]


def test_who_joins_later_is_not_told_what_was_before(ida: Person) -> None:
    run = seed.run(records.finished(), ida)
    held = run.legs.get().allocation
    Event.record("tick:allocation:ending", held.public_id, by="tick", reason="It ends.")
    inbox.tell()
    late = seed.person("late", organisation=seed.organisation())
    assert inbox.tell() == 0 and told(late) == []


def test_another_rooms_event_names_its_readers_and_its_page(ida: Person) -> None:
    sent = seed.application(ida)
    rita = seed.person("rita")
    Event.record(
        "tick:review:reminder", "rev-abc", by="tick", to="rita", application=sent.public_id, path="/reviews/rev-abc/",
        due="4 January 2027",
    )  # fmt: skip
    inbox.tell()
    notice = Notice.objects.get(person=rita)
    assert notice.path == "/reviews/rev-abc/" and "4 January 2027" in notice.text and sent.form.title in notice.title
    assert "review-reminder" not in told(ida)


def test_an_event_seen_late_is_told_although_the_cursor_has_passed_it(ida: Person) -> None:
    first = Event.record("service:token:issued", "person-1", by="test")
    inbox.tell()
    Cursor.objects.update(read_to=first.pk + 100)
    seed.application(ida)
    assert inbox.tell() == 1


def test_unread_notices_stand_on_the_home_page_until_they_were_read(ida: Person) -> None:
    seed.application(ida)
    page = Client()
    page.force_login(ida)
    assert "was received" not in read(page, "/").text
    inbox.tell()
    assert "was received" in read(page, "/").text
    text = read(page, "/notices/").text
    assert "1 unread" in text and "was received" in text
    one = Notice.objects.get(person=ida)
    stranger = Client()
    stranger.force_login(seed.person("kai"))
    assert stranger.post("/notices/read/", {"notice": one.pk}).status_code == 404
    assert page.post("/notices/read/", {"notice": one.pk})["Location"] == one.path
    assert "was received" not in read(page, "/").text
    assert "You have read them all" in read(page, "/notices/").text
    page.post("/notices/preference/", {"language": "fr", "mail": "on"})
    assert Preference.of(ida).language == "fr"


def test_notices_are_read_through_the_api_too(ida: Person) -> None:
    seed.application(ida)
    inbox.tell()
    page = Client()
    page.force_login(ida)
    (one,) = page.get("/api/v1/notices").json()["items"]
    assert one["kind"] == "application-sent" and one["read_at"] is None
    assert page.post(f"/api/v1/notices/{one['id']}/read").json()["read_at"]
    assert page.post("/api/v1/notices/999999/read").status_code == 404
    assert "No notice yet" in read(_of("new"), "/notices/").text


def _of(name: str) -> Client:
    client = Client()
    client.force_login(seed.person(name))
    return client


def test_what_the_watch_sees_is_told_to_the_people_of_the_award_and_to_officers(ida: Person) -> None:
    otto = seed.person("otto")
    otto.groups.add(Group.objects.get_or_create(name=OFFICERS)[0])
    asked = seed.application(ida, state="granted")
    Event.record("service:compute:near", asked.public_id, by="watch", reason="80 % of 1e23 FLOP.")
    Event.record("tick:permit:ended", asked.public_id, by="tick", reason="It ended yesterday.")
    inbox.tell()
    for person, kinds in ((ida, {"compute-near", "permit-ended"}), (otto, {"compute-near", "permit-ended"})):
        told = Notice.objects.filter(person=person, kind__in=kinds)
        assert {one.kind for one in told} == kinds, person
    assert "80 % of 1e23 FLOP." in Notice.objects.get(person=ida, kind="compute-near").text


RECORDED = re.compile(r"""(?:Event\.record\(|event=)\s*f?"([^"]*)\"""")


def test_every_event_that_is_recorded_is_told_to_somebody_or_silent_for_a_reason() -> None:
    names = {
        name
        for path in (Path(hanse.service.__file__).parent).rglob("*.py")
        for name in RECORDED.findall(path.read_text("utf-8"))
    }
    assert len(names) > 60
    lost = set()
    for name in names:
        subject, _, action = name.partition(":")[2].partition(":")
        told = name.partition(":")[2] in rules.RULES
        if "{" in action:
            told = any(one.startswith(f"{subject}:") for one in rules.RULES)
        if not told and f"{subject}:{action}" not in rules.SILENT and f"{subject}:" not in rules.SILENT:
            lost.add(name)
    assert not lost, f"give each a rule, or a reason in SILENT: {sorted(lost)}"
    for kind in {rule.kind for told in rules.RULES.values() for rule in told}:
        assert all(kind in texts.of(language) for language in texts.LANGUAGES), kind


def test_a_reviewer_is_told_of_a_review_and_led_to_its_sheet(ida: Person) -> None:
    olga, nora = an_officer(), seed.person("nora")
    made = seed.application(ida, state="sent", title="Letters")
    given = Assignment.give(
        made, Reviewer.enlist(nora, organisation="Elsewhere", keywords=(), by=olga), due_on=date(2099, 1, 2), by=olga
    )
    inbox.tell()
    (told,) = Notice.objects.filter(person=nora)
    assert told.title == "Letters is yours to review" and told.path == f"/review/sheets/{given.public_id}/"


def test_a_condition_that_is_settled_names_its_project_and_leads_to_its_page(ida: Person) -> None:
    granted = grant(make_world())
    one = conditions.Condition.objects.create(award=granted.award, key="k", kind="officer", text="Publish it.")
    one.become("waived", by=granted.world.officer.username, reason="Not needed.", evidence="", source="officer")
    inbox.tell()
    told = Notice.objects.filter(kind="condition-answered", person=granted.world.founder).get()
    assert granted.application.form.title in told.title and "Not needed." in told.text
    assert told.path == f"/conditions/{one.public_id}/"


def test_the_sites_operators_are_told_that_a_technical_check_waits(ida: Person) -> None:
    olga, olli, machine = an_officer(), seed.person("olli"), seed.machine()
    Membership.objects.create(person=olli, organisation=machine.site.organisation, role="operator")
    call = a_call(review=(ReviewStep(kind="administrative"), ReviewStep(kind="technical", by="the site")))
    (made,) = entries(1, call=call, cut_off=None)
    steps.do(made, "administrative", olga, StepWord(passed=True))
    inbox.tell()
    told = Notice.objects.get(person=olli, kind="step-technical")
    assert told.path == f"/review/steps/{made.public_id}/technical/" and "Model 0" in told.title
    assert not Notice.objects.filter(kind="step-technical").exclude(person=olli).exists()
