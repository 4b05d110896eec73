"""The watch's pages and panels as holder, officer and stranger meet them, and rescreening answered by a person."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, PolicyError
from hanse.service.compliance import chores
from hanse.service.compliance.models import Condition, Permit, RescreeningAnswer, RunChange
from hanse.service.compliance.rescreen import answer, rescreen
from tests.compliance.parts import Granted
from tests.compliance.test_watch import admitted, reach, under_way
from tests.reporting.test_run_report import Reader
from tests.service.fixtures import a_spec
from tests.service.test_rescreen import with_rule

pytestmark = pytest.mark.django_db


def of(person: Any) -> Client:
    client = Client()
    client.force_login(person)
    return client


def text(client: Client, path: str, status: int = 200) -> str:
    response = client.get(path)
    assert response.status_code == status, path
    found = Reader(response.content.decode())
    assert found.headings[:1] == ["h1"]
    return found.text


def test_holder_and_officer_see_conditions_and_each_has_their_own_word(granted: Granted) -> None:
    one = Condition.objects.get(award=granted.award, kind="officer")
    page = f"/conditions/{one.public_id}/"
    holder, officer = of(granted.world.founder), of(granted.world.officer)
    assert "Publish the tokenizer." in text(holder, f"/applications/{granted.application.public_id}/")
    assert "Publish the tokenizer." in text(holder, f"/allocations/{granted.allocation.public_id}/")
    assert "An officer looks at it" in text(holder, page)
    assert holder.post(page, {"evidence": ""}).status_code == 422
    assert holder.post(page, {"evidence": "https://hub.example"}).status_code == 302
    assert "https://hub.example" in text(officer, "/watch/"), "evidence waits for the officer"
    assert officer.post(page, {"do": "waived", "reason": ""}).status_code == 409
    assert officer.post(page, {"do": "met", "evidence": "Seen."}).status_code == 302
    one.refresh_from_db()
    assert (one.state, one.said_by) == ("met", "officer")
    assert of(granted.world.stranger).get(page).status_code == 404
    assert holder.get("/watch/").status_code == 404
    assert Client().get(page).status_code == 302


def test_a_permit_is_stated_on_a_page_and_confirmed_on_another(granted: Granted) -> None:
    holder, officer = of(granted.world.founder), of(granted.world.officer)
    new = f"/applications/{granted.application.public_id}/permits/new/"
    given = {
        "kind": "health-data", "number": "HDAB-7", "issuer": "A body", "purpose": "Study", "datasets": "records, more",
        "machines": "local", "valid_until": "2099-01-01",
    }  # fmt: skip
    assert "Valid until" in text(holder, new)
    assert holder.post(new, {**given, "datasets": "No Name!"}).status_code == 422
    assert holder.post(new, {**given, "valid_until": "2001-01-01"}).status_code == 409
    assert not Permit.objects.exists()
    assert holder.post(new, given).status_code == 302
    made = Permit.objects.get()
    assert made.form.datasets == ("records", "more")
    page = f"/permits/{made.public_id}/"
    assert "HDAB-7" in text(officer, "/watch/") and "To be confirmed" in text(holder, page)
    assert officer.post(page, {"do": "confirm", "reason": "Seen."}).status_code == 302
    assert officer.post(page, {"do": "confirm", "reason": "Again."}).status_code == 409
    assert "Confirmed" in text(holder, f"/applications/{granted.application.public_id}/")


def test_a_changed_run_waits_in_the_queue_with_its_new_screening(granted: Granted) -> None:
    granted.world.launch(a_spec(purpose="Sort letters"))
    admitted(granted, a_spec(purpose="Sort people"))
    one = RunChange.objects.first()
    assert one is not None and one.state == "noted"
    officer = of(granted.world.officer)
    assert "Sort people" in text(officer, "/watch/")
    page = f"/changes/{one.public_id}/"
    shown = text(officer, page)
    assert "The new screening" in shown and "Sort letters" in shown
    assert "Your word" not in text(of(granted.world.founder), page)
    assert officer.post(page, {"do": "refuse", "reason": "Not what was granted."}).status_code == 302
    assert "Not what was granted." in text(of(granted.world.founder), f"/applications/{granted.application.public_id}/")


def test_a_rescreening_is_shown_and_an_officer_s_answer_is_kept_beside_it(granted: Granted) -> None:
    rescreen(rules=with_rule())
    (one,) = granted.application.screening.rescreenings.all()
    holder, officer = of(granted.world.founder), of(granted.world.officer)
    assert "Under today's rules" in text(holder, f"/applications/{granted.application.public_id}/")
    page = f"/rescreenings/{one.pk}/"
    assert "Speaks now" in text(officer, page) and "new-rule" in text(officer, page)
    assert "A model that reads delivery notes" in text(officer, "/watch/")
    assert officer.post(page, {"do": "falls", "reason": ""}).status_code == 422
    with pytest.raises(PolicyError):
        answer(one, granted.world.founder, stands=True, reason="mine")
    assert officer.post(page, {"do": "falls", "reason": "It needs a second look."}).status_code == 302
    with pytest.raises(Conflict):
        answer(one, granted.world.officer, stands=True, reason="after all")
    assert RescreeningAnswer.objects.get().reason == "It needs a second look."
    assert "It does not stand" in text(holder, f"/applications/{granted.application.public_id}/")
    assert admitted(granted)["watch.condition"] == "deny"


def test_a_run_s_page_shows_its_computation_beside_the_thresholds(granted: Granted) -> None:
    run = under_way(granted, parameters=10**11, tokens=10**11)
    holder = of(granted.world.founder)
    assert "Responsible AI" not in text(holder, f"/runs/{run.public_id}/")
    chores.run(now())
    assert "60.0% of 10^23 FLOP" in text(holder, f"/runs/{run.public_id}/")
    reach(run, 200 * 10**9)
    chores.run(now())
    assert "passed 10^23 FLOP" in text(holder, f"/applications/{granted.application.public_id}/")


def test_everything_is_there_over_the_api_and_nothing_of_others(granted: Granted) -> None:
    def asked(person: Any, method: str, path: str, body: Any = None) -> Any:
        headers = {"HTTP_AUTHORIZATION": f"Bearer {granted.world.token(person)}"}
        call = getattr(Client(), method)
        return call(f"/api/v1/{path}", body, content_type="application/json", **headers) if body is not None else call(
            f"/api/v1/{path}", **headers
        )  # fmt: skip

    founder, officer, stranger = granted.world.founder, granted.world.officer, granted.world.stranger
    id = granted.application.public_id
    items = asked(founder, "get", f"applications/{id}/conditions").json()["items"]
    assert {one["kind"] for one in items} >= {"officer", "data"}
    one = next(item for item in items if item["kind"] == "officer")
    assert asked(founder, "post", f"conditions/{one['id']}", {"to": "met", "evidence": "x"}).status_code == 403
    assert asked(founder, "post", f"conditions/{one['id']}/evidence", {"evidence": "here"}).status_code == 200
    said = asked(officer, "post", f"conditions/{one['id']}", {"to": "met", "evidence": "seen"})
    assert said.json()["state"] == "met"
    form = {
        "kind": "personal-data", "number": "1", "issuer": "s", "purpose": "p", "datasets": ["a"], "machines": ["local"],
        "valid_until": "2099-01-01",
    }  # fmt: skip
    made = asked(founder, "post", f"applications/{id}/permits", form)
    assert made.status_code == 201
    confirmed = asked(officer, "post", f"permits/{made.json()['id']}", {"accept": True, "reason": "ok"})
    assert confirmed.json()["confirmed_by"] == "officer"
    assert asked(founder, "get", f"applications/{id}/changes").json()["items"] == []
    run = granted.world.launch()
    assert asked(founder, "get", f"runs/{run.public_id}/compute").status_code == 404
    chores.run(now())
    assert asked(founder, "get", f"runs/{run.public_id}/compute").json()["tokens"] == 0
    for path in (f"applications/{id}/conditions", f"applications/{id}/permits", f"runs/{run.public_id}/compute"):
        assert asked(stranger, "get", path).status_code == 404
    assert asked(stranger, "post", f"conditions/{one['id']}/evidence", {"evidence": "x"}).status_code == 404
