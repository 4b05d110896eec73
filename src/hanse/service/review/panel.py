"""The panel's meeting on a closed round: members, places it changed with a reason, minutes. Closed once, then frozen.

The computed ranking stays as it is; what the panel made of it stands beside it (`settled`) and counts for decisions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from django.conf import settings
from django.db import models, transaction

from hanse.contracts import review_ends as contract
from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, PolicyError, UsageError
from hanse.programme.review import panel as pure
from hanse.programme.review import steps as order
from hanse.service.access.models import Application, Person
from hanse.service.records import PublicIdField, together, transition
from hanse.service.review import steps
from hanse.service.review.ranked import Round
from hanse.service.review.reviewers import require_judge_of_all
from hanse.service.runs.events import AppendOnly, Event

TRANSITIONS: Mapping[str, frozenset[str]] = {"open": frozenset({"closed"}), "closed": frozenset()}
WAITING = ("sent", "in-review")


class Panel(models.Model):
    public_id = PublicIdField(prefix="pnl")
    round = models.OneToOneField(Round, on_delete=models.PROTECT, related_name="panel")
    state = models.CharField(max_length=6, choices=[(one, one) for one in TRANSITIONS], default="open")
    held_on = models.DateField()
    minutes = models.TextField(blank=True)
    opened_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    closed_by = models.ForeignKey(Person, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        app_label = "review"
        ordering = ["-pk"]
        verbose_name = "panel"

    def __str__(self) -> str:
        return f"panel on {self.round}"

    @classmethod
    def convene(cls, held: Round | None, by: Person, *, members: tuple[str, ...], held_on: date) -> Panel:
        """Begin the meeting.

        Raises:
            PolicyError: not an officer, one of the applicants, or a member stands in an organisation that applied.
            UsageError: a member is not known here.
            Conflict: the round is not closed, or the panel met already.
        """
        by.require_officer()
        if held is None or held.state != "closed":
            raise Conflict("the round is not closed: there is no ranking yet", where="panel", fix="close it first")
        applications = _applications(held)
        require_judge_of_all(by, applications)
        people = [_member(name, applications) for name in dict.fromkeys(members)]
        if not people:
            raise UsageError("a panel has members", where="members", fix="name them")
        with transaction.atomic():
            made, new = cls.objects.get_or_create(round=held, defaults={"held_on": held_on, "opened_by": by})
            if not new:
                raise Conflict("the panel met already", where=made.public_id, fix="look at its places")
            for person in people:
                PanelMember.objects.create(panel=made, person=person)
            Event.record(
                "officer:panel:convened", made.public_id, by=by.username, call=held.call_id,
                to=", ".join(person.username for person in people),
            )  # fmt: skip
        return made

    def move(self, application: Application, by: Person, *, place: int, reason: str) -> None:
        """Put an application in another place, as the panel says.

        Raises:
            PolicyError: not an officer, or one of the applicants.
            UsageError: no reason, not of this round, no such place, or it stands there already.
            Conflict: the meeting is closed, or the application is decided.
        """
        self._require_judge(by)
        if not reason.strip():
            raise UsageError("a changed place needs its reason", where="reason", fix="say what the panel found")
        with transaction.atomic():
            held = self._locked()
            now_at = {one.id: one.place for one in settled(held.round)}
            was = now_at.get(application.public_id)
            if was is None:
                raise UsageError("it is not in this round's ranking", where="application", fix="see the ranking")
            if not 1 <= place <= len(now_at) or place == was:
                raise UsageError(
                    f"it stands in place {was} of {len(now_at)}", where="place", fix="give it another one of these"
                )
            state = Application.objects.select_for_update(of=("self",)).get(pk=application.pk).state
            if state not in WAITING:
                raise Conflict(f"the application is {state}", where=application.public_id, fix="look at it again")
            PanelMove.objects.create(
                panel=held, application=application, was=was, place=place, reason=reason.strip(), by=by
            )
            Event.record(
                "officer:panel:moved", application.public_id, by=by.username, reason=reason, was=was, place=place
            )

    def close(self, by: Person, *, minutes: str) -> None:
        """End the meeting with its minutes; its places are frozen and its step is done.

        Raises:
            PolicyError: not an officer, or one of the applicants.
            UsageError: no minutes.
            Conflict: it was closed before.
        """
        self._require_judge(by)
        if not minutes.strip():
            raise UsageError("a meeting has minutes", where="minutes", fix="write who said what was decided and why")
        with together():
            held = self._locked()
            transition(
                held, "closed", TRANSITIONS, event="officer:panel:closed", by=by.username, minutes=minutes.strip(),
                closed_by=by, closed_at=now(), data={"call": held.round.call_id},
            )  # fmt: skip
            standing = {one.id: one.standing for one in settled(held.round)}
            for one in _applications(held.round):
                waits = one.state in WAITING and "panel" in order.kinds(one.call.terms)
                if waits and steps.states(one).get("scientific") != "failed":
                    good = standing[one.public_id] != "below"
                    steps.finish(
                        one, "panel", by, passed=good, reason="" if good else "The panel does not recommend it."
                    )
        self.refresh_from_db()

    def _locked(self) -> Panel:
        held: Panel = Panel.objects.select_for_update(of=("self",)).select_related("round").get(pk=self.pk)
        if held.state == "closed":
            raise Conflict("the panel's meeting is closed", where=self.public_id, fix="look at its places")
        return held

    def _require_judge(self, by: Person) -> None:
        require_judge_of_all(by, _applications(self.round))

    def contract(self) -> contract.Panel:
        moves = self.moves.select_related("application", "by")  # type: ignore[attr-defined]
        members = self.members.select_related("person")  # type: ignore[attr-defined]
        return contract.Panel(
            id=self.public_id, round=self.round.public_id, call=self.round.call_id, cut_off=self.round.cut_off,
            state=self.state, members=tuple(one.person.username for one in members), held_on=self.held_on,
            minutes=self.minutes, closed_at=self.closed_at,
            moves=tuple(
                contract.PanelMove(
                    application=one.application.public_id, was=one.was, place=one.place, reason=one.reason,
                    by=one.by.username, at=one.at,
                )
                for one in moves
            ),
        )  # fmt: skip


class PanelMember(models.Model):
    panel = models.ForeignKey(Panel, on_delete=models.CASCADE, related_name="members")
    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="panels")

    class Meta:
        app_label = "review"
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["panel", "person"], name="panel_member_once")]

    def __str__(self) -> str:
        return f"{self.person} in {self.panel}"


class PanelMove(AppendOnly):
    """One change of a place, with its reason."""

    panel = models.ForeignKey(Panel, on_delete=models.PROTECT, related_name="moves")
    application = models.ForeignKey(Application, on_delete=models.PROTECT, related_name="panel_moves")
    was = models.PositiveIntegerField()
    place = models.PositiveIntegerField()
    reason = models.TextField()
    by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(default=now)

    class Meta:
        app_label = "review"
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.application.public_id}: {self.was} to {self.place}"


def settled(
    held: Round, computed: Mapping[str, Any] | None = None, moved: Sequence[tuple[str, int, str]] | None = None
) -> tuple[pure.Settled, ...]:
    """The places of a closed round as the panel left them; without one, or without moves, as they were computed.

    `computed` (standings in order of place) and `moved` are read where they are not at hand.
    """
    if computed is None:
        rows = held.recommendations.order_by("place").values_list("application__public_id", "standing")  # type: ignore[attr-defined]
        computed = dict(rows)
    steps_of = [(one, place) for one, place, _ in (moves(held) if moved is None else moved)]
    return pure.settle(computed, steps_of, places=held.places or 0, reserve=held.reserve)


def moves(held: Round) -> list[tuple[str, int, str]]:
    """(application, place, reason) of every change, in order."""
    rows = PanelMove.objects.filter(panel__round=held).order_by("pk")
    return list(rows.values_list("application__public_id", "place", "reason"))


def _applications(held: Round) -> list[Any]:
    rows = Application.objects.filter(recommendations__round=held).select_related("organisation", "call")
    return list(rows.order_by("pk"))


def _member(name: str, applications: list[Any]) -> Person:
    person = Person.objects.filter(username=name, is_active=True).first()
    if person is None:
        raise UsageError(f"nobody here is called {name}", where="members", fix="invite them first")
    own = set(person.memberships.values_list("organisation_id", flat=True))
    there = next((one for one in applications if one.organisation_id in own), None)
    if there is not None and not settings.HANSE_EMBEDDED:
        raise PolicyError(
            f"{person.display_name} stands in {there.organisation}, which applied", where=there.public_id,
            fix="choose another member",
        )  # fmt: skip
    return person
