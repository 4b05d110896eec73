"""Parcels: files of a run that the service asks one machine's agent to send and another's to fetch.

Agents speak outbound only, so the service keeps the pieces in between (`pieces`). A parcel is ready when every piece is
here, arrived when the receiver has verified every file; what was repeated or comes late changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from django.conf import settings
from django.db import models, transaction
from django.db.models import Q

from hanse.client.parcels import Lacking, ParcelManifest, fits
from hanse.contracts import parcel as contract
from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, PolicyError, UsageError
from hanse.contracts.parcel import ParcelOrder, ParcelReport
from hanse.contracts.run import FINAL_RUN_STATES
from hanse.contracts.units import format_bytes
from hanse.service.records import ContractField, PublicIdField, transition
from hanse.service.runs.events import Event
from hanse.service.runs.machines import Machine
from hanse.service.runs.pieces import store

Kind = Literal["checkpoint", "data", "outer"]

WAITED_FOR: Final = frozenset({"asked", "packing", "moving"})
TRANSITIONS: Final[Mapping[str, frozenset[str]]] = {
    "asked": frozenset({"packing", "moving", "ready", "failed"}),
    "packing": frozenset({"moving", "ready", "failed", "asked"}),
    "moving": frozenset({"packing", "ready", "failed", "asked"}),
    "ready": frozenset({"arrived", "failed", "asked"}),
    "arrived": frozenset(),
    "failed": frozenset(),
}
KEEP_PER_RUN: Final = 2
"""Parcels of a kind whose pieces are kept for a run, beyond those under way."""
KEEP_FOR: Final = timedelta(days=7)
"""After that the pieces of an ended parcel go, whatever came after it."""
ABANDONED_AFTER: Final = timedelta(days=30)


class Parcel(models.Model):
    public_id = PublicIdField(prefix="par")
    run = models.ForeignKey("runs.Run", on_delete=models.PROTECT, related_name="parcels")
    kind = models.CharField(max_length=12)
    from_machine = models.ForeignKey(Machine, on_delete=models.PROTECT, related_name="parcels_sent")
    to_machine = models.ForeignKey(Machine, on_delete=models.PROTECT, related_name="parcels_fetched")
    state = models.CharField(max_length=12, default="asked", choices=[(state, state) for state in TRANSITIONS])
    reason = models.TextField(blank=True)
    step = models.PositiveBigIntegerField(null=True, blank=True)
    manifest = ContractField(contract="hanse.client.parcels.ParcelManifest", null=True, blank=True)
    total_bytes = models.PositiveBigIntegerField(default=0)
    sent_bytes = models.PositiveBigIntegerField(default=0)
    fetched_bytes = models.PositiveBigIntegerField(default=0)
    times = models.PositiveIntegerField(default=0)
    carried_bytes = models.PositiveBigIntegerField(default=0)
    """Of one that is ordered again and again (`exchanges`): how often it arrived before, and with how much."""
    ordered_at = models.DateTimeField()
    ready_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    pruned_at = models.DateTimeField(null=True, blank=True)
    """When its pieces were given up; the record stays."""

    class Meta:
        app_label = "runs"
        ordering = ["pk"]
        indexes = [models.Index(fields=["state"], name="parcel_state")]

    def __str__(self) -> str:
        return self.public_id

    @classmethod
    def order(cls, run: Any, kind: Kind, from_machine: Machine, to_machine: Machine, *, by: str = "service") -> Parcel:
        """Ask for a parcel; the same one again while it is under way. A checkpoint brings the run's data along.

        Raises:
            UsageError: from a machine to itself.
        """
        if from_machine.pk == to_machine.pk:
            raise UsageError("a parcel goes from one machine to another", where=from_machine.public_id)
        with transaction.atomic():
            run.locked()
            if kind == "checkpoint" and run.spec.data:
                cls._ordered(run, "data", from_machine, to_machine, by)
            return cls._ordered(run, kind, from_machine, to_machine, by)

    @classmethod
    def _ordered(cls, run: Any, kind: Kind, from_machine: Machine, to_machine: Machine, by: str) -> Parcel:
        same = cls.objects.filter(run=run, kind=kind, from_machine=from_machine, to_machine=to_machine)
        under_way: Parcel | None = same.filter(state__in=(*WAITED_FOR, "ready")).last()
        if under_way is not None:
            return under_way
        made: Parcel = cls.objects.create(
            run=run, kind=kind, from_machine=from_machine, to_machine=to_machine, ordered_at=now()
        )
        Event.record(
            "service:parcel:ordered", made.public_id, by=by, run=run.public_id, kind=kind,
            source=from_machine.public_id, target=to_machine.public_id,
        )  # fmt: skip
        return made

    @classmethod
    def orders_for(cls, machine: Machine) -> tuple[ParcelOrder, ...]:
        """What its agent is to pack and send; repeated until every piece is here."""
        wanted = cls.objects.filter(from_machine=machine, state__in=WAITED_FOR)
        wanted = wanted.exclude(kind="outer", run__state__in=FINAL_RUN_STATES)
        named = wanted.values_list("public_id", "run__public_id", "kind", "to_machine__public_id")
        return tuple(
            ParcelOrder(id=parcel, run_id=run, kind=kind, to_machine=target) for parcel, run, kind, target in named
        )

    @classmethod
    def of_attempt(cls, attempt: Any) -> tuple[Parcel, ...]:
        """The latest parcel of each kind ordered for the attempt's run to the attempt's machine."""
        mine = cls.objects.filter(run=attempt.leg.run, to_machine=attempt.leg.machine)
        latest = {parcel.kind: parcel for parcel in mine.exclude(kind="outer").order_by("pk")}
        return tuple(latest.values())

    @classmethod
    def for_attempt(cls, attempt: Any) -> tuple[contract.Parcel, ...]:
        """What the attempt's agent must fetch before it submits; empty until all of it is ready."""
        parcels = cls.of_attempt(attempt)
        if any(parcel.state in WAITED_FOR for parcel in parcels):
            return ()
        return tuple(parcel.contract() for parcel in parcels if parcel.state in {"ready", "arrived"})

    @classmethod
    def ready(cls, attempt: Any) -> bool:
        """Nothing is waited for any more: all that was ordered for it is ready, or will not come."""
        return all(parcel.state not in WAITED_FOR for parcel in cls.of_attempt(attempt))

    @classmethod
    def trouble(cls, attempt: Any) -> str:
        """Why something ordered for it will not come, in a sentence each; '' where nothing failed."""
        failed = (parcel for parcel in cls.of_attempt(attempt) if parcel.state == "failed")
        return " ".join(
            f"The {parcel.kind} of {parcel.from_machine.public_id} did not come: {parcel.reason}" for parcel in failed
        )

    @classmethod
    def take(cls, machine: Machine, reports: Iterable[ParcelReport]) -> list[Parcel]:
        """What its agent says of parcels it sends and fetches; of others nothing is believed. Those that arrived."""
        arrived = []
        for report in reports:
            with transaction.atomic():
                side = {"from_machine" if report.side == "send" else "to_machine": machine}
                parcel = cls.objects.select_for_update().filter(public_id=report.id, **side).first()
                if parcel is None or report.state not in TRANSITIONS[parcel.state] | {parcel.state}:
                    continue
                if report.side == "send":
                    parcel._sent(report, by=machine.actor)
                else:
                    parcel._fetched(report, by=machine.actor)
                if parcel.state == "arrived":
                    arrived.append(parcel)
        return arrived

    def _sent(self, report: ParcelReport, *, by: str) -> None:
        self._note(reason=report.reason, sent_bytes=report.moved_bytes)
        if report.state == "ready":
            self.become_ready(by=by)
        elif report.state in {"packing", "moving", "failed"} and self.state in WAITED_FOR:
            self._become(report.state, by=by, reason=report.reason)

    def _fetched(self, report: ParcelReport, *, by: str) -> None:
        if self.state == "ready":
            self._note(reason=report.reason, fetched_bytes=report.moved_bytes)
        if report.state in {"arrived", "failed"}:
            self._become(report.state, by=by, reason=report.reason)

    def _note(self, **fields: Any) -> None:
        if any(getattr(self, name) != value for name, value in fields.items()):
            type(self).objects.filter(pk=self.pk).update(**fields)
            for name, value in fields.items():
                setattr(self, name, value)

    def _become(self, to: str, *, by: str, reason: str = "") -> None:
        if self.state == to:
            return
        fields: dict[str, Any] = {"ready_at": now()} if to == "ready" else {}
        if to in {"arrived", "failed"}:
            fields["ended_at"] = now()
        if self.kind == "outer" and to != "failed":  # every few minutes for weeks: the legs' own trails tell it
            self._note(state=to, reason=reason, **fields)
            return
        transition(
            self, to, TRANSITIONS, event=f"agent:parcel:{to}", by=by, reason=reason, keep_reason=True,
            data={"run": self.run.public_id, "kind": self.kind, "size_bytes": self.total_bytes}, **fields,
        )  # fmt: skip
        if to in {"ready", "failed"} and self.kind != "outer":
            self._tell_who_waits()

    def _tell_who_waits(self) -> None:
        """The attempts that wait for it may be offered now."""
        for attempt in self.to_machine.open_attempts().filter(leg__run=self.run):
            attempt.wish_changed()

    def give_up(self, *, by: str, reason: str) -> None:
        """It will not come: the machine that has it does not answer. What waits goes on without it."""
        with transaction.atomic():
            parcel = type(self).objects.select_for_update().get(pk=self.pk)
            if "failed" in TRANSITIONS[parcel.state]:
                parcel._become("failed", by=by, reason=reason)
        self.refresh_from_db()

    def register(self, manifest: ParcelManifest, *, by: str) -> Lacking:
        """What was packed, told by the sender; the answer is which pieces are missing here. Repeating it is harmless.

        Raises:
            UsageError: it is another parcel's, too large, or names a path outside the run's folder.
            ServiceError: the store has no room for it.
            Conflict: the parcel is over, or complete.
        """
        self._require_own(manifest)
        store().require_room(sum(size for piece, size in manifest.sizes().items() if not self._has(piece)))
        with transaction.atomic():
            parcel = type(self).objects.select_for_update().get(pk=self.pk)
            if parcel.state == "ready" and parcel.manifest == manifest:
                return Lacking()
            if parcel.state not in WAITED_FOR:
                raise Conflict(f"the parcel is {parcel.state}", where=self.public_id, fix="send what is ordered only")
            packed = manifest.parcel
            parcel._note(manifest=manifest, step=packed.step, total_bytes=packed.size_bytes)
            lacking = parcel.lacking()
            if lacking:
                parcel._become("moving", by=by)
            else:
                parcel.become_ready(by=by)
        return Lacking(pieces=lacking)

    def _require_own(self, manifest: ParcelManifest) -> None:
        packed, own = manifest.parcel, self.contract()
        if (packed.id, packed.run_id, packed.kind, packed.from_machine, packed.to_machine) != (
            own.id, own.run_id, own.kind, own.from_machine, own.to_machine,
        ):  # fmt: skip
            raise UsageError("the manifest is of another parcel", where=self.public_id)
        for file in packed.files:
            if not fits(packed.kind, file.path):
                raise UsageError(
                    f"a {packed.kind} parcel may not hold {file.path!r}", where=self.public_id,
                    fix="send checkpoint, ledger, prepared data or the outbox, by relative paths",
                )  # fmt: skip
        if packed.size_bytes > settings.PARCEL_MAX_BYTES:
            raise UsageError(
                f"the parcel is {format_bytes(packed.size_bytes)}, and {format_bytes(settings.PARCEL_MAX_BYTES)} is "
                "the most this service carries",
                where=self.public_id, fix="move it yourself with rsync, or raise HANSE_PARCEL_MAX_BYTES",
            )  # fmt: skip

    @property
    def scope(self) -> str:
        return str(self.run.project.public_id)

    def _has(self, piece: str) -> bool:
        return store().has(self.scope, piece)

    def lacking(self) -> tuple[str, ...]:
        pieces = self.manifest.sizes() if self.manifest else {}
        return tuple(piece for piece in pieces if not self._has(piece))

    def become_ready(self, *, by: str) -> None:
        """If every piece is here indeed; a sender's word alone does not make it so."""
        if self.state in WAITED_FOR and self.manifest is not None and not self.lacking():
            self._become("ready", by=by)

    def receive(self, sha256: str, data: bytes) -> None:
        """Keep a piece of it. Raises PolicyError for one that it does not name."""
        if self.state not in WAITED_FOR | {"ready"} or self.manifest is None or sha256 not in self.manifest.sizes():
            raise PolicyError(f"parcel {self.public_id} does not wait for the piece {sha256[:12]}", where=sha256[:16])
        store().put(self.scope, sha256, data)

    def piece(self, sha256: str) -> bytes:
        """A piece of a ready parcel. One that is lost is asked for again.

        Raises:
            PolicyError: it does not name such a piece.
            Conflict: it is not here (any more); the sender is asked again.
        """
        if self.manifest is None or sha256 not in self.manifest.sizes():
            raise PolicyError(f"parcel {self.public_id} has no piece {sha256[:12]}", where=sha256[:16])
        data = store().get(self.scope, sha256)
        if data is None:
            if self.state == "ready":
                transition(self, "asked", TRANSITIONS, event="service:parcel:asked-again", by="service",
                           reason=f"the piece {sha256[:12]} is gone", ready_at=None)  # fmt: skip
            raise Conflict(f"the piece {sha256[:12]} is not here", where=self.public_id, fix="wait: it is sent again")
        return data

    @classmethod
    def prune(cls, at: datetime) -> int:
        """Give up the pieces of parcels that are over and not among a run's latest; returns how many were."""
        waiting = cls.objects.filter(state__in=(*WAITED_FOR, "ready"), ordered_at__lt=at - ABANDONED_AFTER)
        for stale in waiting.exclude(kind="outer"):  # a leg may stay away for long
            stale.give_up(by="tick", reason=f"nobody sent or fetched it for {ABANDONED_AFTER.days} days")
        over = cls.objects.filter(state__in=("arrived", "failed"), pruned_at=None).exclude(manifest=None)
        pruned = 0
        for parcel in over.select_related("run__project"):
            later = cls.objects.filter(run=parcel.run, kind=parcel.kind, pk__gt=parcel.pk).exclude(manifest=None)
            if later.count() >= KEEP_PER_RUN or (parcel.ended_at and parcel.ended_at < at - KEEP_FOR):
                pruned += parcel._prune(at)
        return pruned

    def give_back_pieces(self) -> None:
        """Those that no other parcel of the project names go from the store."""
        if self.manifest is None:
            return
        kept = type(self).objects.filter(Q(pruned_at=None), run__project=self.run.project).exclude(manifest=None)
        still = {piece for other in kept.exclude(pk=self.pk) for piece in other.manifest.sizes()}
        store().delete(self.scope, set(self.manifest.sizes()) - still)

    def _prune(self, at: datetime) -> int:
        if not type(self).objects.filter(pk=self.pk, pruned_at=None).update(pruned_at=at):
            return 0
        self.give_back_pieces()
        Event.record("service:parcel:pruned", self.public_id, by="tick", size_bytes=self.total_bytes)
        return 1

    def contract(self) -> contract.Parcel:
        if self.manifest is not None:
            packed: contract.Parcel = self.manifest.parcel
            return packed
        return contract.Parcel(
            id=self.public_id, run_id=self.run.public_id, kind=self.kind, from_machine=self.from_machine.public_id,
            to_machine=self.to_machine.public_id,
        )  # fmt: skip
