"""What could be a conflict of interest, and what an officer says of it: confirmed, or cleared with a reason.

Certain conflicts (programme/review/conflicts.py) need nobody's word. Who could have one is not asked before it is
cleared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from django.db import models, transaction

from hanse.contracts import review_steps as contract
from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, PolicyError, UsageError
from hanse.programme.review import conflicts
from hanse.service.access.models import Application, Person
from hanse.service.review.reviewers import Reviewer, entry, require_judge
from hanse.service.runs.events import Event


class ConflictAnswer(models.Model):
    application = models.ForeignKey(Application, on_delete=models.PROTECT, related_name="conflict_answers")
    reviewer = models.ForeignKey(Reviewer, on_delete=models.PROTECT, related_name="conflict_answers")
    verdict = models.CharField(max_length=9, choices=[("confirmed", "confirmed"), ("cleared", "cleared")])
    found = models.JSONField(default=list)
    """What spoke for a conflict when it was answered."""
    reason = models.TextField()
    by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(default=now)

    class Meta:
        app_label = "review"
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["application", "reviewer"], name="conflict_answered_once")]

    def __str__(self) -> str:
        return f"{self.application.public_id} {self.reviewer}: {self.verdict}"


def answer(application: Application, reviewer: Reviewer, by: Person, *, verdict: str, reason: str) -> ConflictAnswer:
    """Confirm or clear a possible conflict, once.

    Raises:
        PolicyError: not an officer, or one of the applicants.
        UsageError: no reason, or there is nothing to answer.
        Conflict: it was answered before.
    """
    require_judge(by, application)
    found = conflicts.possible(reviewer.seen(), entry(application))
    if not found:
        raise UsageError(
            "no record says that this could be a conflict", where="reviewer", fix="assign or choose another"
        )
    if not reason.strip():
        raise UsageError("an answer needs its reason", where="reason", fix="say what you know of the two")
    with transaction.atomic():
        made, new = ConflictAnswer.objects.get_or_create(
            application=application, reviewer=reviewer,
            defaults={"verdict": verdict, "found": list(found), "reason": reason, "by": by},
        )  # fmt: skip
        if not new:
            raise Conflict(f"it was {made.verdict} before", where=application.public_id, fix="choose another reviewer")
        Event.record(
            f"officer:conflict:{verdict}", application.public_id, by=by.username, reason=reason,
            reviewer=reviewer.person.username,
        )  # fmt: skip
    return made


def require_none(application: Application, reviewer: Reviewer) -> None:
    """Raises PolicyError: the reviewer has a conflict of interest, or could have one that nobody cleared."""
    certain = conflicts.found(reviewer.seen(), entry(application))
    said = ConflictAnswer.objects.filter(application=application, reviewer=reviewer).first()
    if said is not None and said.verdict == "confirmed":
        certain = (*certain, *said.found)
    if certain:
        raise PolicyError(
            f"{reviewer} has a conflict of interest: {', '.join(certain)}", where=application.public_id,
            fix="choose another reviewer",
        )  # fmt: skip
    could = conflicts.possible(reviewer.seen(), entry(application)) if said is None else ()
    if could:
        raise PolicyError(
            f"{reviewer} could have a conflict of interest: {', '.join(could)}", where=application.public_id,
            fix="confirm or clear it first, or choose another reviewer",
        )  # fmt: skip


def cleared(applications: Iterable[Any]) -> frozenset[tuple[str, str]]:
    """Pairs of application and reviewer that were cleared, as assignment takes them."""
    rows = ConflictAnswer.objects.filter(application__in=list(applications), verdict="cleared")
    return frozenset((one, str(who)) for one, who in rows.values_list("application__public_id", "reviewer_id"))


def certain(applications: Iterable[Application]) -> tuple[contract.PossibleConflict, ...]:
    """Every pair that is never asked, with what the records say; confirmed ones stand with the possible ones."""
    return all_of(applications)[1]


def possible(applications: Iterable[Application]) -> tuple[contract.PossibleConflict, ...]:
    """Every possible conflict of these applications with a reviewer, with what was said of it."""
    return all_of(applications)[0]


def all_of(
    applications: Iterable[Application], people: Iterable[Reviewer] | None = None
) -> tuple[tuple[contract.PossibleConflict, ...], tuple[contract.PossibleConflict, ...]]:
    """The possible and the certain ones."""
    every = list(applications)
    said = {
        (one.application_id, one.reviewer_id): one  # type: ignore[attr-defined]
        for one in ConflictAnswer.objects.filter(application__in=every).select_related("by")
    }
    could_be, never = [], []
    for application, known, reviewer, facts in _pairs(every, people, besides=said):
        about = {
            "application": application.public_id, "reviewer": reviewer.person.username, "name": str(reviewer),
        }  # fmt: skip
        answered = said.get((application.pk, reviewer.pk))
        if found := conflicts.found(facts, known):
            never.append(contract.PossibleConflict(**about, found=found, certain=True))
        could = () if found else conflicts.possible(facts, known)
        if could or answered:
            could_be.append(
                contract.PossibleConflict(
                    **about, found=could or tuple(answered.found if answered else ()),
                    verdict=answered.verdict if answered else None, reason=answered.reason if answered else "",
                    by=answered.by.username if answered else "",
                )
            )  # fmt: skip
    return tuple(could_be), tuple(never)


def _pairs(
    applications: Iterable[Application], people: Iterable[Reviewer] | None, besides: Collection[tuple[Any, Any]] = ()
) -> Iterator[tuple[Application, conflicts.Entry, Reviewer, conflicts.Reviewer]]:
    """Every pair that has a mark in common, and those of `besides` (keys of application and reviewer)."""
    seen = [(one, one.seen()) for one in (Reviewer.listed() if people is None else people)]
    by_mark: dict[Any, set[int]] = defaultdict(set)
    for at, (_, facts) in enumerate(seen):
        for mark in conflicts.marks(facts):
            by_mark[mark].add(at)
    for application in applications:
        known = entry(application)
        close = set().union(*(by_mark.get(mark, ()) for mark in conflicts.marks(known)))
        close |= {at for at, (one, _) in enumerate(seen) if (application.pk, one.pk) in besides}
        for at in sorted(close):
            yield application, known, *seen[at]
