"""Letters with decisions: drafted from what the records say, edited by officers, frozen once they are sent.

The skeletons stand in letters.yaml, in English, German and French. A letter belongs to one decision; after redress the
new decision has its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from django.conf import settings
from django.db import models, transaction
from django.template import Context, Engine

from hanse.contracts import review_ends as contract
from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, UsageError
from hanse.contracts.units import format_percent, gpu_hours
from hanse.programme import clock
from hanse.service.access.models import Allocation, Application, Award, Person
from hanse.service.records import PublicIdField, together, transition
from hanse.service.review.panel import settled
from hanse.service.review.ranked import Recommendation, Round
from hanse.service.review.redress import deadline
from hanse.service.review.replies import sheets
from hanse.service.review.reviewers import require_judge
from hanse.service.review.standing_rules import rules_of
from hanse.service.runs.events import Event

TRANSITIONS: Mapping[str, frozenset[str]] = {"draft": frozenset({"sent"}), "sent": frozenset()}
DECIDED = ("granted", "declined")
MOST_CHARACTERS = 20_000


class Letter(models.Model):
    public_id = PublicIdField(prefix="ltr")
    application = models.ForeignKey(Application, on_delete=models.PROTECT, related_name="letters")
    decided_at = models.DateTimeField()
    """Of the decision it tells."""
    decision = models.CharField(max_length=8, choices=[(one, one) for one in DECIDED])
    language = models.CharField(max_length=2, choices=[(one, one) for one in ("en", "de", "fr")])
    text = models.TextField()
    state = models.CharField(max_length=5, choices=[(one, one) for one in TRANSITIONS], default="draft")
    revision = models.PositiveIntegerField(default=0)
    sent_by = models.ForeignKey(Person, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        app_label = "review"
        ordering = ["-pk"]
        verbose_name = "letter"
        constraints = [models.UniqueConstraint(fields=["application", "decided_at"], name="letter_once")]

    def __str__(self) -> str:
        return f"{self.public_id} {self.state}"

    @classmethod
    def seen_by(cls, person: Person) -> Any:
        """For officers all, but no draft to an organisation they stand in; for who applied those that were sent."""
        rows = cls.objects.select_related("application__organisation", "sent_by")
        if person.is_officer and settings.HANSE_EMBEDDED:
            return rows
        if person.is_officer:
            own = person.memberships.values("organisation")
            return rows.exclude(state="draft", application__organisation__in=own)
        return rows.filter(state="sent", application__organisation__memberships__person=person).distinct()

    @classmethod
    def draft(cls, application: Application, by: Person, *, language: str = "en") -> Letter:
        """Draft the letter of the decision that stands; asked again, draft it anew from the records.

        Raises:
            PolicyError: not an officer, or one of the applicants.
            Conflict: the application is not decided, or the letter was sent.
        """
        require_judge(by, application)
        with transaction.atomic():
            held = Application.objects.select_for_update(of=("self",)).select_related("call", "organisation").get(
                pk=application.pk
            )  # fmt: skip
            if held.state not in DECIDED or held.decided_at is None:
                raise Conflict(f"the application is {held.state}", where=held.public_id, fix="decide it first")
            text = written(held, language, by)
            made, new = cls.objects.get_or_create(
                application=held, decided_at=held.decided_at,
                defaults={"decision": held.state, "language": language, "text": text},
            )  # fmt: skip
            if not new:
                made._change(language=language, text=text)
            Event.record("officer:letter:drafted", made.public_id, by=by.username, application=held.public_id)
        return made

    def edit(self, by: Person, *, text: str, revision: int) -> None:
        """Write another text.

        Raises:
            PolicyError: not an officer, or one of the applicants.
            UsageError: nothing, or too much.
            Conflict: it was sent, or somebody else changed it since `revision`.
        """
        require_judge(by, self.application)
        said = text.strip()
        if not said or len(said) > MOST_CHARACTERS:
            raise UsageError(
                f"a letter has 1 to {MOST_CHARACTERS:,} characters", where="text", fix="shorten or write it"
            )
        self._change(text=said, was=revision)

    def write(self, by: Person, *, text: str, revision: int, send: bool) -> None:
        """Another text, and with it sent or not: both or neither. Raises as `edit`."""
        with together():
            self.edit(by, text=text, revision=revision)
            if send:
                self.send(by)

    def send(self, by: Person) -> None:
        """Send it; it is frozen then, and the applicant sees it. Raises as `edit`."""
        require_judge(by, self.application)
        with together():
            held = Application.objects.select_for_update(of=("self",)).get(pk=self.application.pk)
            if held.decided_at != self.decided_at:
                raise Conflict("its decision no longer stands", where=self.public_id, fix="draft the new one's letter")
            now_at = Letter.objects.select_for_update(of=("self",)).get(pk=self.pk)
            if now_at.state == "draft" and now_at.revision != self.revision:
                raise Conflict("somebody else changed the letter", where=self.public_id, fix="read it again")
            transition(
                self, "sent", TRANSITIONS, event="officer:letter:sent", by=by.username, sent_by=by, sent_at=now(),
                data={"application": held.public_id, "title": held.form.title, "decision": self.decision},
            )  # fmt: skip

    def _change(self, *, was: int | None = None, **fields: Any) -> None:
        known = self.revision if was is None else was
        won = Letter.objects.filter(pk=self.pk, state="draft", revision=known).update(revision=known + 1, **fields)
        if not won:
            raise Conflict("it was sent, or somebody else changed it", where=self.public_id, fix="read it again")
        self.refresh_from_db()

    def contract(self) -> contract.Letter:
        return contract.Letter(
            id=self.public_id, application=self.application.public_id, decision=self.decision, language=self.language,
            text=self.text, state=self.state, revision=self.revision, sent_at=self.sent_at,
            sent_by=self.sent_by.username if self.sent_by else "",
        )  # fmt: skip


def written(application: Any, language: str, by: Person) -> str:
    """The skeleton filled with what the records say of the decision."""
    if language not in _texts():
        raise UsageError(f"there is no skeleton in {language}", where="language", fix=f"one of {', '.join(_texts())}")
    texts = _texts()[language]
    until, rules = deadline(application), rules_of(application)
    titles = {one.id: one.title for one in rules.criteria}
    shown = [
        {
            "number": one.number,
            "rows": [
                {"title": titles.get(name, name), "points": points, "comment": one.comments.get(name, "")}
                for name, points in one.points.items()
            ],
        }
        for one in sheets(application)
    ]
    facts = {
        "organisation": application.organisation.name, "title": application.form.title, "id": application.public_id,
        "call": application.call.terms.title, "day": _day(application.decided_at), "reason": application.reason,
        "officer": by.display_name, "sheets": shown, "most": rules.max_points,
        "redress_until": _day(until) if until else "", **_place(application), **_award(application),
    }  # fmt: skip
    engine = Engine(
        autoescape=False, loaders=[("django.template.loaders.locmem.Loader", {"reviews": texts["reviews"]})]
    )
    filled = engine.from_string(texts[application.state]).render(Context(facts, autoescape=False))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in filled.splitlines())).strip() + "\n"


def _place(application: Any) -> dict[str, Any]:
    held = Round.of(application)
    row = Recommendation.objects.filter(application=application, round=held).first() if held else None
    if held is None or row is None:
        return {}
    order = settled(held)
    place = next(one.place for one in order if one.id == application.public_id)
    return {"place": place, "of": len(order), "total": format_percent(row.total)}


def _award(application: Any) -> dict[str, Any]:
    award = Award.objects.filter(application=application).first()
    if award is None or application.state != "granted":
        return {}
    rows = Allocation.objects.filter(award=award).select_related("machine").order_by("pk")
    return {
        "hours": f"{award.gpu_hours:,}", "months": award.duration_months,
        "starts": award.starts.isoformat() if award.starts else "", "conditions": award.conditions,
        "parts": [
            f"{one.machine.public_id}{f' {one.partition}' if one.partition else ''}: "
            f"{gpu_hours(one.granted_accelerator_seconds):,.0f} GPU-hours, {one.starts} – {one.ends}"
            for one in rows
        ],
    }  # fmt: skip


def _day(at: Any) -> str:
    """The day in Brussels, as every language reads it."""
    return str(at.astimezone(clock.ZONE).date().isoformat())


@cache
def _texts() -> Mapping[str, Mapping[str, str]]:
    found: Mapping[str, Mapping[str, str]] = yaml.safe_load(Path(__file__).with_name("letters.yaml").read_text("utf-8"))
    return found
