"""Sites and their machines, and the agents that speak for them.

An agent's hello raises the machine's epoch; whoever speaks with an older one is refused. Away is a normal state.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import models, transaction

from hanse.client.answers import AgentStatus
from hanse.contracts.agentapi import ACCEPTED_PROTOCOLS, Hello, Welcome
from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, PolicyError, UsageError
from hanse.contracts.run import FINAL_ATTEMPT_STATES
from hanse.service.records import ContractField
from hanse.service.runs.events import Event

AWAY_AFTER = timedelta(seconds=120)
CLOCK_NOTED = timedelta(minutes=5)
CLOCK_REFUSED = timedelta(minutes=9)
"""Ten minutes, less what a request may take on its way."""
MACHINE_CONTRACTS = ("facts", "policy", "state")
"""Columns that take long to read and that few requests look at."""


class UnknownProtocol(UsageError):  # noqa: N818 - it states what is so
    """The agent speaks a protocol that is not spoken here."""

    def __init__(self, protocol: int) -> None:
        spoken = " and ".join(str(each) for each in sorted(ACCEPTED_PROTOCOLS))
        super().__init__(
            f"the agent speaks protocol {protocol}, this service {spoken}",
            fix="install the version of hanse that the service runs",
        )

    def note(self, machine: Machine | None) -> UnknownProtocol:
        if machine is not None:
            self.where = machine.public_id
            Event.note("agent:machine:protocol", machine.public_id, by=machine.actor, reason=self.what)
        return self


class Site(models.Model):
    """The organisation that hosts machines, under the name users know."""

    public_id = models.CharField(max_length=63, unique=True)
    name = models.CharField(max_length=200)
    organisation = models.ForeignKey("access.Organisation", on_delete=models.PROTECT, related_name="sites")

    class Meta:
        app_label = "runs"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Machine(models.Model):
    """One supercomputer of a site. `facts` arrive with its agent's first hello."""

    public_id = models.CharField(max_length=63, unique=True)
    site = models.ForeignKey(Site, on_delete=models.PROTECT, related_name="machines")
    facts = ContractField(contract="hanse.contracts.machine.Machine", null=True, blank=True)
    agent_epoch = models.PositiveBigIntegerField(default=0)
    acknowledged = models.PositiveBigIntegerField(default=0)
    """Highest sequence of the present epoch that is stored."""
    software = models.CharField(max_length=200, blank=True)
    last_heard_at = models.DateTimeField(null=True, blank=True)
    away_since = models.DateTimeField(null=True, blank=True)
    draining = models.BooleanField(default=False)
    """Set by the site's operator: nothing new is submitted."""
    stopped = models.BooleanField(default=False)
    """The kill switch: every job of Hanse's there is cancelled, and none submitted."""
    mode = models.CharField(max_length=10, default="run")
    policy = models.JSONField(default=list, blank=True)
    """What the site's policy binds, in sentences, as its agent said."""
    state = ContractField(contract="hanse.contracts.site.MachineState", null=True, blank=True)

    class Meta:
        app_label = "runs"
        ordering = ["public_id"]

    def __str__(self) -> str:
        return self.public_id

    @property
    def actor(self) -> str:
        return f"agent@{self.public_id}"

    def greet(self, hello: Hello, *, ticket_key: str) -> Welcome:
        """Take up the machine's facts and begin a new epoch.

        Raises:
            UsageError: another protocol.
            PolicyError: an agent of this machine speaks for another.
            Conflict: two agents said hello at the same moment; this one lost.
        """
        if hello.protocol not in ACCEPTED_PROTOCOLS:
            raise UnknownProtocol(hello.protocol).note(self)
        if hello.machine.id != self.public_id:
            raise PolicyError(
                f"this token is for machine {self.public_id}, not {hello.machine.id}",
                where=hello.machine.id,
                fix="enrol an agent for that machine",
            )
        self._compare_clocks(hello)
        with transaction.atomic():
            epoch, at = self.agent_epoch + 1, now()
            won = Machine.objects.filter(pk=self.pk, agent_epoch=self.agent_epoch).update(
                agent_epoch=epoch, acknowledged=0, facts=hello.machine, software=hello.software[:200],
                last_heard_at=at, away_since=None, mode=hello.mode, policy=list(hello.policy),
            )  # fmt: skip
            if not won:
                raise Conflict("another agent said hello at the same moment", where=self.public_id, fix="say it again")
            Event.record(
                "agent:machine:hello", self.public_id, by=self.actor, epoch=epoch, software=hello.software,
                protocol=hello.protocol, mode=hello.mode,
            )  # fmt: skip
        self.refresh_from_db()
        return Welcome(protocol=hello.protocol, epoch=epoch, ticket_key=ticket_key, clock=now())

    def _compare_clocks(self, hello: Hello) -> None:
        """Note a clock that is wrong; refuse one with which every ticket would be too new or too old."""
        if hello.clock is None:
            return
        apart = hello.clock - now()
        if abs(apart) <= CLOCK_NOTED:
            return
        said = (
            f"the agent's clock is {abs(apart).total_seconds() / 60:.0f} min "
            f"{'ahead of' if apart > timedelta() else 'behind'} the service's"
        )
        Event.note("agent:machine:clock", self.public_id, by=self.actor, reason=said)
        if abs(apart) > CLOCK_REFUSED:
            raise UsageError(
                said, where=self.public_id, fix="set that machine's clock (NTP), then start the agent again"
            )

    def require_epoch(self, epoch: int) -> None:
        if epoch != self.agent_epoch:
            raise Conflict(
                f"epoch {epoch} is over, {self.agent_epoch} speaks for this machine now",
                where=self.public_id,
                fix="stop this agent: another one was started after it",
            )

    def heard(self, *, acknowledged: int) -> None:
        """An agent spoke. Needs the row locked."""
        if self.away_since is not None:
            Event.record("agent:machine:back", self.public_id, by=self.actor)
        self.last_heard_at, self.away_since = now(), None
        self.acknowledged = max(self.acknowledged, acknowledged)
        self.save(update_fields=["last_heard_at", "away_since", "acknowledged"])

    @classmethod
    def note_the_away(cls, at: datetime) -> int:
        """Mark, once, every machine whose agent has not been heard of for a while."""
        silent = cls.objects.filter(away_since=None, last_heard_at__lt=at - AWAY_AFTER)
        noted = 0
        for machine in silent:
            with transaction.atomic():
                if silent.filter(pk=machine.pk).update(away_since=at):
                    Event.record(
                        "service:machine:away", machine.public_id, by="tick",
                        last_heard_at=machine.last_heard_at.isoformat(),
                    )  # fmt: skip
                    noted += 1
        return noted

    @property
    def away(self) -> bool:
        return self.last_heard_at is None or now() - self.last_heard_at > AWAY_AFTER

    def status(self) -> AgentStatus:
        return AgentStatus(
            machine=self.public_id,
            site=self.site.name,
            epoch=self.agent_epoch,
            software=self.software,
            last_heard_at=self.last_heard_at,
            away=self.away,
            draining=self.draining,
            open_attempts=self.open_attempts().count(),
        )

    def open_attempts(self) -> Any:
        from hanse.service.runs.attempts import Attempt

        # By the machine's own column and in the index's order: only so is the index of open attempts used.
        return Attempt.objects.filter(machine=self).exclude(state__in=sorted(FINAL_ATTEMPT_STATES))
