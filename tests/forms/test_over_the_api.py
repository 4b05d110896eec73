"""Drafts over the API and on a command line: the same drafts as in the portal, saved by revision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hanse.cli.apply_draft import read, save
from hanse.cli.main import app
from hanse.contracts.application import Draft
from hanse.contracts.forms import SaveDraft, SendDraft
from hanse.service.access.models import ApiToken, Application
from hanse.service.forms.models import KeptDraft
from tests.forms import room
from tests.portal import seed
from tests.programme.test_form import with_
from tests.service.test_api import Http


def http(person: Any) -> Http:
    return Http(ApiToken.issue("test", by=person.username, person=person))


def put(asked: Http, path: str, body: SaveDraft) -> Any:
    return asked.client.put(path, body.model_dump_json(), content_type="application/json", headers=asked.headers)


@pytest.mark.django_db
def test_a_draft_is_kept_saved_by_revision_and_sent_over_the_api() -> None:
    room.publish()
    ida, eve = http(seed.person("ida")), http(seed.person("eve"))
    made = ida.post("/api/v1/drafts", SaveDraft(draft=Draft(call="fast-lane"))).json()
    path = f"/api/v1/drafts/{made['id']}"
    saved = put(ida, path, SaveDraft(draft=room.ready(), revision=1)).json()
    assert saved["revision"] == 2
    late = put(ida, path, SaveDraft(draft=Draft(), revision=1))
    assert (late.status_code, KeptDraft.objects.get().draft) == (409, room.ready())
    assert put(ida, path, SaveDraft(draft=Draft())).status_code == 409
    assert [eve.get(path).status_code, put(eve, path, SaveDraft(draft=Draft(), revision=2)).status_code] == [404, 404]
    assert eve.post(path + "/send", SendDraft(revision=2)).status_code == 404
    assert ida.post(path + "/send", SendDraft(revision=1)).status_code == 409
    sent = ida.post(path + "/send", SendDraft(revision=2))
    assert sent.status_code == 201
    assert ida.get(path).json()["application"] == sent.json()["id"]
    back = ida.get(f"/api/v1/applications/{sent.json()['id']}/draft").json()
    assert Draft.model_validate(back) == room.ready()
    assert [one["id"] for one in ida.get("/api/v1/drafts").json()["items"]] == [made["id"]]


@pytest.mark.django_db(transaction=True)
def test_a_file_goes_to_the_service_and_back_and_neither_overwrites_what_it_has_not_seen(
    live_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.publish()
    ida = seed.person("ida")
    monkeypatch.setenv("HANSE_URL", live_server.url)
    monkeypatch.setenv("HANSE_TOKEN", ApiToken.issue("test", by="ida", person=ida))
    file = tmp_path / "draft.yaml"

    def hanse(*typed: str) -> Any:
        return CliRunner().invoke(app, ["apply", "--draft", str(file), *typed])

    save(file, room.ready(), ())
    assert hanse("--save").exit_code == 0
    kept = KeptDraft.objects.get()
    assert kept.draft == room.ready()
    save(file, with_("whole.project.title", "By hand", room.ready()), ())
    assert hanse("--save").exit_code == 0
    assert KeptDraft.objects.get().title == "By hand"
    room.post(room.signed_in(ida), kept, "project", whole__project__title="In the portal")
    late = hanse("--save")
    assert late.exit_code != 0
    assert KeptDraft.objects.get().title == "In the portal"
    assert hanse("--open", kept.public_id).exit_code == 0
    assert read(file).whole.project.title == "In the portal"
    save(file, with_("whole.project.title", "Not saved", read(file)), ())
    assert hanse("--open", kept.public_id).exit_code != 0
    assert read(file).whole.project.title == "Not saved"
    assert not Application.objects.exists()
