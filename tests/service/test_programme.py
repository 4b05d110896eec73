"""From an application to hours: eligibility, gate, officer, award, allocation, and the conditions on the way."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, PolicyError, UsageError
from hanse.contracts.programme import ApplicationForm
from hanse.programme import calls
from hanse.rules import gate
from hanse.service import bootstrap
from hanse.service.access.apply import submit
from hanse.service.access.awards import months_later
from hanse.service.access.models import Allocation, Application, Award, Call, Membership, Organisation, Review
from hanse.service.compliance.models import Screening
from hanse.service.runs.models import Run
from hanse.service.runs.record import record_of
from tests.reviewed import reviewed
from tests.service.fixtures import HOUR, World
from tests.service.test_api import Http, asked

pytestmark = pytest.mark.django_db


@pytest.fixture
def published(world: World) -> World:
    bootstrap.publish_calls(by="test")
    return world


def a_form(**changes: Any) -> ApplicationForm:
    """Of a start-up with public data, every question answered the harmless way."""
    harmless = {
        question.id: question.id in {"civilian-purpose", "data-rights"} for question in gate.questions(now().date())
    }
    return ApplicationForm(
        call="playground",
        organisation="Brick AI",
        organisation_kind="start-up",
        country="BE",
        title="A model that reads delivery notes",
        purpose="Reading delivery notes in eleven languages.",
        machine="local",
        gpu_hours=100,
        duration_months=2,
        contact_email="founder@example.eu",
        answers=harmless,
    ).model_copy(update=changes)


def against(form: ApplicationForm, **answers: bool) -> ApplicationForm:
    return form.model_copy(update={"answers": {**form.answers, **{k.replace("_", "-"): v for k, v in answers.items()}}})


def test_an_application_is_screened_sent_granted_and_its_hours_run(published: World) -> None:
    world = published
    sent = submit(world.founder, a_form())
    assert sent.state == "sent" and sent.decide_by > sent.sent_at
    assert sent.gate and sent.gate.verdict in {"allow", "condition"}, [f.reason for f in sent.gate.findings]
    allocation = reviewed(sent, world.officer).grant(
        world.officer, reason="Eligible and sound.", account="p200", conditions=("Report in a month.",)
    )
    granted = sent.contract()
    assert granted.state == "granted" and granted.allocation_id == allocation.public_id
    held = Allocation.objects.get(pk=allocation.pk).contract()
    assert (held.granted_accelerator_seconds, held.account) == (100 * HOUR, "p200")
    assert "Report in a month." in held.conditions
    world.allocation = allocation
    run = world.launch()
    assert "Report in a month." in world.attempt(run).ticket.ticket.conditions
    assert world.attempt(run).job.account == "p200"
    record = record_of(Run.objects.whole().get(pk=run.pk))
    assert record.application and record.application.id == sent.public_id and record.gate == sent.gate
    for name in ("user:application:sent", "officer:application:granted", "service:allocation:opened"):
        assert world.events(name) >= 1, name


def test_what_the_call_does_not_admit_is_refused_at_once_with_every_finding(published: World) -> None:
    with pytest.raises(PolicyError) as refused:
        submit(published.founder, a_form(gpu_hours=10**6, organisation_kind="university"))
    denied = [f for f in refused.value.findings if f.verdict == "deny"]
    assert len(denied) == 2 and len(refused.value.history) == 2
    assert not Application.objects.exists() and published.events("service:application:refused") == 1


def test_an_answer_to_no_question_is_named_and_leaves_nothing_behind(published: World) -> None:
    with pytest.raises(UsageError):
        submit(published.founder, against(a_form(organisation="New one"), no_such_question=True))
    assert not Application.objects.exists() and not Organisation.objects.filter(name="New one").exists()


def test_a_gate_that_denies_is_overruled_only_with_an_officers_own_reason_and_both_are_kept(published: World) -> None:
    sent = submit(published.founder, against(a_form(), civilian_purpose=False))
    reviewed(sent, published.officer)
    said = sent.gate.verdict
    assert said in {"review", "deny"}
    with pytest.raises(PolicyError, match=f"gate says {said}"):
        sent.grant(published.officer, reason="Looks fine.")
    sent.refresh_from_db()
    assert sent.state == "sent" and not Award.objects.exists()
    sent.grant(published.officer, reason="Looks fine.", override_reason="The applicant misread the question.")
    kept = Screening.objects.get(application=sent).decision
    assert (kept.overridden_from, kept.override_reason) == (said, "The applicant misread the question.")
    assert published.events("officer:screening:overruled") == 1


def test_only_an_officer_decides_and_never_for_the_own_organisation(published: World) -> None:
    sent = submit(published.founder, a_form())
    for person in (published.founder, published.stranger, published.operator):
        with pytest.raises(PolicyError, match="only a programme officer"):
            sent.grant(person, reason="x")
    Membership.objects.create(person=published.officer, organisation=published.organisation)
    for verb in (sent.grant, sent.decline):
        with pytest.raises(PolicyError, match="another officer"):
            verb(published.officer, reason="x")
    assert Application.objects.get().state == "sent"


def test_on_an_embedded_service_the_one_user_decides_for_themselves(published: World, settings: Any) -> None:
    settings.HANSE_EMBEDDED = True
    Membership.objects.create(person=published.officer, organisation=published.organisation)
    assert submit(published.officer, a_form()).grant(published.officer, reason="My own machine.")


def test_of_two_officers_who_decide_from_the_same_page_the_second_learns_of_the_first(published: World) -> None:
    sent = reviewed(submit(published.founder, a_form()), published.officer)
    first, second = (Application.objects.get(pk=sent.pk) for _ in range(2))
    first.decline(published.officer, reason="No capacity.")
    with pytest.raises(Conflict):
        second.grant(published.officer, reason="Yes.")
    assert Application.objects.get().state == "declined"
    assert Review.objects.count() == 1 and not Award.objects.exists()


def test_nothing_larger_than_the_call_allows_is_granted(published: World) -> None:
    sent = submit(published.founder, a_form())
    with pytest.raises(UsageError, match="at most 5,000"):
        sent.grant(published.officer, reason="Generous.", gpu_hours=5001)


def test_a_stranger_cannot_apply_in_the_name_of_a_registered_organisation(published: World) -> None:
    with pytest.raises(PolicyError, match="already registered"):
        submit(published.stranger, a_form(organisation="brick ai"))


def test_whoever_applies_for_a_new_organisation_owns_it(published: World) -> None:
    submit(published.stranger, a_form(organisation="Newcomer"))
    assert Membership.objects.get(organisation__name="Newcomer").role == "owner"


def test_a_published_call_is_frozen_and_publishing_again_is_harmless(published: World) -> None:
    terms = calls.load("playground")
    assert Call.publish(terms, by="x").pk == Call.latest("playground").pk
    with pytest.raises(UsageError, match="already published"):
        Call.publish(terms.model_copy(update={"max_gpu_hours": 1}), by="x")
    with pytest.raises(TypeError, match="frozen"):
        Call.latest("playground").save()
    newest = terms.version + 1
    newer = Call.publish(terms.model_copy(update={"version": newest}), by="x")
    assert Call.latest("playground").pk == newer.pk
    assert [call.version for call in Call.current() if call.call_id == "playground"] == [newest]


def test_a_machine_nobody_joined_cannot_be_awarded(published: World) -> None:
    sent = submit(published.founder, a_form(machine="moon-base"))
    with pytest.raises(UsageError, match="no machine moon-base"):
        sent.grant(published.officer, reason="x")
    assert Application.objects.get().state == "sent"


def test_the_whole_way_over_http(published: World) -> None:
    world = published
    founder, officer = Http(world.token(world.founder)), Http(world.token(world.officer))
    listed = {item["id"] for item in founder.get("/api/v1/calls").json()["items"]}
    assert "playground" in listed
    sent = founder.post("/api/v1/applications", a_form())
    assert sent.status_code == 201, sent.json()
    path = f"/api/v1/applications/{sent.json()['id']}"
    assert Http(world.token(world.stranger)).get(path).status_code == 404
    assert founder.post(f"{path}/decide", {"decision": "grant", "reason": "me"}).status_code == 403
    early = officer.post(f"{path}/decide", {"decision": "grant", "reason": "fine"})
    assert early.status_code == 409 and "administrative step is not done" in early.json()["what"]
    reviewed(Application.objects.get(), world.officer)
    granted = officer.post(f"{path}/decide", {"decision": "grant", "reason": "fine", "gpu_hours": 50})
    assert granted.json()["state"] == "granted"
    assert officer.post(f"{path}/decide", {"decision": "decline", "reason": "no"}).status_code == 409
    body = asked(world).model_copy(update={"allocation": granted.json()["allocation_id"]})
    assert founder.post("/api/v1/runs", body).status_code == 201


def test_an_allocation_whose_screening_turned_takes_no_new_run(published: World) -> None:
    sent = reviewed(submit(published.founder, a_form()), published.officer)
    published.allocation = sent.grant(published.officer, reason="fine")
    screening = Screening.objects.get()
    Screening.objects.update(decision=screening.decision.model_copy(update={"verdict": "deny"}))
    with pytest.raises(PolicyError) as refused:
        published.launch()
    assert "stands at deny" in refused.value.history[0]


@pytest.mark.parametrize(
    ("day", "months", "expected"),
    [
        (date(2026, 11, 22), 3, date(2027, 2, 22)),
        (date(2026, 11, 30), 3, date(2027, 2, 28)),
        (date(2027, 12, 31), 2, date(2028, 2, 29)),
        (date(2026, 1, 31), 12, date(2027, 1, 31)),
    ],
)
def test_months_end_where_the_month_does(day: date, months: int, expected: date) -> None:
    assert months_later(day, months) == expected
