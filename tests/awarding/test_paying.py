"""Who pays per use: dated prices, a quote, and statements that bill every entry once and are frozen."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime

import pytest

from hanse.contracts.awarding import Price as PriceTerms
from hanse.contracts.errors import Conflict, PolicyError, UsageError
from hanse.service.access.models import Allocation
from hanse.service.awarding.models import BilledEntry, Price, Statement
from hanse.service.awarding.paying import euro, quote
from hanse.service.runs.models import UsageEntry
from tests.awarding.world import Programme
from tests.service.test_api import Http

pytestmark = pytest.mark.django_db
LATER = datetime(2028, 1, 1, tzinfo=UTC)


def priced(programme: Programme, cents: int = 150, day: date = date(2026, 1, 1)) -> None:
    Price.state(PriceTerms(machine="local", from_day=day, cents_per_gpu_hour=cents), by=programme.second)


def entry(held: Allocation, seconds: int, at: datetime) -> UsageEntry:
    return UsageEntry.objects.create(allocation=held, kind="site", accelerator_seconds=seconds, recorded_at=at)


def test_a_quote_is_by_todays_price_and_there_is_none_without_one(programme: Programme) -> None:
    with pytest.raises(UsageError, match="has no price"):
        quote(programme.application)
    priced(programme)
    told = quote(programme.application)
    assert (told.total_cents, told.pays_per_use) == (150_000, True)


def test_a_statement_bills_each_entry_once_and_corrections_go_to_the_next(programme: Programme) -> None:
    priced(programme)
    priced(programme, 200, date(2027, 1, 16))
    held, us = programme.award(), programme.world.organisation
    entry(held, 5400, datetime(2027, 1, 10, tzinfo=UTC))
    entry(held, 3600, datetime(2027, 1, 20, tzinfo=UTC))
    entry(programme.world.allocation, 9000, datetime(2027, 1, 20, tzinfo=UTC))
    january = Statement.issue(us, "2027-01", by=programme.second, at=LATER)
    assert (january.total_cents, [line["total_cents"] for line in january.lines]) == (225 + 200, [225, 200])
    entry(held, -1800, datetime(2027, 1, 31, tzinfo=UTC))
    with pytest.raises(Conflict, match="issued already"):
        Statement.issue(us, "2027-01", by=programme.second, at=LATER)
    february = Statement.issue(us, "2027-02", by=programme.second, at=LATER)
    assert february.total_cents == -100
    assert Statement.objects.get(pk=january.pk).total_cents == 425
    assert BilledEntry.objects.count() == 3
    with pytest.raises(TypeError, match="append-only"):
        january.save()
    with pytest.raises(UsageError, match="billed already"):
        priced(programme, 100, date(2027, 1, 5))


def test_a_month_that_is_not_over_or_has_no_price_is_not_billed_and_only_officers_bill(programme: Programme) -> None:
    held, us = programme.award(), programme.world.organisation
    entry(held, 60, datetime(2027, 1, 10, tzinfo=UTC))
    with pytest.raises(UsageError, match="has no price"):
        Statement.issue(us, "2027-01", by=programme.second, at=LATER)
    with pytest.raises(UsageError, match="is not over"):
        Statement.issue(us, "2027-01", by=programme.second, at=datetime(2027, 1, 31, 23, 59, tzinfo=UTC))
    with pytest.raises(PolicyError, match="only a programme officer"):
        Statement.issue(us, "2027-01", by=programme.world.founder, at=LATER)
    assert not Statement.objects.exists()


def test_a_statement_is_taken_away_as_json_and_csv_by_its_organisation_only(programme: Programme) -> None:
    priced(programme)
    programme.world.organisation.name = "=cmd|calc"
    programme.world.organisation.save()
    entry(programme.award(), 5400, datetime(2027, 1, 10, tzinfo=UTC))
    made = Statement.issue(programme.world.organisation, "2027-01", by=programme.second, at=LATER)
    founder, stranger = (
        Http(programme.world.token(one)) for one in (programme.world.founder, programme.world.stranger)
    )
    path = f"/api/v1/statements/{made.public_id}"
    assert founder.get(path).json()["total_cents"] == 225
    (line,) = csv.DictReader(io.StringIO(founder.get(f"{path}?format=csv").content.decode()))
    assert (line["gpu_hours"], line["eur"], line["organisation"]) == ("1.5000", "2.25", "'=cmd|calc")
    assert stranger.get(path).status_code == 404
    assert founder.post("/api/v1/statements", {"organisation": "x", "month": "2027-01"}).status_code == 403
    assert euro(-5) == "-0.05"
