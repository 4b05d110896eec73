"""Its pages: what an officer and a project see and do there, sound in every state."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from hanse.contracts.awarding import ChangeAsked
from hanse.contracts.awarding import Price as PriceTerms
from hanse.contracts.base import now
from hanse.service.access.models import Allocation, Award, Person
from hanse.service.awarding.changes import ChangeRequest
from hanse.service.awarding.models import Duty, Price, Proposal, Statement
from hanse.service.runs.models import UsageEntry
from tests.awarding.world import Programme
from tests.portal.test_pages import read

pytestmark = pytest.mark.django_db


def page(person: Person) -> Client:
    client = Client()
    client.force_login(person)
    return client


def test_an_award_is_proposed_and_confirmed_on_the_applications_page(programme: Programme) -> None:
    first, second = page(programme.world.officer), page(programme.second)
    path = f"/applications/{programme.application.public_id}/"
    assert "Propose the award" in read(first, path).text
    body = {
        "reason": "A good plan.", "grant": "", "pattern": "falling", "duration_months": 3, "starts": "2027-02-01",
        "parts": "local/gpu 600 2.5\nother 400\n", "conditions": "Tell us monthly.",
    }  # fmt: skip
    told = first.post(f"{path}decision/", body, follow=True).content.decode()
    assert "another officer confirms it" in told
    text = read(first, path).text
    assert "Take it back" in text and "Confirm it" not in text and "local/gpu: 600" in text
    assert "Delivery notes" in read(second, "/awards/").text
    proposal = Proposal.objects.get()
    done = second.post(f"/awards/proposals/{proposal.public_id}/decide/", {"confirm": ""}, follow=True)
    assert "Confirmed: it is done." in done.content.decode()
    award = Award.objects.get()
    assert (award.pattern, award.duration_months, "Tell us monthly." in award.conditions) == ("falling", 3, True)
    assert sorted(award.allocations.values_list("storage_bytes", flat=True)) == [0, 25 * 10**11]
    assert "Reports and obligations" in read(page(programme.world.founder), path).text


@pytest.mark.parametrize("line", ["local", "local many", "local -5", "local 5 x", "/ 5", "local 5 1e999"])
def test_a_line_that_is_no_machine_with_its_hours_is_named(programme: Programme, line: str) -> None:
    body = {"reason": "x", "grant": "", "parts": line}
    client = page(programme.world.officer)
    told = client.post(f"/applications/{programme.application.public_id}/decision/", body, follow=True)
    assert "is no machine with its GPU-hours" in told.content.decode()
    assert not Proposal.objects.exists()


def test_a_reason_that_is_too_long_comes_back_whole_and_nothing_is_done_with_it(programme: Programme) -> None:
    first, second = page(programme.world.officer), page(programme.second)
    path, long = f"/applications/{programme.application.public_id}/decision/", "Why.\n" + "x" * 1995 + "and the end"
    told = first.post(path, {"reason": long, "grant": "", "gpu_hours": "5"})
    text = told.content.decode()
    assert told.status_code == 422 and "2,011 characters, and 2,000 are taken" in text
    assert long in text and 'name="gpu_hours" value="5"' in text, "nothing that was typed is lost"
    assert not Proposal.objects.exists()
    first.post(path, {"reason": long[:2000], "grant": "", "gpu_hours": "5"})
    proposal = Proposal.objects.get()
    assert proposal.terms.reason == long[:2000]
    where = f"/awards/proposals/{proposal.public_id}/decide/"
    assert second.post(where, {"refuse": "", "reason": long}).status_code == 422
    proposal.refresh_from_db()
    assert (proposal.state, proposal.reason) == ("waiting", "")
    typed = ("a\r\n" * 1000)[:-2]
    second.post(where, {"refuse": "", "reason": typed})
    proposal.refresh_from_db()
    assert (proposal.state, len(proposal.reason)) == ("refused", 1999), "a line's end counts once, as in the browser"
    told = first.post(path, {"reason": "x", "grant": "", "conditions": "y" * 501}, follow=True)
    assert "a condition has 501 characters, and 500 are taken" in told.content.decode()


def test_a_request_is_sent_and_answered_on_its_page_and_a_refusal_stands_at_its_field(programme: Programme) -> None:
    held = programme.award()
    founder, officer = page(programme.world.founder), page(programme.second)
    path = f"/allocations/{held.public_id}/requests/"
    assert "Ask for longer" in read(founder, f"/allocations/{held.public_id}/").text
    wrong = {"ask": "", "kind": "extension", "months": 9, "reason": "We wait."}
    told = founder.post(path, wrong).content.decode()
    assert "The call extends by at most 3 months." in told and "We wait." in told, "nothing typed is lost"
    assert founder.post(path, wrong | {"months": 2}, follow=True).status_code == 200
    assert "Withdraw it" in read(founder, path).text
    assert "Decide: extension" in read(officer, path).text
    asked = ChangeRequest.objects.get()
    officer.post(f"/awards/requests/{asked.public_id}/decide/", {"grant": "", "reason": "Fine."})
    assert "Fine." in read(founder, path).text
    founder.post(
        f"/allocations/{held.public_id}/hold/", {"return": "", "return-gpu_hours": 5, "return-reason": "Spare"}
    )
    assert "Returned" in read(founder, path).text
    officer.post(f"/allocations/{held.public_id}/hold/", {"suspend": "", "reason": "A doubt."})
    assert "It is suspended: A doubt." in read(founder, path).text
    assert founder.post(f"/allocations/{held.public_id}/hold/", {"resume": "", "reason": "x"}).status_code == 403
    officer.post(f"/allocations/{held.public_id}/hold/", {"resume": "", "reason": "Settled."})
    assert Allocation.objects.get(pk=held.pk).suspended_at is None


def test_a_report_is_written_kept_sent_and_accepted_on_its_page(programme: Programme) -> None:
    programme.award()
    founder, officer = page(programme.world.founder), page(programme.second)
    report, evidence = Duty.objects.get(name="final-report"), Duty.objects.get(name="release-or-publish")
    path = f"/awards/duties/{report.public_id}/"
    assert "From the records" in read(founder, path).text
    founder.post(path, {"summary": "Half a", "save": ""})
    assert "Half a" in founder.get(path).content.decode()
    told = founder.post(path, {"summary": "Whole.", "send": ""}).content.decode()
    assert "A report needs its results." in told
    founder.post(path, {"summary": "Whole.", "results": "Good.", "send": ""})
    assert "Whole." in read(officer, path).text
    officer.post(f"{path}decide/", {"accept": "", "judge-reason": ""})
    assert Duty.objects.get(pk=report.pk).state == "accepted"
    bad = founder.post(f"/awards/duties/{evidence.public_id}/", {"evidence_url": "javascript:x", "send": ""})
    assert "begins with http" in bad.content.decode()
    assert "Owed by projects" in read(officer, "/awards/").text
    assert "Reports and obligations" in read(founder, "/").text
    Duty.objects.filter(pk=evidence.pk).update(due=now().date() - timedelta(days=3))
    assert "Overdue" in read(founder, "/").text


def test_a_report_is_accepted_without_a_reason_and_not_sent_back_without_one(programme: Programme) -> None:
    programme.award()
    duty = Duty.objects.get(kind="progress-report")
    Duty.objects.filter(pk=duty.pk).update(state="sent")
    client, where = page(programme.second), f"/awards/duties/{duty.public_id}/"
    field = read(client, where)
    assert "Needed to send it back or to waive it" in field.text
    for verb in ("send-back", "waive"):
        told = client.post(f"{where}decide/", {verb: "", "judge-reason": " "}, follow=True).content.decode()
        assert "this needs its reason" in told and Duty.objects.get(pk=duty.pk).state == "sent"
    client.post(f"{where}decide/", {"accept": "", "judge-reason": ""})
    assert Duty.objects.get(pk=duty.pk).state == "accepted"


def test_capacity_prices_and_statements_have_their_pages(programme: Programme) -> None:
    held, officer, founder = programme.award(), page(programme.second), page(programme.world.founder)
    wrong = officer.post("/awards/capacity/", {"machine": "local", "month": "January", "gpu_hours": 5})
    assert "Write the month like 2027-01." in wrong.content.decode()
    officer.post("/awards/capacity/", {"machine": "local", "month": "2027-01", "gpu_hours": 5000})
    assert "2027-01" in read(officer, "/awards/capacity/").text
    officer.post(
        "/awards/statements/",
        {"state": "", "price-machine": "local", "price-from_day": "2026-01-01", "price-cents_per_gpu_hour": 150},
    )
    assert Price.objects.get().cents_per_gpu_hour == 150
    month = datetime(2026, 10, 5, tzinfo=UTC)
    UsageEntry.objects.create(allocation=held, kind="site", accelerator_seconds=3600, recorded_at=month)
    us = programme.world.organisation.public_id
    officer.post("/awards/statements/", {"issue": "", "statement-organisation": us, "statement-month": "2026-10"})
    made = Statement.objects.get()
    assert "1.50" in read(founder, "/awards/statements/").text
    assert founder.get(f"/awards/statements/{made.public_id}.json").json()["total_cents"] == 150
    assert "1.50" in founder.get(f"/awards/statements/{made.public_id}.csv").content.decode()


@pytest.mark.parametrize("path", ["/awards/", "/awards/capacity/"])
def test_officers_pages_are_theirs(programme: Programme, path: str) -> None:
    assert page(programme.world.founder).get(path).status_code == 403
    assert Client().get(path).status_code == 302


def test_what_belongs_to_another_project_is_not_there(programme: Programme) -> None:
    held = programme.award()
    asked = ChangeRequest.ask(held, programme.world.founder, ChangeAsked(kind="extension", months=1, reason="x"))
    Price.state(PriceTerms(machine="local", from_day=now().date(), cents_per_gpu_hour=1), by=programme.second)
    stranger = page(programme.world.stranger)
    for path in (f"/allocations/{held.public_id}/requests/", f"/awards/duties/{Duty.objects.all()[0].public_id}/"):
        assert stranger.get(path).status_code == 404
    acts: list[tuple[str, dict[str, Any]]] = [
        (f"/awards/requests/{asked.public_id}/decide/", {"withdraw": ""}),
        (f"/allocations/{held.public_id}/hold/", {"return": "", "return-reason": "x"}),
    ]
    assert [stranger.post(path, body).status_code for path, body in acts] == [404, 404]
