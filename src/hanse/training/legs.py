"""The trainer's side of a run with legs on several machines: what the loop calls after every step.

Of an ordinary run it is `Alone`, which does nothing. `Legs` lets a leg's outer steps happen (`hanse.training.outer`),
keeps their state in the checkpoints, and says at which step the leg is: later than the loop thinks if it was late.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from hanse.contracts.errors import NotAsWritten, TrainingError
from hanse.training import complete, ledger
from hanse.training.faults import Faults
from hanse.training.job import Job
from hanse.training.outer import state
from hanse.training.outer.fragments import fragments_of
from hanse.training.outer.leg import Leg
from hanse.training.outer.mail import Mail
from hanse.training.outer.ranks import Came, Ranked
from hanse.training.outer.steps import Calendar
from hanse.training.outer.trail import Trail
from hanse.training.parallelize import Parallel
from hanse.training.position import Position
from hanse.training.say import say


class Alone:
    """An ordinary run."""

    stopped, done = False, True
    waited_s = 0.0
    """So long the last call kept training from going on."""

    def begin(self, start: Position) -> Position:
        """Called once where training begins or goes on."""
        return start

    def after(self, position: Position) -> Position:
        """Called after every step; where the leg is then."""
        return position

    # Called with a checkpoint's folder

    def fault(self, folder: Path) -> str:  # noqa: ARG002 - a leg's looks into it
        """Why a leg must not go on from it; '' where it may."""
        return ""

    def restore(self, folder: Path | None) -> None:
        """It was loaded; None: there is none, and the run begins."""

    def snapshot(self) -> Callable[[Path], None] | None:
        """What writes this moment's outer state into a checkpoint, on rank 0."""
        return None

    def kept(self) -> None:
        """A checkpoint is whole."""

    def to_keep(self) -> Path | None:
        """A checkpoint that must stay, however old."""
        return None


class Legs(Alone):
    """One leg of a run, over all its ranks. Made by all of them together."""

    def __init__(
        self, job: Job, parallel: Parallel, faults: Faults, stop_asked: Callable[[], bool], *, calendar: Calendar,
        tokens_per_step: int,
    ) -> None:  # fmt: skip
        assert job.outer is not None
        if parallel.layout.pp > 1:
            raise TrainingError(
                "a leg of a run across machines cannot be a pipeline", where=f"layout {parallel.layout.describe()}",
                fix="Plan it with fsdp and tp; a leg has the ranks of one machine.",
            )  # fmt: skip
        self.job, self.faults, self.calendar = job, faults, calendar
        trained = {name: each for name, each in parallel.named_parameters() if each.requires_grad}
        sizes = {name: each.numel() for name, each in trained.items()}
        fragments = fragments_of(sizes, job.outer.terms.fragments)
        self._sizes = [sum(sizes[name] for name in names) for names in fragments]
        self._ranks = Ranked(trained, fragments, parallel.device)
        self._leg: Leg | None = None
        self._restored: state.OuterState | None = None
        self._adopted: int | None = None
        """Outer steps behind the checkpoint of another leg's that was loaded."""

        def meet() -> Came:
            launch = job.outer
            assert launch is not None
            trail = Trail(job.run.outer_rows, launch.leg, job.attempt_number)
            mail = Mail(job.run, launch, _key(job), self._sizes, trail)
            self._leg = Leg(
                launch, calendar, mail, self._ranks, trail, fragments=fragments, tokens_per_step=tokens_per_step,
                stop_asked=stop_asked,
            )  # fmt: skip
            names = ", ".join(each.name for each in launch.terms.legs)
            say(
                f"leg {launch.leg} of {names}: {calendar.rounds} rounds of {calendar.inner_steps} steps, sent as "
                f"{launch.terms.codec} in {len(fragments)} fragments"
            )
            return Came(0, stopped=False, done=False)

        self._ranks.lead(meet)
        self.done = False

    def begin(self, start: Position) -> Position:
        if (applied := self._adopted) is not None:
            step = self.calendar.point(applied - 1) if applied else 0
            start = Position(step=step, left_out=((1, step),) if step else ())
            self.faults.begin(start)
        leg, restored = self._leg, self._restored
        self._restored, self._adopted = None, None

        def act() -> Came:
            assert leg is not None
            if restored is not None and applied is not None:
                restored.step = start.step
            return Came(leg.resume(restored, start.step), leg.stopped, leg.done)

        return self._led(start, act)

    def after(self, position: Position) -> Position:
        leg = self._leg

        def act() -> Came:
            assert leg is not None
            return Came(leg.after(position.step), leg.stopped, leg.done)

        return self._led(position, act)

    def _led(self, position: Position, act: Callable[[], Came]) -> Position:
        began = time.perf_counter()
        came = self._ranks.lead(act)
        self.waited_s = time.perf_counter() - began
        self.stopped, self.done = came.stopped, came.done
        if came.step > position.step:
            self.faults.leave_out(position.step + 1, came.step)
            position = self.faults.after(position.model_copy(update={"step": came.step}))
        return position

    def fault(self, folder: Path) -> str:
        said = state.said_by(folder)
        if said is None:
            return "it has no outer state; it is not of a leg"
        return self._leg.otherwise(said.commits) if self._leg is not None else ""

    def restore(self, folder: Path | None) -> None:
        self._restored, self._adopted = None, None
        said = state.said_by(folder) if folder is not None else None
        if folder is None or said is None:
            return
        assert self.job.outer is not None
        own = self.job.outer.leg
        if said.leg != own:
            self._adopted = len(said.commits)
        if self._leg is None:  # rank 0 alone holds the values
            return
        self._restored = state.load(folder, leg=own, sizes=self._sizes)
        if self._restored is None:
            raise NotAsWritten("its outer state is of another model or other fragments", where=str(folder))
        if said.leg != own:
            ledger.cut_back(self.job.run.ledger, 0)
            say(f"{folder.name} is of leg {said.leg}: leg {own} takes the outer steps' weights from it")

    def snapshot(self) -> Callable[[Path], None] | None:
        return self._leg.state.copy().save if self._leg is not None else None

    def kept(self) -> None:
        """Remove files that neither this leg's checkpoints nor any other leg will ask for again."""
        if self._leg is not None:
            firm = [said for _, said in self._firm()]
            self._leg.tidy(min((len(each.commits) for each in firm), default=0))

    def to_keep(self) -> Path | None:
        return next((folder for folder, _ in self._firm()), None)

    def _firm(self) -> list[tuple[Path, state.Said]]:
        """Checkpoints that hold whatever the other legs decide, newest first."""
        if self._leg is None:
            return []
        agreed = self._leg.agreed
        found = ((folder, state.said_by(folder)) for folder in complete.whole(self.job.run.checkpoints))
        return [(folder, said) for folder, said in found if said is not None and len(said.commits) <= agreed]


def legs_of(
    job: Job, parallel: Parallel, faults: Faults, stop_asked: Callable[[], bool], *, calendar: Calendar | None,
    tokens_per_step: int,
) -> Alone:  # fmt: skip
    """What the launch makes of this job: a leg of several, with its calendar, or the whole of its run."""
    if calendar is None:
        return Alone()
    return Legs(job, parallel, faults, stop_asked, calendar=calendar, tokens_per_step=tokens_per_step)


def trained_steps(position: Position) -> int:
    """Steps whose batches were really trained on."""
    left_out = sum(last - first + 1 for first, last in position.left_out)
    return position.step + position.passed_over - left_out


def _key(job: Job) -> bytes:
    try:
        return job.run.exchange_key.read_bytes()
    except OSError as error:
        raise NotAsWritten(
            f"the key that this leg signs with cannot be read: {error.strerror}", where=str(job.run.exchange_key),
            fix="Launch the run again; the agent writes it.",
        ) from error  # fmt: skip
