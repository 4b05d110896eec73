"""The officers' figures: they add up to the ledger and the awards, whoever asks, however much there is."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import Sum
from django.test import Client
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hanse.contracts.application import Project as AskedProject
from hanse.contracts.application import ResearchField, WholeForm
from hanse.service.access.models import Allocation, Application, Award, Person, Project
from hanse.service.monitoring import chores, watching
from hanse.service.monitoring.models import ApplicationFacts
from hanse.service.runs.models import UsageEntry
from tests.portal import seed

pytestmark = pytest.mark.django_db
AT = datetime(2026, 6, 15, 12, tzinfo=UTC)
YEAR = watching.Wanted(first=date(2026, 1, 1), last=date(2026, 12, 1))


def award(
    by: Person, name: str, hours: int, *, kind: str = "start-up", country: str = "DK", panel: str = "", **given: Any
) -> Allocation:
    """Asked twice as much; sent on 2 March, due on the 6th, granted on the 5th, for three months from the 9th."""
    whole = WholeForm(project=AskedProject(fields=(ResearchField(panel=panel, share=1),))) if panel else None
    made = seed.application(
        by, state="granted", title=name, country=country, organisation_kind=kind, gpu_hours=2 * hours, whole=whole
    )
    days = {"sent_at": 2, "decided_at": 5, "decide_by": 6} | given
    Application.objects.filter(pk=made.pk).update(
        organisation=seed.organisation(name), **{key: datetime(2026, 3, day, tzinfo=UTC) for key, day in days.items()}
    )
    made.refresh_from_db()
    starts, ends = date(2026, 3, 9), date(2026, 6, 30)
    project = Project.objects.create(organisation=made.organisation, name=name)
    granted = Award.objects.create(
        application=made, project=project, gpu_hours=hours, granted_by=by, starts=starts, duration_months=3
    )
    Award.objects.filter(pk=granted.pk).update(granted_at=datetime(2026, 3, 5, tzinfo=UTC))
    return Allocation.objects.create(
        award=granted, project=project, machine=seed.machine(), granted_accelerator_seconds=hours * 3600,
        starts=starts, ends=ends,
    )  # fmt: skip


def used(held: Allocation, hours: float, at: datetime, kind: str = "measured") -> None:
    UsageEntry.objects.create(allocation=held, kind=kind, accelerator_seconds=int(hours * 3600), recorded_at=at)


@pytest.fixture
def ida() -> Person:
    return seed.person("ida", organisation=seed.organisation())


@pytest.fixture
def otto(client: Client) -> Client:
    client.force_login(seed.person("otto", is_superuser=True))
    return client


def test_figures_are_kept_for_their_time_and_counted_anew_after_it(ida: Person, settings: Any) -> None:
    settings.FIGURES_KEPT_S = 60
    award(ida, "Norrlyd", 300)
    first = watching.figures(YEAR, AT)
    award(ida, "Grand", 100)
    assert watching.figures(YEAR, AT + timedelta(seconds=59)) == first
    later = watching.figures(YEAR, AT + timedelta(seconds=120))
    assert (first.awards, later.awards) == (1, 2)
    assert (first.as_of, later.as_of) == ("2026-06-15T12:00:00+00:00", "2026-06-15T12:02:00+00:00")


def test_hours_are_told_by_mode_country_kind_field_and_machine_with_the_share_of_small_ones(ida: Person) -> None:
    used(award(ida, "Norrlyd", 300, panel="PE6_11"), 30, datetime(2026, 4, 1, tzinfo=UTC))
    award(ida, "Grand", 100, kind="large", country="SE")
    told = watching.figures(YEAR, AT)
    assert (told.awards, told.recipients, told.granted_hours, told.used_hours) == (2, 2, 400, 30)
    assert told.small_share == 0.75
    by = {(one.by, one.name): (one.granted_hours, one.used_hours, one.share) for one in told.shares}
    assert by["country", "DK"] == (300, 30, 0.75) and by["country", "SE"] == (100, 0, 0.25)
    assert by["kind", "large"] == (100, 0, 0.25) and by["field", "PE6_11"] == (300, 30, 0.75)
    assert by["field", ""] == (100, 0, 0.25) and by["mode", "playground"] == (400, 30, 1)
    assert [one.awards for one in told.shares if one.by == "machine"] == [2]


def test_a_call_says_how_often_it_was_oversubscribed_and_answers_are_held_against_the_promise(ida: Person) -> None:
    award(ida, "In time", 100)
    award(ida, "Late", 100, decided_at=12)
    waiting = seed.application(ida, state="sent", gpu_hours=200)
    Application.objects.filter(pk=waiting.pk).update(
        sent_at=datetime(2026, 3, 4, tzinfo=UTC), decide_by=datetime(2026, 3, 10, tzinfo=UTC)
    )
    told = watching.figures(YEAR, AT)
    (demand,) = told.demand
    assert (demand.applications, demand.asked_hours, demand.granted, demand.waiting) == (3, 600, 2, 1)
    assert demand.times == 3.0
    (answers,) = told.answers
    assert (answers.answered, answers.median_days, answers.p90_days, answers.kept, answers.late) == (2, 3, 10, 0.5, 1)
    assert answers.access_median_days == 7, "to the first day of the hours, not to the answer"


def test_use_stands_beside_what_the_awards_pattern_planned_for_the_month(ida: Person) -> None:
    held = award(ida, "Norrlyd", 1140)  # 114 days
    used(held, 50, datetime(2026, 3, 31, 21, 59, tzinfo=UTC))
    used(held, 70, datetime(2026, 3, 31, 22, 1, tzinfo=UTC))  # April in Brussels
    months = {one.month: (one.planned_hours, one.used_hours) for one in watching.figures(YEAR, AT).months}
    assert months["2026-03"] == (230, 50) and months["2026-04"] == (300, 70) and months["2026-07"] == (0, 0)
    assert sum(planned for planned, _ in months.values()) == 1140


def test_what_will_be_left_and_what_runs_dry_is_told_first_the_driest(ida: Person) -> None:
    idle, dry = award(ida, "Idle", 500), award(ida, "Dry", 100)
    used(dry, 70, AT - timedelta(days=2))
    told = watching.figures(YEAR, AT).outlook
    assert [(one.project, bool(one.runs_out_on)) for one in told] == [("Dry", True), ("Idle", False)]
    assert told[1].unused_hours == 500 and told[0].left_hours == 30
    Allocation.objects.filter(pk=idle.pk).update(suspended_at=AT)
    assert [one.project for one in watching.figures(YEAR, AT).outlook] == ["Dry"], "a suspended one uses nothing now"


def test_months_and_filters_narrow_and_what_cannot_be_read_is_said(ida: Person, otto: Client) -> None:
    award(ida, "Norrlyd", 300)
    award(ida, "Grand", 100, country="SE")
    asked = {"from": "2026-03", "to": "2026-03", "country": "se"}
    assert otto.get("/monitoring/figures.json", asked).json()["granted_hours"] == 100
    assert otto.get("/monitoring/figures.json", {"from": "2026-04", "to": "2026-05"}).json()["awards"] == 0
    for wrong in ({"from": "March"}, {"from": "2026-05", "to": "2026-04"}, {"from": "1000-01"}):
        page = otto.get("/monitoring/", wrong)
        assert page.status_code == 200 and b'role="alert"' in page.content
        assert otto.get("/monitoring/demand.csv", wrong).status_code == 400
    text = otto.get("/monitoring/", asked).content.decode().replace("\xa0", " ")
    assert "100 GPU-hours were granted in 1 award to 1 organisation" in text
    sheet = b"".join(otto.get("/monitoring/shares.csv", asked).streaming_content).decode()
    assert {one["name"] for one in csv.DictReader(io.StringIO(sheet)) if one["by"] == "country"} == {"SE"}
    assert otto.get("/monitoring/secrets.csv").status_code == 404


def test_only_officers_see_them(ida: Person, client: Client) -> None:
    addresses = ("/monitoring/", "/monitoring/figures.json", "/monitoring/months.csv")
    assert {client.get(one).status_code for one in addresses} == {302}
    client.force_login(ida)
    assert {client.get(one).status_code for one in addresses} == {403}


def test_the_page_costs_the_same_few_queries_for_many_awards_as_for_one(ida: Person, otto: Client) -> None:
    counts = []
    for number in range(10):
        award(ida, f"Org {number}", 10 + number, country="DE" if number % 2 else "FI")
        if number in (0, 9):
            with CaptureQueriesContext(connection) as asked:
                assert otto.get("/monitoring/", {"from": "2026-01", "to": "2026-12"}).status_code == 200
            counts.append(len(asked))
    assert counts[0] == counts[1] <= 15


def test_applications_from_before_the_figures_are_counted_by_the_chore(ida: Person) -> None:
    award(ida, "Norrlyd", 300)
    ApplicationFacts.objects.all().delete()
    assert chores.run(AT) == 1 and chores.run(AT) == 0
    assert watching.figures(YEAR, AT).demand[0].asked_hours == 600


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    given_out=st.lists(
        st.tuples(st.integers(1, 900), st.sampled_from(["DK", "SE", "FI"]), st.sampled_from(["sme", "large"])),
        max_size=5,
    ),
    entries=st.lists(st.tuples(st.integers(0, 4), st.integers(-9, 90), st.integers(0, 364)), max_size=9),
)
def test_every_way_of_grouping_adds_up_to_the_awards_and_the_ledger(
    given_out: list[tuple[int, str, str]], entries: list[tuple[int, int, int]]
) -> None:
    for model in (UsageEntry, Allocation, Award, Application):
        model.objects.all()._raw_delete("default") if model is UsageEntry else model.objects.all().delete()
    by = Person.objects.filter(username="ida").first() or seed.person("ida", organisation=seed.organisation())
    held = [award(by, f"Org {n}", hours, country=c, kind=k) for n, (hours, c, k) in enumerate(given_out)]
    for which, hours, day in entries:
        if which < len(held):
            at = datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(days=day)
            used(held[which], hours, at, kind="correction" if hours < 0 else "measured")
    told = watching.figures(YEAR, AT)
    ledger = (UsageEntry.objects.aggregate(sum=Sum("accelerator_seconds"))["sum"] or 0) / 3600
    for group in watching.GROUPS:
        rows = [one for one in told.shares if one.by == group]
        assert sum(one.granted_hours for one in rows) == sum(hours for hours, *_ in given_out)
        assert sum(one.used_hours for one in rows) == ledger
        assert sum(one.share for one in rows) == pytest.approx(1 if held else 0)
    assert sum(one.used_hours for one in told.months) == ledger
    assert sum(one.planned_hours for one in told.months) == pytest.approx(told.granted_hours, abs=1)
