"""A call as an officer writes it: text that may still be wrong, kept as it is, and published once it is right.

The text is the YAML of the call's terms. A published version is frozen; what amends it is a sketch of the next one.
"""

from __future__ import annotations

import json
from typing import Any

import yaml
from django.db import models, transaction

from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, SpecError, UsageError
from hanse.contracts.programme import CallTerms
from hanse.files import contract, document
from hanse.programme import calls
from hanse.service.access.models import Call, Person
from hanse.service.records import PublicIdField
from hanse.service.runs.events import Event


class CallSketch(models.Model):
    """Terms being written; every officer sees and edits it."""

    public_id = PublicIdField(prefix="skt")
    text = models.TextField()
    revision = models.PositiveIntegerField(default=1)
    saved_at = models.DateTimeField()
    saved_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    published = models.ForeignKey(Call, on_delete=models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        app_label = "forms"
        ordering = ["-saved_at", "-pk"]
        verbose_name = "call being written"

    def __str__(self) -> str:
        return self.public_id

    @classmethod
    def begin(cls, source: CallTerms, *, by: Person) -> CallSketch:
        """A sketch from a call's latest version or a pattern: the next version of that call, or its first.

        Raises:
            PolicyError: not an officer.
        """
        by.require_officer()
        latest = Call.objects.filter(call_id=source.id).order_by("-version").first()
        terms = source.model_copy(update={"version": latest.version + 1 if latest else 1, "offered": True})
        with transaction.atomic():
            made: CallSketch = cls.objects.create(text=written(terms), saved_at=now(), saved_by=by)
            Event.record("officer:call:sketched", made.public_id, by=by.username, call=source.id)
        return made

    @property
    def terms(self) -> CallTerms | None:
        """None while the text is not right."""
        try:
            return self.read()
        except SpecError:
            return None

    def read(self) -> CallTerms:
        """The terms as written. Raises SpecError: the first mistake, with its line and key."""
        return read(self.text)

    @property
    def before(self) -> CallTerms | None:
        """The version it amends; None where the call would be new, or while the text is not right."""
        terms = self.terms
        if terms is None:
            return None
        found = Call.objects.filter(call_id=terms.id, version__lt=terms.version).order_by("-version").first()
        return found.terms if found else None

    def write(self, text: str, *, seen: int, by: Person) -> None:
        """Keep the text, right or wrong.

        Raises:
            PolicyError: not an officer.
            Conflict: another officer saved since `seen`, or it is published.
        """
        by.require_officer()
        at = now()
        won = type(self).objects.filter(pk=self.pk, revision=seen, published=None).update(
            text=text, revision=seen + 1, saved_at=at, saved_by=by
        )  # fmt: skip
        if not won:
            raise Conflict(
                "it was changed or published since you opened it", where=self.public_id,
                fix="copy what you wrote, open it anew, and put it in",
            )  # fmt: skip
        self.text, self.revision, self.saved_at, self.saved_by = text, seen + 1, at, by

    def publish(self, *, seen: int, by: Person) -> Call:
        """Publish what stands there; from then on it is frozen.

        Raises:
            SpecError: the text is not right.
            UsageError: the call is marked as a pattern that nobody can apply to.
            Conflict: it was changed since `seen`, is published, or another version came first.
        """
        by.require_officer()
        terms = self.read()
        if not terms.offered:
            raise UsageError("offered is false: nobody could apply", where="offered", fix="write offered: true")
        with transaction.atomic():
            call = Call.publish_next(terms, by=by)
            won = type(self).objects.filter(pk=self.pk, revision=seen, published=None).update(
                published=call, revision=seen + 1
            )  # fmt: skip
            if not won:
                raise Conflict("it was changed or published since you opened it", where=self.public_id)
        self.published, self.revision = call, seen + 1
        return call


def read(text: str) -> CallTerms:
    """Terms from YAML, each figure with its source. Raises SpecError with line and key of the first mistake."""
    made = document.parse(text, name="terms")
    terms = contract.build(CallTerms, made)
    if terms.max_gpu_hours is not None and terms.min_gpu_hours > terms.max_gpu_hours:
        raise made.error("the smallest amount is above the largest", ("min_gpu_hours",), fix="Correct one of them.")
    said = {name for name in terms.model_fields_set if not _by_itself(terms, name)}
    unsourced = (said | calls.ALWAYS_SOURCED) - calls.NEED_NO_SOURCE - terms.sources.keys()
    if unsourced:
        key = min(unsourced)
        where = (key,) if (key,) in made.lines else ()
        raise made.error(f"{key} has no source", where, fix="Say under sources where the value comes from.")
    return terms


def written(terms: CallTerms) -> str:
    """The terms as YAML, in the order of the contract, without what is as it is by itself."""
    plain: dict[str, Any] = json.loads(terms.model_dump_json())
    sourced = terms.sources.keys() | {"version"}
    ordered = {key: plain[key] for key in CallTerms.model_fields if key in sourced or not _by_itself(terms, key)}
    return yaml.safe_dump(ordered, sort_keys=False, allow_unicode=True, width=110)


def _by_itself(terms: CallTerms, name: str) -> bool:
    """Whether it has the value that it has where nothing is written."""
    field = CallTerms.model_fields[name]
    return not field.is_required() and bool(getattr(terms, name) == field.get_default(call_default_factory=True))
