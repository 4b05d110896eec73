"""Calls as everyone sees them, and the call that is suggested."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from hanse.programme import calls
from hanse.service.access.models import Call
from hanse.service.forms.models import KeptDraft
from tests.forms import room
from tests.portal import seed
from tests.portal.test_pages import read

pytestmark = pytest.mark.django_db
NEED = {"gpu_hours": "40,000", "organisation_kind": "start-up", "country": "se", "purpose": "train-ai"}


@pytest.fixture(autouse=True)
def published() -> None:
    for id in calls.ids():
        Call.publish(calls.load(id), by="test")


def test_every_call_is_shown_without_signing_in_with_the_source_of_each_value() -> None:
    client = Client()
    read(client, "/calls/")
    for id in calls.ids():
        read(client, f"/calls/{id}/")
    page = client.get("/calls/fast-lane/").content.decode()
    assert "second-hand" in page
    assert calls.load("fast-lane").sources["max_gpu_hours"].url in page
    assert "Sign in to apply" in page
    assert client.get("/calls/no-such/").status_code == 404
    assert "Write an application" in client.get("/calls/development/").content.decode(), "its cut-offs are not known"


def test_the_suggestion_gives_reasons_and_its_address_can_be_kept() -> None:
    client = Client()
    answer = client.get("/calls/suggest/", NEED)
    assert answer.status_code == 200
    assert answer.context["found"].best.call == "fast-lane"
    page = answer.content.decode()
    assert "Does not fit" in page
    read(client, "/calls/suggest/?" + answer.wsgi_request.META["QUERY_STRING"])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [({"gpu_hours": "much"}, "Write a number"), ({"country": "Sweden"}, "two capital letters"),
     ({"organisation_kind": ""}, "This is needed"), ({"gpu_hours": "0"}, "whole number"),
     ({"organisation_kind": "bank"}, "Choose one of those")],
)  # fmt: skip
def test_an_answer_that_cannot_be_is_told_at_its_field_and_the_others_stay(wrong: Any, told: str) -> None:
    answer = Client().get("/calls/suggest/", NEED | wrong)
    assert answer.status_code == 422
    page = answer.content.decode()
    assert told in page
    assert "train-ai" in page


def test_a_suggestion_becomes_a_draft_that_knows_what_was_answered() -> None:
    ida = seed.person("ida", organisation=seed.organisation())
    room.signed_in(ida).post(
        "/drafts/new/", {"call": "fast-lane", **NEED, "gpu_hours": "40000", "country": "SE", "duration_months": "3"}
    )
    draft = KeptDraft.objects.get().draft
    assert (draft.organisation, draft.organisation_kind, draft.country) == ("Norrlyd", "start-up", "SE")
    assert (draft.whole.compute.gpu_hours, draft.whole.project.duration_months) == (40_000, 3)
    assert draft.contact_email == ida.email
