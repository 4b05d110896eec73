"""Calls as officers write them: cloned, edited in fields and as text, previewed, tried, published, amended."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from hanse.programme import calls
from hanse.service.access.models import Application, Call
from hanse.service.forms.models import CallSketch, KeptDraft
from tests.forms import room
from tests.portal import seed
from tests.portal.test_pages import read

pytestmark = pytest.mark.django_db


@pytest.fixture
def otto() -> Any:
    return room.officer()


def begun(otto: Any, source: str = "pattern:playground") -> CallSketch:
    room.signed_in(otto).post("/officer/calls/new/", {"source": source})
    return CallSketch.objects.latest("pk")


def again(sketch: CallSketch) -> CallSketch:
    return CallSketch.objects.get(pk=sketch.pk)


@pytest.mark.parametrize("id", calls.patterns())
def test_every_pattern_is_written_as_text_and_read_back_the_same(id: str) -> None:
    from hanse.service.forms.sketches import read as read_terms
    from hanse.service.forms.sketches import written

    assert read_terms(written(calls.load(id))) == calls.load(id)


def test_a_pattern_is_cloned_edited_previewed_and_published_frozen(otto: Any) -> None:
    sketch, client = begun(otto), room.signed_in(otto)
    base = f"/officer/calls/{sketch.public_id}/"
    for path in ("/officer/calls/", base, base + "preview/"):
        read(client, path)
    client.post(base, {"revision": 1, "fields": "1", "terms.title": "Our playground", "terms.max_gpu_hours": "6,000"})
    terms = again(sketch).terms
    assert terms is not None
    assert (terms.title, terms.max_gpu_hours) == ("Our playground", 6000)
    assert "Our playground" in client.get(base + "preview/").content.decode()
    assert not Call.objects.exists()
    client.post(base + "publish/", {"revision": 2})
    assert Call.latest("playground").terms.title == "Our playground"
    assert client.post(base, {"revision": 3, "text": "id: x"}).status_code == 409
    client.post(base + "publish/", {"revision": 3})
    assert Call.objects.count() == 1


@pytest.mark.parametrize(
    ("was", "wrong", "told"),
    [
        ("min_gpu_hours:", "min_gpu_huors:", "min_gpu_huors"),
        ("max_gpu_hours: 5000", "max_gpu_hours: lots", "max_gpu_hours"),
        ("title: ", "title: [", "not closed"),
        ("  opens:", "  opened:", "opens has no source"),
    ],
)
def test_a_mistake_in_the_text_is_told_with_its_line_and_the_text_is_kept(
    otto: Any, was: str, wrong: str, told: str
) -> None:
    sketch, client = begun(otto), room.signed_in(otto)
    assert was in sketch.text
    text = sketch.text.replace(was, wrong, 1)
    answer = client.post(f"/officer/calls/{sketch.public_id}/", {"revision": 1, "text": text})
    assert answer.status_code == 422
    assert told in answer.context["problem"].where + answer.context["problem"].what
    assert any(part.isdecimal() for part in answer.context["problem"].where.replace(":", " ").split())
    assert again(sketch).text == text
    assert again(sketch).terms is None
    client.post(f"/officer/calls/{sketch.public_id}/publish/", {"revision": 2})
    assert not Call.objects.exists()


def test_an_amendment_is_the_next_version_with_its_differences_shown(otto: Any) -> None:
    room.publish(sources={
        name: {"url": "https://example.org", "confidence": "official", "checked_on": "2026-01-01"}
        for name in (*calls.ALWAYS_SOURCED, "sections")
    })  # fmt: skip
    sketch, client = begun(otto, "call:fast-lane"), room.signed_in(otto)
    base = f"/officer/calls/{sketch.public_id}/"
    client.post(base, {"revision": 1, "fields": "1", "terms.max_gpu_hours": "45000"})
    page = client.get(base).content.decode()
    assert "Changed since version 1" in page
    assert "50,000" in page
    assert "45,000" in page
    client.post(base + "publish/", {"revision": 2})
    assert Call.latest("fast-lane").version == 2
    assert "50,000" in client.get("/calls/fast-lane/1/").content.decode()
    assert client.get("/calls/fast-lane/3/").status_code == 404


def test_a_trial_is_filled_as_an_applicant_would_and_never_sent_or_counted(otto: Any) -> None:
    sketch, client = begun(otto), room.signed_in(otto)
    trial = client.post(f"/officer/calls/{sketch.public_id}/try/")
    draft = KeptDraft.objects.get()
    assert trial.status_code == 302
    assert "never sent and never counted" in client.get(f"/drafts/{draft.public_id}/project/").content.decode()
    KeptDraft.objects.filter(pk=draft.pk).update(draft=room.ready(call="playground"))
    assert "Send the application</button>" not in client.get(f"/drafts/{draft.public_id}/check/").content.decode()
    assert client.post(f"/drafts/{draft.public_id}/send/", {"revision": 1}).status_code == 409
    assert not Application.objects.exists()


def test_two_officers_who_save_at_once_lose_nothing(otto: Any) -> None:
    sketch, client = begun(otto), room.signed_in(otto)
    base = f"/officer/calls/{sketch.public_id}/"
    client.post(base, {"revision": 1, "fields": "1", "terms.title": "First"})
    late = client.post(base, {"revision": 1, "text": sketch.text.replace("title:", "title: Second", 1)})
    assert late.status_code == 409
    assert "Second" in late.content.decode()
    found = again(sketch).terms
    assert found is not None
    assert found.title == "First"


def test_only_officers_come_here(otto: Any) -> None:
    sketch = begun(otto)
    ida, nobody = room.signed_in(seed.person("ida")), Client()
    base = f"/officer/calls/{sketch.public_id}/"
    for path in ("/officer/calls/", base, base + "preview/"):
        assert ida.get(path).status_code == 404
        assert nobody.get(path).status_code == 302
    for path in ("/officer/calls/new/", base, base + "try/", base + "publish/"):
        assert ida.post(path, {"source": "pattern:playground", "revision": 1}).status_code == 404
