"""Mail as rows: written in the transaction of what it tells, sent by the tick, never twice for the same fact.

A mail is claimed before it is handed over. Where the handing over was cut off nobody knows whether it left: it is then
`doubtful`, and an officer decides, as with one that was given up.
"""

from __future__ import annotations

import logging
import smtplib
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.db import IntegrityError, models, transaction
from django.db.models import F

from hanse.contracts.base import now
from hanse.service import policy
from hanse.service.access.people import Person
from hanse.service.notices import options, texts
from hanse.service.records import PublicIdField, transition

logger = logging.getLogger(__name__)
MAX_TRIES = 8
FIRST_WAIT = timedelta(minutes=1)
LONGEST_WAIT = timedelta(hours=6)
CUT_OFF_AFTER = timedelta(minutes=15)
"""Longer than any conversation with a mail server takes (options.TIMEOUT_S a step)."""
KEEP_SENT = timedelta(days=30)
A_PASS = 50
"""So many mails at most in one pass of the tick: the other chores wait behind it."""
TRANSITIONS = {
    "waiting": frozenset({"sending"}),
    "sending": frozenset({"sent", "waiting", "dead", "doubtful"}),
    "sent": frozenset[str](),
    "dead": frozenset({"waiting"}),
    "doubtful": frozenset({"waiting"}),
}
STUCK = ("dead", "doubtful")


class Mail(models.Model):
    """One mail to one address."""

    public_id = PublicIdField(prefix="mail")
    key = models.CharField(max_length=120, unique=True)
    """What it tells, and to whom: a second mail with the same key is not written."""
    to = models.EmailField(max_length=254)
    person = models.ForeignKey(Person, on_delete=models.CASCADE, null=True, blank=True, related_name="mails")
    subject = models.CharField(max_length=200)
    body = models.TextField(blank=True)
    """Emptied once it was sent: links in it may open something."""
    state = models.CharField(max_length=10, default="waiting", choices=[(state, state) for state in TRANSITIONS])
    tries = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField()
    claimed_at = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=300, blank=True)
    made_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "notices"
        ordering = ["pk"]
        indexes = [models.Index(fields=["state", "next_at"], name="mail_due")]

    def __str__(self) -> str:
        return f"{self.public_id} {self.state}"

    @classmethod
    def write(
        cls, key: str, *, kind: str, to: str, language: str, person: Person | None = None, **context: Any
    ) -> Mail | None:
        """Put it into the outbox; None where it stands there already, or this service sends no mail."""
        if not options.mail_is_on() or not to:
            return None
        title, body = texts.written(kind, language, context)
        whole = texts.letter(body, language, greeting=person.display_name if person else "", path=context.get("path"))
        try:
            with transaction.atomic():
                return cls.objects.create(
                    key=key, to=to, person=person, subject=f"Hanse: {title}"[:200], body=whole, next_at=now()
                )
        except IntegrityError:
            return None

    def send_again(self, by: Person) -> None:
        """Raises PolicyError for whoever is no officer, Conflict where it is not stuck any more."""
        policy.require(by, "service:see-mail")
        if self.state not in STUCK:
            return
        transition(
            self, "waiting", TRANSITIONS, event="officer:mail:again", by=by.username, reason="sent again",
            tries=0, next_at=now(), claimed_at=None,
        )  # fmt: skip


def send_due(at: datetime) -> int:
    """Hand over what is due; how many left. Not inside a transaction: a mail server may take its time."""
    _find_cut_off(at)
    due = list(Mail.objects.filter(state="waiting", next_at__lte=at).order_by("next_at", "pk")[:A_PASS])
    if not due or not options.mail_is_on():
        return 0
    connection = get_connection()
    try:
        connection.open()
    except (OSError, smtplib.SMTPException) as error:
        logger.warning("the mail server does not answer: %s", error)
        return sum(_try(mail, at, None, str(error)) for mail in due)
    try:
        return sum(_try(mail, at, connection) for mail in due)
    finally:
        connection.close()


def _try(mail: Mail, at: datetime, connection: Any, unreachable: str = "") -> int:
    won = Mail.objects.filter(pk=mail.pk, state="waiting", next_at__lte=at)
    if not won.update(state="sending", claimed_at=at, tries=F("tries") + 1):
        return 0
    mail.tries += 1
    if unreachable:
        _later(mail, at, unreachable)
        return 0
    try:
        _message(mail, connection).send()
    except smtplib.SMTPRecipientsRefused as error:
        code, said = next(iter(error.recipients.values()), (0, b""))
        _refused(mail, at, code, f"{code} {said.decode(errors='replace')}")
    except smtplib.SMTPResponseException as error:
        _refused(mail, at, error.smtp_code, f"{error.smtp_code} {error.smtp_error!r}")
    except (OSError, smtplib.SMTPException) as error:
        # Cut off in the middle of it: whether the server took it is not known.
        _end(mail, "doubtful", f"cut off: {error}")
    else:
        Mail.objects.filter(pk=mail.pk, state="sending").update(state="sent", sent_at=at, body="", error="")
        return 1
    return 0


def _message(mail: Mail, connection: Any) -> EmailMessage:
    domain = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2]
    return EmailMessage(
        mail.subject, mail.body, to=[mail.to], connection=connection,
        headers={"Message-ID": f"<{mail.public_id}@{domain}>", "Auto-Submitted": "auto-generated"},
    )  # fmt: skip


def _refused(mail: Mail, at: datetime, code: int, said: str) -> None:
    """RFC 5321, section 4.2.1: a reply 5yz is for good, 4yz for now."""
    if code >= 500:
        _end(mail, "dead", said)
    else:
        _later(mail, at, said)


def _later(mail: Mail, at: datetime, said: str) -> None:
    if mail.tries >= MAX_TRIES:
        _end(mail, "dead", said)
        return
    wait = min(FIRST_WAIT * 2 ** (mail.tries - 1), LONGEST_WAIT)
    Mail.objects.filter(pk=mail.pk, state="sending").update(state="waiting", next_at=at + wait, error=said[:300])


def _end(mail: Mail, state: str, said: str) -> None:
    Mail.objects.filter(pk=mail.pk, state="sending").update(state=state, error=said[:300])


def _find_cut_off(at: datetime) -> None:
    Mail.objects.filter(state="sending", claimed_at__lt=at - CUT_OFF_AFTER).update(
        state="doubtful", error="the service ended while it was handed over"
    )


def purge(at: datetime) -> int:
    gone, _ = Mail.objects.filter(state="sent", sent_at__lt=at - KEEP_SENT).delete()
    return gone
