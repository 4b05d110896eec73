"""The desk's questions: asked by anybody within limits, answered by an officer, shown only where both agree."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from hanse.contracts.base import now
from hanse.contracts.errors import PolicyError
from hanse.service.compliance import chores, questions
from hanse.service.compliance.models import Question
from tests.service.fixtures import World

pytestmark = pytest.mark.django_db
TEXT = "Is a chess program of mine a system of high risk?"


def asked(**changes: Any) -> Question:
    given: dict[str, Any] = {"email": "", "may_publish": True, "address": "192.0.2.1"}
    return Question.ask(TEXT, **{**given, **changes})


def test_a_passer_by_asks_keeps_the_address_and_finds_the_answer_there(world: World) -> None:
    client, officer = Client(), Client()
    officer.force_login(world.officer)
    sent = client.post("/desk/ask/", {"text": TEXT, "email": "kim@example.eu", "may_publish": "on", "website": ""})
    page = sent["Location"]
    shown = client.get(page)
    assert "A person reads it" in shown.content.decode() and "kim@" not in shown.content.decode()
    one = Question.objects.get()
    assert client.get(f"/desk/questions/{one.public_id}/answer/").status_code == 302, "officers sign in"
    reply = {"answer": "Not by itself. Look at Annex III.", "published_text": "Is a chess program high risk?"}
    assert officer.post(f"/desk/questions/{one.public_id}/answer/", {**reply, "do": "publish"}).status_code == 302
    assert "Look at Annex III" in client.get(page).content.decode()
    found = client.get("/desk/questions/?q=annex+CHESS").content.decode()
    assert "Is a chess program high risk?" in found and TEXT not in found and "kim@" not in found
    assert "Nothing with these words" in client.get("/desk/questions/?q=poker").content.decode()


def test_what_the_asker_keeps_to_themselves_is_not_shown(world: World) -> None:
    one = asked(may_publish=False)
    with pytest.raises(PolicyError):
        one.reply(world.officer, "No.", publish=True)
    with pytest.raises(PolicyError):
        one.reply(world.founder, "No.")
    one.reply(world.officer, "No.")
    one.reply(world.officer, "No, but look again.")
    assert (one.state, one.answer, questions.published().count()) == ("answered", "No, but look again.", 0)
    assert world.events("officer:question:corrected") == 1


def test_a_published_answer_can_be_corrected_and_is_shown_again_only_when_said(world: World) -> None:
    one = asked()
    one.reply(world.officer, "Yes.", publish=True)
    assert questions.published("yes").count() == 1
    one.reply(world.officer, "No: it plays.")
    assert questions.published().count() == 0
    one.reply(world.officer, "No: it plays.", publish=True)
    assert questions.published("plays").count() == 1


def test_programs_and_floods_are_kept_out_without_asking_anybody_else() -> None:
    client = Client()
    assert client.post("/desk/ask/", {"text": TEXT, "website": "http://spam"}).status_code == 302
    assert not Question.objects.exists(), "who fills in the hidden field is no person"
    for _ in range(questions.BY_ADDRESS):
        assert client.post("/desk/ask/", {"text": TEXT}).status_code == 302
    refused = client.post("/desk/ask/", {"text": TEXT})
    assert refused.status_code == 429 and "Ask again in an hour" in refused.content.decode()
    assert client.post("/desk/ask/", {"text": TEXT}, REMOTE_ADDR="192.0.2.77").status_code == 302
    assert client.post("/desk/ask/", {"text": "Why?"}, REMOTE_ADDR="192.0.2.78").status_code == 422
    assert client.post("/desk/ask/", {"text": TEXT, "email": "no"}, REMOTE_ADDR="192.0.2.78").status_code == 422


def test_of_an_address_a_hash_is_kept_for_a_day_and_then_nothing() -> None:
    long_ago = now() - timedelta(days=2)
    old, new = asked(at=long_ago), asked()
    assert old.sender and "192.0.2.1" not in old.sender and old.sender != new.sender
    chores.run(now())
    old.refresh_from_db()
    new.refresh_from_db()
    assert (old.sender, bool(new.sender)) == ("", True)


def test_what_is_none_for_the_desk_is_set_aside_with_a_reason(world: World) -> None:
    officer = Client()
    officer.force_login(world.officer)
    one = asked()
    path = f"/desk/questions/{one.public_id}/answer/"
    assert TEXT in officer.get(path).content.decode()
    assert officer.post(path, {"do": "aside", "answer": "It is about taxes."}).status_code == 302
    assert "It is about taxes." in Client().get(f"/desk/questions/{one.public_id}/").content.decode()
