"""The officers' pages and the API of imports: upload, preview, telling organisations apart, confirmation."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from hanse.contracts.imports import ImportBatch
from hanse.service.access.models import Allocation, Person
from hanse.service.imports.batches import Batch
from hanse.service.imports.models import ImportedAward
from hanse.service.notices.models import Viewing
from tests.awarding.world import Programme
from tests.imports.rows import a_file
from tests.imports.test_bringing_in import LATER, TODAY, asked, brought, row
from tests.service.test_api import Http

pytestmark = pytest.mark.django_db
NOW = {"starts": TODAY.isoformat(), "ends": LATER.isoformat(), "organisation": "Norrlyd", "country": "SE"}


def signed_in(person: Person) -> Client:
    client = Client()
    client.force_login(person)
    return client


def upload(client: Client, text: str, **more: str) -> Any:
    file = SimpleUploadedFile("awards.csv", text.encode(), content_type="text/csv")
    return client.post("/awards/imports/", {"file": file, **more}, follow=True)


def test_an_officer_uploads_a_file_sees_every_row_and_another_brings_it_in(programme: Programme) -> None:
    first, second = signed_in(programme.world.officer), signed_in(programme.second)
    page = upload(first, a_file(NOW, NOW | {"reference": "b", "amount": "40.000"})).content.decode()
    batch = Batch.objects.get()
    assert "2\u00a0rows: 1 new, 1 refused." in page
    assert "Opens 5,000 GPU-hours" in page
    assert "40.000 can be read as 40.000 or as 40000" in page
    assert "Bring it in" not in page, "who prepared it does not confirm it"
    there = f"/awards/imports/{batch.public_id}/"
    assert there in second.get("/awards/").content.decode(), "it stands on the desk"
    seen = second.get(there)
    assert "Bring it in" in seen.content.decode()
    done = second.post(f"{there}decide/", {"confirm": "", "seen": seen.context["report"].seen}, follow=True)
    assert "It is brought in." in done.content.decode()
    held = Allocation.objects.get(imported_part__isnull=False)
    assert f"{held.granted_accelerator_seconds / 3600:,.0f}" == "5,000"
    assert "Hand these links over" in done.content.decode(), "this service sends no mail"
    assert Viewing.objects.filter(what="import of awards", subject_id=batch.public_id, viewer="second").exists()
    shown = signed_in(programme.second).get(f"/applications/{held.award.application.public_id}/").content.decode()
    assert "Decided elsewhere" in shown
    assert "Comes later" not in shown, "no review of it is awaited"
    assert "eurohpc-" not in second.get("/officer/calls/").content.decode(), "nobody amends a call of another programme"
    again = upload(first, a_file(NOW)).content.decode()
    assert "Nothing is to be brought in" in again


def test_a_file_that_is_none_is_refused_at_its_field(programme: Programme) -> None:
    page = upload(signed_in(programme.world.officer), "source,refrence\n").content.decode()
    assert "There is no column refrence (awards.csv, line 1)." in page
    assert "Did you mean reference?" in page
    assert not Batch.objects.exists()


def test_who_prepared_it_tells_near_names_apart_on_the_page(programme: Programme) -> None:
    client = signed_in(programme.world.officer)
    page = upload(client, a_file(NOW | {"organisation": "Brick AI GmbH"})).content.decode()
    assert "Which organisation is Brick AI GmbH?" in page
    batch = Batch.objects.get()
    told = {"line": "2", "organisation": programme.world.organisation.public_id}
    page = client.post(f"/awards/imports/{batch.public_id}/choose/", told, follow=True).content.decode()
    assert "It is Brick AI here." in page
    wrong = client.post(f"/awards/imports/{batch.public_id}/choose/", {"line": "x"}, follow=True)
    assert "Choose one of the organisations" in wrong.content.decode()


def test_the_report_is_a_sheet_in_which_no_cell_is_a_formula(programme: Programme) -> None:
    evil = '=HYPERLINK("http://x.example";"click")'
    upload(signed_in(programme.world.officer), a_file(NOW | {"organisation": evil, "reference": "@SUM(A1)"}))
    sheet = signed_in(programme.second).get(f"/awards/imports/{Batch.objects.get().public_id}.csv")
    (line,) = csv.DictReader(io.StringIO(b"".join(sheet.streaming_content).decode()))
    assert line["organisation"].startswith("'=")
    assert line["reference"].startswith("'@")
    template = signed_in(programme.second).get("/awards/imports/awards.csv").content.decode()
    assert template.startswith("source,reference,")


def test_the_pages_are_for_officers(programme: Programme) -> None:
    prepared = Batch.prepare(programme.world.officer, asked(row()))
    for path in ("", "awards.csv", f"{prepared.id}/", f"{prepared.id}.csv"):
        assert signed_in(programme.world.founder).get(f"/awards/imports/{path}").status_code == 403
        assert Client().get(f"/awards/imports/{path}").status_code == 302


def test_the_api_previews_prepares_and_confirms(programme: Programme) -> None:
    first, second = (Http(programme.world.token(one)) for one in (programme.world.officer, programme.second))
    body = asked(row())
    preview = ImportBatch.model_validate_json(first.post("/api/v1/imports/preview", body).content)
    assert (preview.id, preview.report and preview.report.counts) == (None, {"create": 1})
    assert not Batch.objects.exists()
    prepared = ImportBatch.model_validate_json(first.post("/api/v1/imports", body).content)
    path = f"/api/v1/imports/{prepared.id}"
    assert prepared.report is not None
    own = first.post(f"{path}/decide", {"decision": "confirm"})
    assert (own.status_code, own.json()["what"]) == (403, "who prepared it does not confirm it")
    stale = second.post(f"{path}/decide", {"decision": "confirm", "seen": "0" * 64})
    assert stale.status_code == 409
    done = second.post(f"{path}/decide", {"decision": "confirm", "seen": prepared.report.seen})
    assert done.json()["state"] == "confirmed"
    assert ImportedAward.objects.count() == 1
    listed = second.get("/api/v1/imports").json()
    assert [(one["id"], one["report"]) for one in listed["items"]] == [(prepared.id, None)]
    founder = Http(programme.world.token(programme.world.founder))
    assert founder.get(path).status_code == 403


def test_who_holds_an_imported_award_reads_it_in_their_language(programme: Programme) -> None:
    brought(programme, row(organisation="Brick AI"))
    brought(programme, row(organisation="Brick AI", amount=6000))
    application = ImportedAward.objects.get().award.application
    client = signed_in(programme.world.founder)
    for language, words in (
        ("de", ("Anderswo entschieden, von eurohpc", "Entschieden von eurohpc, Kennzeichen EHPC-AIF-2026FL01-012",
                "Die Zuteilung wurde hier übernommen", "Wie dort angegeben")),
        ("fr", ("Décidé ailleurs, par eurohpc", "Décidé par eurohpc, référence EHPC-AIF-2026FL01-012",
                "L’attribution a été reprise ici", "Comme indiqué là où")),
    ):  # fmt: skip
        page = client.get(f"/applications/{application.public_id}/", headers={"Accept-Language": language})
        for said in words:
            assert said in page.content.decode(), said
        held = application.award.allocations.get()
        asked_of = client.get(f"/allocations/{held.public_id}/requests/", headers={"Accept-Language": language})
        more = {"de": "GPU-Stunden mehr", "fr": "heures GPU de plus"}[language]
        assert f"000 {more}" in asked_of.content.decode().replace("\u00a0", " ")
