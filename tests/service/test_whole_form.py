"""The whole form on the service: complete or refused, bound to its call's version, in its round, under its cap."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hanse.cli.apply_draft import save
from hanse.cli.main import app
from hanse.contracts.application import Draft
from hanse.contracts.errors import Conflict, PolicyError, UsageError
from hanse.contracts.programme import ApplicationForm
from hanse.programme import calls, drafts
from hanse.rules import gate
from hanse.service import bootstrap
from hanse.service.access.apply import submit
from hanse.service.access.models import Application, Call
from tests.programme.test_form import DRAFT, GROUP, with_
from tests.service.fixtures import World
from tests.service.test_api import Http
from tests.service.test_programme import a_form

pytestmark = pytest.mark.django_db
FAST = calls.load("fast-lane")


@pytest.fixture
def published(world: World) -> World:
    bootstrap.publish_calls(by="test")
    return world


def a_draft(**changes: Any) -> Draft:
    """A complete one, with every question of the gate answered the harmless way."""
    return DRAFT.model_copy(update={"answers": a_form().answers, "organisation": "Norrlyd", **changes})


def complete(**changes: Any) -> ApplicationForm:
    return drafts.form_of(a_draft(**changes), FAST)


def test_the_whole_form_is_stored_with_the_version_it_is_bound_to(published: World) -> None:
    sent = submit(published.founder, complete())
    kept = Application.objects.get(pk=sent.pk)
    assert kept.form.whole == DRAFT.whole
    assert kept.contract().call_version == FAST.version
    newer = FAST.model_copy(update={"version": FAST.version + 1, "max_gpu_hours": 45_000})
    Call.publish(newer, by="test")
    again = Application.objects.get(pk=sent.pk)
    assert again.call.terms == FAST and again.contract().call_version == FAST.version
    assert kept.contract().form.call_version == FAST.version


def test_a_call_that_wants_sections_takes_no_short_form(published: World) -> None:
    with pytest.raises(UsageError, match="Project: Missing: the scientific case") as refused:
        submit(published.founder, a_form(call="fast-lane", gpu_hours=20_000))
    assert "more after this one" in refused.value.fix
    assert not Application.objects.exists()


def test_a_form_written_for_an_older_version_names_what_was_amended(published: World) -> None:
    Call.publish(FAST.model_copy(update={"version": FAST.version + 1, "max_gpu_hours": 45_000}), by="test")
    with pytest.raises(Conflict, match="the call was amended") as refused:
        submit(published.founder, complete())
    assert "max_gpu_hours" in refused.value.fix
    assert not Application.objects.exists()


def test_a_wrong_vat_number_in_a_form_sent_past_the_client_is_refused_with_its_field(published: World) -> None:
    wrong = with_("whole.organisation.vat_number", "SE556012579002", a_draft()).whole
    with pytest.raises(UsageError, match="cannot be a VAT number of SE") as refused:
        submit(published.founder, complete().model_copy(update={"whole": wrong}))
    assert refused.value.where == "whole.organisation.vat_number"


def test_an_application_stands_in_its_round_and_the_answer_is_promised_from_the_cut_off(published: World) -> None:
    terms = calls.load("benchmark").model_copy(update={"id": "bench-here", "sections": ()})
    Call.publish(terms, by="test")
    sent = submit(published.founder, a_form(call="bench-here", gpu_hours=1000)).contract()
    assert sent.sent_at and sent.cut_off and sent.decide_by
    assert sent.sent_at < sent.cut_off < sent.decide_by


def test_a_call_with_a_cap_takes_so_many_and_a_withdrawal_makes_room(published: World) -> None:
    terms = calls.load("playground").model_copy(update={"id": "capped", "version": 1, "max_entries": 2})
    Call.publish(terms, by="test")
    first = submit(published.founder, a_form(call="capped"))
    Call.publish(terms.model_copy(update={"version": 2}), by="test")
    submit(published.founder, a_form(call="capped"))
    with pytest.raises(PolicyError, match="takes 2 applications"):
        submit(published.founder, a_form(call="capped"))
    assert Application.objects.count() == 2
    first.withdraw(published.founder)
    assert submit(published.founder, a_form(call="capped")).state == "sent"


def test_a_published_call_cannot_be_deleted(published: World) -> None:
    with pytest.raises(TypeError, match="frozen"):
        Call.latest("playground").delete()


def test_calls_that_are_over_are_not_published(published: World) -> None:
    assert {call.call_id for call in Call.current()} == set(calls.ids())


def test_over_http_a_call_is_suggested_a_draft_checked_and_an_old_version_read(published: World) -> None:
    founder = Http(published.token(published.founder))
    need = {"gpu_hours": 40_000, "organisation_kind": "start-up", "country": "SE", "purpose": "train-ai"}
    routes = founder.post("/api/v1/calls/suggest", need).json()["routes"]
    assert routes[0]["call"] == "fast-lane" and routes[0]["fit"] == "fits"
    assert all(route["why_not"] for route in routes if route["fit"] != "fits")
    lacking = founder.post("/api/v1/applications/check", Draft(call="fast-lane")).json()
    assert {"section": "Compute", "field": "whole.compute.gpu_hours", "message": "Missing: how many GPU-hours.",
            "kind": "missing"} in lacking["gaps"]  # fmt: skip
    whole = founder.post("/api/v1/applications/check", a_draft()).json()
    assert whole["gaps"] == [] and whole["call_version"] == FAST.version and "working days" in whole["promise"]
    assert {finding["verdict"] for finding in whole["findings"]} == {"allow"}
    assert not Application.objects.exists()
    Call.publish(FAST.model_copy(update={"version": FAST.version + 1}), by="test")
    path = f"/api/v1/calls/fast-lane/versions/{FAST.version}"
    assert founder.get(path).json() == FAST.model_dump(mode="json")
    assert founder.get("/api/v1/calls/fast-lane/versions/77").status_code == 404
    sent = founder.post("/api/v1/applications", complete())
    assert sent.status_code == 409 and "amended" in sent.json()["what"]


def test_the_figures_that_make_no_sme_are_a_finding_over_http(published: World) -> None:
    big = GROUP.enterprises[0].model_copy(
        update={"accounts": (GROUP.enterprises[0].accounts[0].model_copy(update={"staff": 900}),)}
    )
    draft = with_("whole.organisation.group", GROUP.model_copy(update={"enterprises": (big,)}), a_draft())
    with pytest.raises(PolicyError) as refused:
        submit(published.founder, drafts.form_of(draft, FAST))
    assert any("is a large enterprise" in one for one in refused.value.history)


def test_every_question_of_the_gate_is_known_to_these_tests() -> None:
    from hanse.contracts.base import now

    assert set(a_draft().answers) == {question.id for question in gate.questions(now().date())}


def test_an_officer_publishes_a_call_from_a_pattern_and_amends_it_version_by_version(published: World) -> None:
    founder, officer = (Http(published.token(one)) for one in (published.founder, published.officer))
    pattern = calls.load("large-ai-grand-challenge")
    ours = pattern.model_copy(update={"id": "baltic-challenge", "offered": True, "max_entries": 94, "winners": 2})
    assert founder.post("/api/v1/calls", ours).status_code == 403
    assert officer.post("/api/v1/calls", ours).status_code == 201
    assert officer.post("/api/v1/calls", ours).status_code == 409
    amended = ours.model_copy(update={"version": 2, "prize_eur": 500_000})
    assert officer.post("/api/v1/calls", amended).json()["prize_eur"] == 500_000
    assert Call.version_of("baltic-challenge", 1).terms == ours
    wrong = amended.model_copy(update={"version": 3, "min_gpu_hours": 10**9})
    assert officer.post("/api/v1/calls", wrong).status_code == 422
    assert submit(published.founder, a_form(call="baltic-challenge", duration_months=12)).state == "sent"


@pytest.mark.django_db(transaction=True)
def test_a_draft_is_sent_from_the_command_line_once_it_is_complete(
    shared_world: World, live_server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world = shared_world
    bootstrap.publish_calls(by="test")
    monkeypatch.setenv("HANSE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HANSE_URL", live_server.url)
    monkeypatch.setenv("HANSE_TOKEN", world.token(world.founder))
    mine = tmp_path / "mine.yaml"

    def hanse(*words: str) -> Any:
        return CliRunner().invoke(app, ["apply", "--draft", str(mine), *words], prog_name="hanse")

    save(mine, with_("whole.data.rights", None, a_draft()), ())
    lacking = hanse("--send")
    assert lacking.exit_code == 2 and "Data: Missing: by what right it is used." in lacking.stderr
    assert not Application.objects.exists()
    save(mine, a_draft(), ())
    sent = hanse("--send", "--json")
    assert sent.exit_code == 0, sent.stderr
    kept = Application.objects.get()
    assert json.loads(sent.stdout)["id"] == kept.public_id
    assert kept.form.whole == DRAFT.whole and kept.form.call_version == FAST.version
