"""The outbox against a mail server that speaks SMTP: once, again after a while, given up, and in doubt."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction
from django.test import Client, override_settings

from hanse.contracts.base import now
from hanse.contracts.errors import PolicyError
from hanse.service.access.models import Person
from hanse.service.notices import options, outbox, texts
from hanse.service.notices.models import Mail
from hanse.service.notices.rules import RULES
from hanse.service.runs.models import Event
from tests.notices.mailserver import MailServer, mail_server
from tests.portal import seed
from tests.service.test_sign_on import officer

pytestmark = pytest.mark.django_db


@pytest.fixture
def server() -> Iterator[MailServer]:
    with mail_server() as made, override_settings(**made.settings):
        yield made


def written(key: str = "one", to: str = "ida@norrlyd.example", **more: Any) -> Mail | None:
    return Mail.write(key, kind="run-finished", to=to, language="en", title="Tiny", path="/runs/run-x/", **more)


def test_a_mail_leaves_once_with_its_link_and_is_emptied(server: MailServer) -> None:
    assert written() and written() is None, "the same fact is written once"
    assert outbox.send_due(now()) == 1
    assert outbox.send_due(now()) == 0
    (mail,) = server.taken
    assert mail["To"] == "ida@norrlyd.example" and mail["Subject"] == "Hanse: Tiny is finished"
    assert "https://hanse.example/runs/run-x/" in mail.get_content()
    row = Mail.objects.get()
    assert (row.state, row.body, mail["Message-ID"]) == ("sent", "", f"<{row.public_id}@hanse.example>")
    assert outbox.purge(now() + outbox.KEEP_SENT + timedelta(days=1)) == 1


def test_a_mail_is_not_there_where_what_it_tells_was_undone(server: MailServer) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        written()
        raise RuntimeError
    assert not Mail.objects.exists()


def test_without_a_mail_server_nothing_is_written() -> None:
    assert written() is None and not Mail.objects.exists()


def test_a_server_that_says_later_is_asked_again_with_longer_waits_and_given_up_in_the_end(server: MailServer) -> None:
    server.answers["ida@norrlyd.example"] = "later"
    written()
    at, waits = now(), []
    for _ in range(outbox.MAX_TRIES):
        assert outbox.send_due(at) == 0
        mail = Mail.objects.get()
        waits.append(mail.next_at - at)
        at = mail.next_at
    assert mail.state == "dead" and "451" in mail.error and mail.tries == outbox.MAX_TRIES
    assert waits[:3] == [timedelta(minutes=1), timedelta(minutes=2), timedelta(minutes=4)]
    assert outbox.send_due(at + timedelta(days=1)) == 0 and not server.taken


def test_a_refusal_for_good_is_not_tried_again_and_an_officer_sends_it_once_the_address_works(
    server: MailServer,
) -> None:
    server.answers["ida@norrlyd.example"] = "never"
    written()
    written("two", to="kai@norrlyd.example")
    assert outbox.send_due(now()) == 1, "one address refused stops no other"
    stuck = Mail.objects.get(state="dead")
    assert "550" in stuck.error and stuck.tries == 1
    page = Client()
    page.force_login(seed.person("ida"))
    assert page.get("/mail/").status_code == 403
    with pytest.raises(PolicyError, match="officer"):
        stuck.send_again(Person.objects.get(username="ida"))
    page.force_login(officer())
    html = page.get("/mail/").content.decode()
    assert "ida@norrlyd.example" in html and "550" in html and "kai@" not in html
    server.answers.clear()
    page.post("/mail/", {"mail": stuck.public_id})
    assert outbox.send_due(now()) == 1 and len(server.taken) == 2
    assert Event.objects.filter(name="officer:mail:again", actor="olga").count() == 1
    assert "All mail left" in page.get("/mail/").content.decode()


def test_a_conversation_cut_off_in_the_end_is_in_doubt_and_not_repeated_by_itself(server: MailServer) -> None:
    server.hangs_up = True
    written()
    outbox.send_due(now())
    assert Mail.objects.get().state == "doubtful" and len(server.taken) == 1
    server.hangs_up = False
    outbox.send_due(now() + timedelta(days=1))
    assert len(server.taken) == 1


def test_a_service_that_was_killed_while_handing_over_leaves_the_mail_in_doubt(server: MailServer) -> None:
    written()
    Mail.objects.update(state="sending", claimed_at=now())
    assert outbox.send_due(now()) == 0 and Mail.objects.get().state == "sending", "another may be at it"
    outbox.send_due(now() + outbox.CUT_OFF_AFTER + timedelta(seconds=1))
    assert Mail.objects.get().state == "doubtful" and not server.taken


def test_a_mail_server_that_does_not_answer_costs_a_try_and_no_mail() -> None:
    with mail_server() as gone:
        known = gone.settings
    with override_settings(**known):
        written()
        assert outbox.send_due(now()) == 0
    mail = Mail.objects.get()
    assert (mail.state, mail.tries) == ("waiting", 1) and mail.next_at > now()


@pytest.mark.django_db(transaction=True)
def test_two_that_send_at_once_send_it_once(server: MailServer) -> None:
    for number in range(6):
        written(str(number), to=f"p{number}@norrlyd.example")
    sent: list[int] = []

    def send() -> None:
        try:
            sent.append(outbox.send_due(now()))
        finally:
            connection.close()

    threads = [threading.Thread(target=send) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(sent) == 6 and sorted(mail["To"] for mail in server.taken) == [
        f"p{number}@norrlyd.example" for number in range(6)
    ]


def test_every_kind_has_its_text_in_every_language_with_the_same_names() -> None:
    kinds = {rule.kind for rules in RULES.values() for rule in rules} | {"invitation", "letter"}
    for language in texts.LANGUAGES:
        assert set(texts.of(language)) == kinds, language
        for kind in kinds - {"letter"}:
            title, text = texts.written(kind, language, {"title": "Tiny", "data": {}, "reason": "because."})
            assert title and text and "{" not in title + text, (language, kind)
    assert texts.written("run-failed", "xx", {"title": "Tiny"})[0] == "Tiny failed"


def test_mail_settings_come_whole_or_not_at_all() -> None:
    assert options.settings({}) == {"MAIL_ON": False, "PUBLIC_URL": ""}
    whole = {
        "HANSE_MAIL_HOST": "smtp.example", "HANSE_MAIL_FROM": "hanse@hanse.example", "HANSE_MAIL_TLS": "tls",
        "HANSE_PUBLIC_URL": "https://hanse.example/",
    }  # fmt: skip
    given = options.settings(whole)
    assert given["EMAIL_USE_SSL"] and not given["EMAIL_USE_TLS"] and given["PUBLIC_URL"] == "https://hanse.example"
    for wrong in (
        {"HANSE_MAIL_FROM": ""}, {"HANSE_PUBLIC_URL": ""}, {"HANSE_PUBLIC_URL": "hanse.example"},
        {"HANSE_MAIL_TLS": "ssl"}, {"HANSE_MAIL_PORT": "smtp"},
    ):  # fmt: skip
        with pytest.raises(ImproperlyConfigured, match="HANSE_"):
            options.settings(whole | wrong)
