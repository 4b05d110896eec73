"""Questions to the service desk: asked by anybody without signing in, answered by an officer, published if both agree.

Against spam stand a field that people do not see, a least length, and limits by address and in all. Of the address
only a keyed hash of the day is kept, and that for a day; nobody else is asked.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import models
from django.db.models import Q

from hanse.contracts.base import now
from hanse.contracts.errors import PolicyError, UsageError
from hanse.service.access.people import Person
from hanse.service.records import PublicIdField, together, transition
from hanse.service.runs.events import Event

QUESTION_TRANSITIONS: Mapping[str, frozenset[str]] = {
    "asked": frozenset({"answered", "set-aside"}),
    "answered": frozenset({"published", "answered"}),
    "published": frozenset({"answered"}),
    "set-aside": frozenset({"answered"}),
}
SHORTEST, LONGEST = 15, 3000
AN_HOUR, A_DAY = timedelta(hours=1), timedelta(days=1)
BY_ADDRESS: Final = 5
"""In an hour."""
IN_ALL: Final = 300
"""In a day."""


class Question(models.Model):
    STATES = [(state, state) for state in QUESTION_TRANSITIONS]

    public_id = PublicIdField(prefix="qst")
    text = models.TextField()
    email = models.EmailField(blank=True)
    may_publish = models.BooleanField(default=False)
    state = models.CharField(max_length=10, choices=STATES, default="asked")
    published_text = models.TextField(blank=True)
    """The question as it is shown to all: without what is only the asker's."""
    answer = models.TextField(blank=True)
    answered_by = models.ForeignKey(Person, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    asked_at = models.DateTimeField(default=now, db_index=True)
    answered_at = models.DateTimeField(null=True, blank=True)
    reason = models.TextField(blank=True)
    sender = models.CharField(max_length=64, blank=True, db_index=True)

    class Meta:
        app_label = "compliance"
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.public_id

    @classmethod
    def ask(cls, text: str, *, email: str, may_publish: bool, address: str, at: datetime | None = None) -> Question:
        """File a question.

        Raises:
            UsageError: it is too short or too long.
            PolicyError: too many came from there within the hour, or from everywhere within a day.
        """
        said, moment = text.strip(), at or now()
        if not SHORTEST <= len(said) <= LONGEST:
            raise UsageError(
                f"a question has {SHORTEST} to {LONGEST:,} characters, this one has {len(said):,}", where="text",
                fix="Say what you build, and what you want to know.",
            )  # fmt: skip
        sender = _sender(address, moment)
        with together():
            lately = cls.objects.filter(sender=sender, asked_at__gt=moment - AN_HOUR).count()
            if lately >= BY_ADDRESS or cls.objects.filter(asked_at__gt=moment - A_DAY).count() >= IN_ALL:
                raise PolicyError("many questions came just now", where="question", fix="Ask again in an hour.")
            made = cls.objects.create(text=said, email=email, may_publish=may_publish, sender=sender, asked_at=moment)
            Event.record("user:question:asked", made.public_id, by="passer-by")
        return made

    def reply(self, by: Person, answer: str, *, publish: bool = False, published_text: str = "") -> None:
        """Answer it, or correct the answer; and show it to all where the asker agreed.

        Raises:
            PolicyError: not an officer, or the asker did not agree to its being shown.
            UsageError: no answer, or nothing to show.
        """
        by.require_officer()
        if not answer.strip():
            raise UsageError("an answer says something", where="answer", fix="Write the answer.")
        if publish and not self.may_publish:
            raise PolicyError("the asker did not agree to publishing", where=self.public_id, fix="Answer without it.")
        shown = (published_text or self.text).strip() if publish else ""
        with together():
            if self.state != "answered":
                self._become("answered", by, answer)
            else:
                type(self).objects.filter(pk=self.pk, state="answered").update(
                    answer=answer.strip(), answered_by=by, answered_at=now()
                )
                Event.record("officer:question:corrected", self.public_id, by=by.username)
                self.refresh_from_db()
            if publish:
                transition(
                    self, "published", QUESTION_TRANSITIONS, event="officer:question:published", by=by.username,
                    published_text=shown,
                )  # fmt: skip

    def set_aside(self, by: Person, reason: str) -> None:
        """It is none for this desk. Raises UsageError without a reason."""
        by.require_officer()
        if not reason.strip():
            raise UsageError("this needs its reason", where="reason", fix="Say why; it is kept.")
        transition(
            self, "set-aside", QUESTION_TRANSITIONS, event="officer:question:set-aside", by=by.username,
            reason=reason.strip(), keep_reason=True,
        )  # fmt: skip

    def _become(self, to: str, by: Person, answer: str) -> None:
        transition(
            self, to, QUESTION_TRANSITIONS, event=f"officer:question:{to}", by=by.username, answer=answer.strip(),
            answered_by=by, answered_at=now(), published_text="",
        )  # fmt: skip


def published(words: str = "") -> Any:
    """What may be read by all and holds every one of these words, in question or answer; the latest first."""
    found = Question.objects.filter(state="published")
    for word in words.split()[:10]:
        found = found.filter(Q(published_text__icontains=word) | Q(answer__icontains=word))
    return found.order_by("-answered_at")


def forget_senders(at: datetime) -> int:
    """Addresses' hashes serve the limits and nothing else."""
    return int(Question.objects.filter(asked_at__lt=at - A_DAY).exclude(sender="").update(sender=""))


def _sender(address: str, at: datetime) -> str:
    said = f"{at.date().isoformat()} {address}".encode()
    return hmac.new(settings.SECRET_KEY.encode(), said, hashlib.sha256).hexdigest()
