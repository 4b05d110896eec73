"""Reports and obligations: due by the call, filled from the records, settled by an officer, reminded of, blocking."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from hanse.contracts.awarding import DutyAnswers
from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, PolicyError, UsageError
from hanse.service import bootstrap
from hanse.service.access.apply import submit
from hanse.service.awarding import chores, duties
from hanse.service.awarding.models import Duty, Reminder
from hanse.service.runs.models import UsageEntry
from tests.awarding.world import TERMS, Programme
from tests.service.test_api import Http
from tests.service.test_programme import a_form

pytestmark = pytest.mark.django_db
WRITTEN = DutyAnswers(summary="It reads.", results="Eleven languages.")


def test_an_award_brings_the_duties_of_its_call_each_with_its_day(programme: Programme) -> None:
    programme.award(starts=date(2027, 1, 31), duration_months=2)
    told = {one.name: (one.kind, one.due) for one in Duty.objects.all()}
    assert told == {
        "progress-report": ("progress-report", date(2027, 3, 1)),
        "final-report": ("final-report", date(2027, 6, 30)),
        "release-or-publish": ("obligation", date(2028, 1, 31)),
        "acknowledge": ("obligation", None),
    }
    assert len(told) == len(TERMS.obligations)


def test_a_report_is_filled_from_the_records_sent_sent_back_and_accepted(programme: Programme) -> None:
    held = programme.award()
    UsageEntry.correct(held, 7200, by="test", reason="Used.")
    report, founder = Duty.objects.get(name="final-report"), programme.world.founder
    shown = report.contract().figures
    assert shown is not None and (shown.used_accelerator_seconds, shown.by_machine) == (7200, {"local": 7200})
    with pytest.raises(UsageError, match="needs its results"):
        report.send(founder, DutyAnswers(summary="It reads."))
    report.save_draft(founder, DutyAnswers(summary="It re"))
    report.send(founder, WRITTEN)
    UsageEntry.correct(held, 3600, by="test", reason="Later.")
    assert report.contract().figures.used_accelerator_seconds == 7200, "as it was when it was sent"  # type: ignore[union-attr]
    with pytest.raises(UsageError, match="cannot be edited"):
        Duty.objects.get(pk=report.pk).save_draft(founder, WRITTEN)
    with pytest.raises(PolicyError, match="only a programme officer"):
        report.accept(founder)
    report.send_back(programme.second, reason="Say how well.")
    report.send(founder, WRITTEN)
    report.accept(programme.second)
    with pytest.raises(Conflict):
        report.waive(programme.second, reason="Late.")
    assert programme.world.events("user:duty:sent") == 2


def test_an_obligation_is_met_by_evidence_that_an_officer_confirms_or_is_waived_with_a_reason(
    programme: Programme,
) -> None:
    programme.award()
    release, named = (Duty.objects.get(name=name) for name in ("release-or-publish", "acknowledge"))
    with pytest.raises(UsageError, match="needs its evidence"):
        release.send(programme.world.founder, DutyAnswers(evidence_url=""))
    evidence = DutyAnswers(evidence_url="https://example.eu/model", evidence_sha256="a" * 64)
    release.send(programme.world.founder, evidence)
    release.accept(programme.second)
    with pytest.raises(UsageError, match="needs its reason"):
        named.waive(programme.second, reason="")
    named.waive(programme.second, reason="The programme has no name yet.")
    assert (release.state, named.state) == ("accepted", "waived")


def test_each_stage_is_reminded_of_once_however_often_the_tick_comes(programme: Programme) -> None:
    programme.award()
    report = Duty.objects.get(name="final-report")
    assert report.due is not None
    for before in (40, 29, 28, 7, 1, -1, -5):
        at = now() + (report.due - now().date()) - timedelta(days=before)
        chores.run(at)
        chores.run(at)
    assert list(Reminder.objects.filter(duty=report).values_list("stage", flat=True)) == [
        "30-days", "7-days", "overdue",
    ]  # fmt: skip


def test_what_is_overdue_keeps_its_organisation_from_applying_until_it_is_settled_or_policy_is_other(
    programme: Programme, settings: Any
) -> None:
    bootstrap.publish_calls(by="test")
    programme.award()
    report = Duty.objects.get(name="progress-report")
    report.set_due(programme.second, now().date() - timedelta(days=1), reason="Sooner.")
    with pytest.raises(PolicyError, match="owes something of an earlier award: progress-report"):
        submit(programme.world.founder, a_form())
    settings.HANSE_OVERDUE_BLOCKS = "0"
    assert submit(programme.world.founder, a_form())
    settings.HANSE_OVERDUE_BLOCKS = "1"
    report.send(programme.world.founder, WRITTEN)
    duties.require_none_overdue(programme.world.organisation)


def test_duties_over_http_are_their_projects_and_the_officers(programme: Programme) -> None:
    programme.award()
    founder, officer, stranger = (
        Http(programme.world.token(one))
        for one in (programme.world.founder, programme.second, programme.world.stranger)
    )
    one = next(duty for duty in founder.get("/api/v1/duties").json()["items"] if duty["name"] == "final-report")
    path = f"/api/v1/duties/{one['id']}"
    assert stranger.get(path).status_code == 404
    assert founder.post(f"{path}/send", WRITTEN).json()["state"] == "sent"
    back = officer.post(f"{path}/decide", {"decision": "send-back", "reason": "More."}).json()
    assert (back["state"], back["answer"]) == ("sent-back", "More.")
    assert founder.post(f"{path}/send", {"evidence_url": "javascript:alert(1)"}).status_code == 422
    assert officer.post(f"{path}/due", {"due": "2031-01-01", "reason": "Ill."}).json()["due"] == "2031-01-01"
