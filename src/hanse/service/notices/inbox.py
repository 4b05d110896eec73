"""Notices in the portal, made from events by the rules, each once for each person it concerns.

A cursor says how far events were read. It looks back a little every time: of two transactions the later event may be
seen first. What was told already is not told again, nor to who came later.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models, transaction

from hanse.contracts.base import now
from hanse.service.access.people import Person
from hanse.service.notices import rules, texts
from hanse.service.notices.outbox import Mail
from hanse.service.runs.events import Event

LOOK_BACK = 500
A_PASS = 5000
KEEP_READ = timedelta(days=180)


class Preference(models.Model):
    """In which language a person is told things, and whether by mail too."""

    person = models.OneToOneField(Person, on_delete=models.CASCADE, related_name="preference")
    language = models.CharField(max_length=2, choices=list(texts.LANGUAGES.items()), default=texts.FALLBACK)
    mail = models.BooleanField(default=True)

    class Meta:
        app_label = "notices"

    def __str__(self) -> str:
        return f"{self.person} {self.language}"

    @classmethod
    def of(cls, person: Person) -> Preference:
        """The person's, or what holds for who never chose."""
        return cls.objects.filter(person=person).first() or cls(person=person)


class Cursor(models.Model):
    """Up to which event it was read."""

    name = models.CharField(max_length=30, unique=True)
    read_to = models.PositiveBigIntegerField(default=0)

    class Meta:
        app_label = "notices"

    def __str__(self) -> str:
        return f"{self.name} at {self.read_to}"


class Notice(models.Model):
    """One thing one person is told."""

    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="notices")
    event_id = models.PositiveBigIntegerField()
    kind = models.CharField(max_length=40)
    title = models.CharField(max_length=200)
    text = models.TextField(blank=True)
    path = models.CharField(max_length=200, blank=True)
    at = models.DateTimeField()
    read_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        app_label = "notices"
        ordering = ["-at", "-pk"]
        constraints = [models.UniqueConstraint(fields=["person", "event_id", "kind"], name="notice_once")]
        indexes = [models.Index(fields=["person", "read_at"], name="notice_unread")]

    def __str__(self) -> str:
        return self.title

    @classmethod
    def mark_read(cls, person: Person, upto: int | None = None) -> int:
        """That one, or all of the person's."""
        unread = cls.objects.filter(person=person, read_at=None)
        return (unread if upto is None else unread.filter(pk=upto)).update(read_at=now())


def tell() -> int:
    """Turn new events into notices and mails; how many notices were made."""
    cursor, _ = Cursor.objects.get_or_create(name="notices")
    made = 0
    while True:
        events = list(Event.objects.filter(pk__gt=max(0, cursor.read_to - LOOK_BACK)).order_by("pk")[:A_PASS])
        matter = [event for event in events if rules.of(event.name)]
        told = set(
            Notice.objects.filter(event_id__in=[event.pk for event in matter]).values_list("event_id", flat=True)
        )
        made += sum(_tell_of(event) for event in matter if event.pk not in told)
        newest = events[-1].pk if events else 0
        if newest <= cursor.read_to:
            return made
        Cursor.objects.filter(pk=cursor.pk, read_to__lt=newest).update(read_to=newest)
        cursor.read_to = newest
        if len(events) < A_PASS:
            return made


def _tell_of(event: Event) -> int:
    """All whom it concerns, or nobody: what was told to some is not looked at again."""
    wanted = [(person, rule) for rule, people in rules.audience(event) for person in people]
    if not wanted:
        return 0
    about = rules.context(event)
    chosen = {one.person_id: one for one in Preference.objects.filter(person__in=[person for person, _ in wanted])}
    made = 0
    with transaction.atomic():
        for person, rule in wanted:
            choice = chosen.get(person.pk) or Preference(person=person)
            title, text = texts.written(rule.kind, choice.language, about)
            _, is_new = Notice.objects.get_or_create(
                person=person, event_id=event.pk, kind=rule.kind,
                defaults={"title": title[:200], "text": text, "path": about["path"], "at": event.at},
            )  # fmt: skip
            if is_new and rule.mail and choice.mail:
                Mail.write(
                    f"event-{event.pk}-{rule.kind}-{person.pk}", kind=rule.kind, to=person.email,
                    language=choice.language, person=person, **about,
                )  # fmt: skip
            made += is_new
    return made


def purge(at: datetime) -> int:
    gone, _ = Notice.objects.filter(read_at__lt=at - KEEP_READ).delete()
    return gone
