"""Who was granted what, for everyone to read; what was used by month, for those who report it."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import Sum
from django.test import Client
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hanse.contracts.application import Declarations, WholeForm
from hanse.service.access.models import Allocation, Award, Person, Project
from hanse.service.monitoring import usage
from hanse.service.runs.models import UsageEntry
from tests.portal import seed

pytestmark = pytest.mark.django_db
DAY = date(2026, 3, 1)


def award(applicant: Person, name: str, hours: int, *, consent: bool | None = True, country: str = "DK") -> Allocation:
    whole = None if consent is None else WholeForm(declarations=Declarations(names_may_be_published=consent))
    made = seed.application(applicant, state="granted", whole=whole, country=country, title=f"Project of {name}")
    made.organisation = seed.organisation(name)
    made.save()
    project = Project.objects.create(organisation=made.organisation, name=made.form.title)
    granted = Award.objects.create(application=made, project=project, gpu_hours=hours, granted_by=applicant)
    return Allocation.objects.create(
        award=granted, project=project, machine=seed.machine(), granted_accelerator_seconds=hours * 3600, starts=DAY,
        ends=DAY + timedelta(days=90),
    )  # fmt: skip


def used(allocation: Allocation, seconds: int, at: datetime, kind: str = "measured") -> None:
    UsageEntry.objects.create(allocation=allocation, kind=kind, accelerator_seconds=seconds, recorded_at=at)


def rows(response: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode())))


@pytest.fixture
def ida() -> Person:
    return seed.person("ida", organisation=seed.organisation())


def test_the_register_names_who_agreed_and_counts_everybody(ida: Person, client: Client) -> None:
    used(award(ida, "Norrlyd", 100), 36_000, datetime(2026, 3, 5, tzinfo=UTC))
    award(ida, "Quiet Ltd", 300, consent=False, country="SE")
    award(ida, "Silent Ltd", 600, consent=None)
    page = client.get("/register/")
    text = page.content.decode()
    assert page.status_code == 200 and "Norrlyd" in text and "Project of Norrlyd" in text
    assert "Quiet" not in text and "Silent" not in text
    assert "1,000 GPU-hours were granted to 3 recipients in 3 awards" in text.replace("\xa0", " ")
    told = client.get("/register.json").json()
    assert told["sums"] == {"awards": 3, "recipients": 3, "granted_hours": 1000.0, "largest_share": 1.0}
    assert [(one["organisation"], one["used_hours"]) for one in told["lines"]] == [
        (None, 0), (None, 0), ("Norrlyd", 10),
    ]  # fmt: skip
    assert [one["granted_hours"] for one in rows(client.get("/register.csv"))] == ["600.0", "300.0", "100.0"]
    narrowed = client.get("/register.json", {"country": "SE"}).json()
    assert [one["kind"] for one in narrowed["lines"]] == ["start-up"] and narrowed["sums"]["granted_hours"] == 300
    assert client.get("/register.json", {"year": "2025"}).json()["lines"] == []
    assert client.get("/register/", {"mode": "none", "year": "²", "page": "x"}).status_code == 200


def test_what_was_granted_elsewhere_is_in_nobody_elses_register(ida: Person, client: Client) -> None:
    project = Project.objects.create(organisation=seed.organisation(), name="Own hours")
    Allocation.objects.create(project=project, machine=seed.machine(), granted_accelerator_seconds=3600, starts=DAY,
                              ends=DAY)  # fmt: skip
    assert client.get("/register.json").json()["lines"] == []
    assert "Nothing was granted here yet" in client.get("/register/").content.decode()


def test_the_register_costs_as_many_queries_for_a_hundred_awards_as_for_one(ida: Person, client: Client) -> None:
    counts = []
    for number in range(12):
        award(ida, f"Org {number}", 10 * (number + 1))
        if number in (0, 11):
            with CaptureQueriesContext(connection, ) as asked:  # fmt: skip
                client.get("/register/")
            counts.append(len(asked))
    assert counts[0] == counts[1] <= 15
    share = client.get("/register.json").json()["sums"]["largest_share"]
    assert share == pytest.approx(sum(range(30, 130, 10)) / sum(range(10, 130, 10)))


def test_a_name_that_a_spreadsheet_would_run_is_text(ida: Person, client: Client) -> None:
    award(ida, "=HYPERLINK(1)", 1)
    assert rows(client.get("/register.csv"))[0]["organisation"] == "'=HYPERLINK(1)"


def test_the_months_usage_is_for_officers_and_in_the_machines_own_unit(ida: Person, client: Client) -> None:
    held = award(ida, "Norrlyd", 100)
    # The last hour of February in UTC is March in Brussels.
    for at, seconds in ((datetime(2026, 2, 28, 23, 30, tzinfo=UTC), 7200), (datetime(2026, 2, 10, tzinfo=UTC), 3600)):
        used(held, seconds, at)
    used(held, -600, datetime(2026, 3, 20, tzinfo=UTC), kind="correction")
    client.force_login(ida)
    assert client.get("/monitoring/usage.csv").status_code == 403
    client.force_login(seed.person("otto", is_superuser=True))
    told = rows(client.get("/monitoring/usage.csv"))
    assert [(one["month"], one["accelerator_seconds"], one["jobs"]) for one in told] == [
        ("2026-02", "3600", "1"), ("2026-03", "6600", "1"),
    ]  # fmt: skip
    assert (told[0]["organisation"], told[0]["mode"], told[0]["gpu_hours"]) == ("Norrlyd", "playground", "1.0")
    billing = seed.machine().facts.billing
    assert told[0]["unit"] == (billing.unit if billing else "")
    only = rows(client.get("/monitoring/usage.csv", {"from": "2026-03", "to": "2026-03"}))
    assert [one["month"] for one in only] == ["2026-03"]
    for none in ("March", "0001-01", "9999-12"):
        assert client.get("/monitoring/usage.csv", {"from": none}).status_code == 400, none
        assert client.get("/monitoring/usage.csv", {"to": none}).status_code == 400, none


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries=st.lists(st.tuples(st.integers(-5000, 90_000), st.integers(0, 200 * 86_400)), max_size=12))
def test_all_months_together_are_the_ledger_to_the_second(
    django_db_blocker: Any, entries: list[tuple[int, int]]
) -> None:
    ida = Person.objects.filter(username="ida").first() or seed.person("ida", organisation=seed.organisation())
    held = award(ida, "Norrlyd", 100)
    for seconds, later_s in entries:
        at = datetime(2025, 12, 1, tzinfo=UTC) + timedelta(seconds=later_s)
        used(held, seconds, at, kind="correction" if seconds < 0 else "measured")
    told = list(usage.months())
    total = UsageEntry.objects.aggregate(total=Sum("accelerator_seconds"))["total"] or 0
    assert sum(month.accelerator_seconds for month in told) == total
    assert json.dumps([month.month for month in told]) == json.dumps(sorted(month.month for month in told))
