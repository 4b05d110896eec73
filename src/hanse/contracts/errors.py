"""The error tree. Each error says what was wrong, where, and what to do; only the CLI and the API print them.

HanseError                 exit code 1: the work failed
├── UsageError             exit code 2: what was typed or written is wrong; nothing was changed
│   └── SpecError            train.yaml or another file of the user's, with key and line
├── PlanError              no layout fits, or the machine or model is not known well enough
├── PolicyError            admission, the gate, a site's policy or a permit says no
├── SiteError              a scheduler or a machine did not do what was asked
│   ├── NoRoom               a disk there is full just now
│   └── SchedulerUnknown     the scheduler gave no usable answer: unknown, never "gone"
├── ServiceError           the service cannot be reached or refused the request
│   └── Conflict             somebody else changed the object first, or an older agent spoke
├── TicketError            a ticket is missing, expired, altered or does not cover what is asked
└── TrainingError          the trainer stopped: data, checkpoint, numerics
    └── NotAsWritten         exit code 2: data or a checkpoint are not what they say; nothing was changed
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hanse.contracts.decision import Finding


class HanseError(Exception):
    """`what` is one sentence, `where` a file, key or machine, `fix` the next thing to do."""

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", fix: str = "", history: tuple[str, ...] = ()) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.fix = fix
        self.history = history
        """What was tried before, in order ("Leonardo: 14 of 32 nodes free")."""

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return "\n".join([head, *(f"  tried {line}" for line in self.history), *([self.fix] if self.fix else [])])


class UsageError(HanseError):
    exit_code = 2


class SpecError(UsageError):
    pass


class PlanError(HanseError):
    pass


class PolicyError(HanseError):
    """A refusal; `findings` are the answers of the checks it rests on, where there were any."""

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        fix: str = "",
        history: tuple[str, ...] = (),
        findings: tuple[Finding, ...] = (),
    ) -> None:
        super().__init__(what, where=where, fix=fix, history=history)
        self.findings = findings


class SiteError(HanseError):
    pass


class NoRoom(SiteError):  # noqa: N818 - it states what is known
    """A disk there is full just now: nothing was begun, and the same may go well once there is room."""


class SchedulerUnknown(SiteError):  # noqa: N818 - it states what is known
    pass


class ServiceError(HanseError):
    pass


class Conflict(ServiceError):  # noqa: N818 - the field's word
    pass


class TicketError(HanseError):
    pass


class TrainingError(HanseError):
    pass


class NotAsWritten(TrainingError):  # noqa: N818 - it states what is known
    """Prepared data or a checkpoint are missing, damaged or another model's: refused before anything is written."""

    exit_code = 2
