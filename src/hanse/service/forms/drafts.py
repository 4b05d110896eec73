"""Drafts kept by the service: whose they are, who may write in them, and how two who write at once are told apart.

Each save names the revision its writer saw. A section that nobody touched since is put in beside what others wrote
elsewhere; one that somebody did touch is refused, with both texts still there. What cannot be read yet is kept as it
was typed, beside the draft.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.db import models, transaction
from django.db.models import Q

from hanse.contracts.application import Draft
from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, PolicyError, UsageError
from hanse.contracts.forms import KeptDraft as Told
from hanse.contracts.programme import CallTerms
from hanse.programme import drafts as pure
from hanse.service.access.apply import submit
from hanse.service.access.models import Application, Call, Organisation, Person
from hanse.service.records import ContractField, PublicIdField, together, transition
from hanse.service.runs.events import Event

TRANSITIONS: Mapping[str, frozenset[str]] = {
    "open": frozenset({"sent", "discarded"}),
    "sent": frozenset(),
    "discarded": frozenset({"open"}),
}
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
WHOLE = "whole draft"
"""Touched by a change that is not one section's: an upload, another call, a plan."""


class DraftQuerySet(models.QuerySet):
    def seen_by(self, person: Person) -> Any:
        shared = Q(shared_with__memberships__person=person)
        return self.filter(Q(owner=person) | shared).exclude(state="discarded").distinct()


class KeptDraft(models.Model):
    """An application as it is written, with its revision."""

    public_id = PublicIdField(prefix="drf")
    owner = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="drafts")
    shared_with = models.ForeignKey(
        Organisation, on_delete=models.SET_NULL, null=True, blank=True, related_name="drafts"
    )
    """Its members see it and write in it too."""
    state = models.CharField(max_length=10, choices=[(one, one) for one in TRANSITIONS], default="open")
    draft = ContractField(contract="hanse.contracts.application.Draft")
    unread = models.JSONField(default=dict, blank=True)
    """Path to what was typed there and cannot be read yet."""
    revision = models.PositiveIntegerField(default=1)
    touched = models.JSONField(default=dict, blank=True)
    """Section to [the revision that last changed it, who did]."""
    saved_at = models.DateTimeField()
    saved_by = models.ForeignKey(Person, on_delete=models.SET_NULL, null=True, related_name="+")
    sketch = models.ForeignKey(
        "forms.CallSketch", on_delete=models.CASCADE, null=True, blank=True, related_name="trials"
    )
    """The unpublished call it tries; such a draft is never sent and never counted."""
    application = models.OneToOneField(
        Application, on_delete=models.SET_NULL, null=True, blank=True, related_name="written_as"
    )

    objects = DraftQuerySet.as_manager()

    class Meta:
        app_label = "forms"
        ordering = ["-saved_at", "-pk"]
        verbose_name = "draft"

    def __str__(self) -> str:
        return f"{self.public_id} {self.title}"

    @property
    def title(self) -> str:
        return self.draft.whole.project.title or ""

    @property
    def trial(self) -> bool:
        return self.sketch_id is not None

    def terms(self) -> CallTerms | None:
        """What it is checked against; None while no call is chosen, or where its call is gone."""
        if self.sketch is not None:
            return self.sketch.terms
        found = Call.objects.filter(call_id=self.draft.call or "").order_by("-version").first()
        return found.terms if found else None

    @classmethod
    def begin(cls, person: Person, draft: Draft, *, sketch: Any = None) -> KeptDraft:
        """Keep a new draft. Raises UsageError where no database could keep its text."""
        _require_text(draft)
        with transaction.atomic():
            made: KeptDraft = cls.objects.create(
                owner=person, draft=draft, saved_at=now(), saved_by=person, sketch=sketch
            )
            Event.record("user:draft:begun", made.public_id, by=person.username, call=draft.call or "")
        return made

    def may_write(self, person: Person) -> bool:
        shared = self.shared_with
        return self.owner_id == person.pk or (shared is not None and person.belongs_to(shared))

    def save_section(self, section: str, draft: Draft, unread: Mapping[str, Any], *, seen: int, by: Person) -> None:
        """Keep the draft after `section` of it was written by one who saw revision `seen`.

        `draft` and `unread` are made from this object as it was read; where another section was saved meanwhile the
        caller reads again and repeats.

        Raises:
            Conflict: that section, or the draft as a whole, was changed since `seen`; or the draft is not open.
        """
        if self.state != "open":
            raise Conflict(f"the draft is {self.state} and is not written in any more", where=self.public_id)
        later = self.changed_since(section, seen)
        if later is not None:
            raise Conflict(
                f"{later} changed this section after you opened it", where=section,
                fix="compare both texts, then save what should stand",
            )  # fmt: skip
        revision, at = self.revision + 1, now()
        touched = {**self.touched, section: [revision, by.display_name]}
        won = type(self).objects.filter(pk=self.pk, revision=self.revision, state="open").update(
            draft=draft, unread=dict(unread), revision=revision, touched=touched, saved_at=at, saved_by=by
        )  # fmt: skip
        if not won:
            raise Raced("somebody saved at the same moment", where=self.public_id, fix="save once more")
        self.draft, self.unread, self.revision, self.touched = draft, dict(unread), revision, touched
        self.saved_at, self.saved_by = at, by

    def changed_since(self, section: str, seen: int) -> str | None:
        """Who changed that section, or all of it, after revision `seen`; None: nobody."""
        names = self.touched if section == WHOLE else (section, WHOLE)
        later = [self.touched[name] for name in names if name in self.touched and self.touched[name][0] > seen]
        return max(later)[1] if later else None

    def replace(self, draft: Draft, *, seen: int, by: Person) -> None:
        """Another draft in its place, as it comes from a file or the API. Raises Conflict where it changed since."""
        _require_text(draft)
        self.save_section(WHOLE, draft, {}, seen=seen, by=by)

    def share(self, organisation: Organisation | None, *, by: Person) -> None:
        """Let the organisation's members see it and write in it; None: the owner alone again.

        Raises:
            PolicyError: not the owner, or not one of the organisation's members.
        """
        if self.owner_id != by.pk:
            raise PolicyError("only who began a draft shares it", where=self.public_id)
        if organisation is not None and not by.belongs_to(organisation):
            raise PolicyError(f"you are not a member of {organisation}", where=self.public_id)
        with transaction.atomic():
            type(self).objects.filter(pk=self.pk).update(shared_with=organisation)
            Event.record(
                "user:draft:shared", self.public_id, by=by.username,
                **{"with": organisation.public_id if organisation else ""},
            )  # fmt: skip
        self.shared_with = organisation

    def discard(self, *, by: Person) -> None:
        """Out of sight; what it holds is kept for `restore`. Raises PolicyError where it is another's."""
        self._require_owner(by)
        transition(self, "discarded", TRANSITIONS, event="user:draft:discarded", by=by.username)

    def restore(self, *, by: Person) -> None:
        self._require_owner(by)
        transition(self, "open", TRANSITIONS, event="user:draft:restored", by=by.username)

    def send(self, *, seen: int, by: Person) -> Application:
        """Make the application of it and send that; of two who send at once one does.

        Raises:
            UsageError: something is missing, wrong, or cannot be read; the first is named.
            PolicyError: the call does not admit it; the draft stays as it is.
            Conflict: it was changed since `seen`, or is sent already.
        """
        terms = self.terms()
        if self.trial or terms is None:
            raise UsageError(
                "a trial of a call that is not published is not sent" if self.trial else "no call is chosen",
                where=self.public_id, fix="choose a call that is open",
            )  # fmt: skip
        if self.unread:
            raise UsageError(
                "something that was typed cannot be read yet", where=min(self.unread), fix="correct it in its section"
            )
        later = self.changed_since(WHOLE, seen)
        if later is not None:
            raise Conflict(f"{later} changed the draft since you looked at it", where=self.public_id, fix="look again")
        form = pure.form_of(self.draft, terms, where=self.public_id)
        try:
            with together():
                transition(self, "sent", TRANSITIONS, event="user:draft:sent", by=by.username)
                if not type(self).objects.filter(pk=self.pk, revision=self.revision).exists():
                    raise Conflict("somebody changed the draft first", where=self.public_id, fix="look again")
                application = submit(by, form)
                type(self).objects.filter(pk=self.pk).update(application=application)
        except Exception as error:
            if isinstance(error, PolicyError):
                Event.record("service:draft:refused", self.public_id, by=by.username, reason="; ".join(error.history))
            raise
        self.application = application
        return application

    def contract(self) -> Told:
        return Told(
            id=self.public_id,
            state=self.state,
            revision=self.revision,
            draft=self.draft,
            saved_at=self.saved_at,
            saved_by=self.saved_by.username if self.saved_by else "",
            shared_with=self.shared_with.name if self.shared_with else None,
            trial=self.trial,
            unread=tuple(sorted(self.unread)),
            application=self.application.public_id if self.application else None,
        )

    def _require_owner(self, by: Person) -> None:
        if self.owner_id != by.pk:
            raise PolicyError("only who began a draft discards it", where=self.public_id)


def _require_text(draft: Draft) -> None:
    if _NUL.search(draft.model_dump_json()):
        raise UsageError("a NUL stands in the text", where="draft", fix="take it out")


class Raced(Conflict):
    """Another section was saved between reading and saving: reading again and repeating loses nothing."""
