"""One leg between its inner steps: send a fragment, commit or hear who took part, merge, catch up; by files alone.

`after` is called after every inner step and does nothing in most. Whatever is done depends on files and on the step
they are looked at, so that a leg killed anywhere does the same again from its checkpoint.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Protocol

import numpy as np

from hanse.contracts.base import now
from hanse.contracts.errors import TrainingError
from hanse.contracts.outer import OuterCommit, OuterFile, OuterLaunch, OuterPart, OuterShare
from hanse.training.outer import merge
from hanse.training.outer.chain import OffTheChain
from hanse.training.outer.mail import Mail
from hanse.training.outer.quantise import Values, decode, encode
from hanse.training.outer.state import Fragment, OuterState, Pending
from hanse.training.outer.steps import Calendar
from hanse.training.outer.succession import Succession
from hanse.training.outer.sums import Merged, Sums
from hanse.training.outer.trail import Trail
from hanse.training.outer.waiting import Waiting

POLL_S: Final = 0.2
LOOK_EVERY_S: Final = 1.0


class Local(Protocol):
    """The leg's own weights. All values are fp32, parameters flattened one after another."""

    def read(self, names: Sequence[str]) -> Values: ...
    def write(self, names: Sequence[str], values: Values) -> None: ...
    def idle(self) -> None:
        """Called again and again while the leg waits for the others."""
        ...


class Leg:
    """One leg of a run. `fragments` are the names of what travels together."""

    def __init__(
        self, launch: OuterLaunch, calendar: Calendar, mail: Mail, local: Local, trail: Trail, *,
        fragments: Sequence[Sequence[str]], tokens_per_step: int, stop_asked: Callable[[], bool] = lambda: False,
        poll_s: float = POLL_S,
    ) -> None:  # fmt: skip
        self.terms, self.name, self.calendar = launch.terms, launch.leg, calendar
        self.mail, self.local, self.trail = mail, local, trail
        self.names, self.tokens_per_step, self.stop_asked = fragments, tokens_per_step, stop_asked
        self.poll_s = poll_s
        self.stopped = False
        """It was asked to stop while it waited for the others."""
        self._succession = Succession(self.terms, self.name, mail, trail)
        self._sums = Sums(self.terms, self.name, mail)
        self._looked = self._round_began = time.monotonic()
        self._other_base: set[str] = set()
        self._waiting = Waiting(poll_s, self.terms.hold_s)
        self.state = OuterState(leg=self.name, fragments=[Fragment.first(local.read(each)) for each in fragments])

    # What the trainer calls

    def resume(self, state: OuterState | None, step: int) -> int:
        """Go on from a checkpoint's state, or from the first weights; the inner step that the leg is at.

        A state of another leg's checkpoint, or none, leaves the leg with what the outer steps have come to.
        """
        self.state = state or self.state
        if state is not None and self.state.step != step:
            raise TrainingError(f"its outer state is of step {self.state.step}, the checkpoint of step {step}")
        self._round_began = time.monotonic()
        self._succession.heard()
        return self.after(step)

    @property
    def done(self) -> bool:
        """Every outer step is applied, and enough legs know the last one."""
        return self.state.applied == self.calendar.numbers and self._succession.known_to_enough(self.state.commits)

    def otherwise(self, commits: Sequence[str]) -> str:
        """Why this leg must not go on from where it had applied these; '' where it may."""
        try:
            self._succession.ahead(commits)
        except OffTheChain as off:
            return f"the other legs went on otherwise: {off}"
        return ""

    @property
    def agreed(self) -> int:
        """So many commits are known to enough legs: what goes back never goes back behind them."""
        known = {**self.state.agreed, self.name: self.state.applied}
        levels = [n for n in known.values() if self.terms.enough({leg for leg, m in known.items() if m >= n})]
        return max(levels, default=0)

    def tidy(self, needed: int) -> None:
        """Remove the files of commits that every leg has applied; `needed` is what a checkpoint of this one, of
        before `agreed`, has applied."""
        others = [self.state.agreed.get(each.name, 0) for each in self.terms.legs if each.name != self.name]
        self.mail.prune(min([needed, *others]))

    def after(self, step: int) -> int:
        """After `step` inner steps: everything that is due; the step it has come to, later than `step` if the leg was
        late and has caught up, or sent what it had because its round took too long.

        Raises:
            OffTheChain: others went on otherwise; the leg must go back to a checkpoint that is on their chain.
            TrainingError: the sum comes out otherwise than on the other legs, or its own weights are not finite.
        """
        self._count(step)
        self._look(min(LOOK_EVERY_S, 10 * self.poll_s))
        while not self.stopped:
            if (late := self._caught_up(step)) is not None:
                step = self._moved(late)
            elif (number := self._to_send(step)) is not None:
                self._send(number, step)
                step = self._moved(max(step, self.calendar.point(number)))
            elif self._must_wait(step):
                if not self._go_on(step):
                    self._wait()
            else:
                self._lead()
                break
        self._waiting.taken_s()
        return step

    # Sending

    def _count(self, step: int) -> None:
        state = self.state
        if more := step - state.step:
            state.fragments = [replace(each, trained=each.trained + more) for each in state.fragments]
            state.step = step

    def _moved(self, step: int) -> int:
        """Steps passed over are not trained on."""
        self.state.step = step
        return step

    def _to_send(self, step: int) -> int | None:
        """The number to be sent now, if there is one; before it, what was sent of earlier ones must be applied."""
        number = self.state.sent
        if number >= self.calendar.numbers or not self._due(number, step):
            return None
        if self._pending() and step < self.calendar.steps:
            return None
        return number

    def _due(self, number: int, step: int) -> bool:
        if step >= self.calendar.point(number):
            return True
        if (own := self._own_part(number)) is not None:  # sent before the leg was killed
            return step >= own.step
        share = (number % self.calendar.fragments + 1) / self.calendar.fragments
        elapsed = time.monotonic() - self._round_began
        return self.terms.round_s is not None and elapsed >= self.terms.round_s * share and self._trained(number) > 0

    def _own_part(self, number: int) -> OuterPart | None:
        base = self.state.fragments[number % self.calendar.fragments].sha256
        return self.mail.part(number, self.name, base_sha256=base)

    def _trained(self, number: int) -> int:
        return self.state.fragments[number % self.calendar.fragments].trained

    def _send(self, number: int, step: int) -> None:
        at = number % self.calendar.fragments
        fragment, now_there = self.state.fragments[at], self.local.read(self.names[at])
        wanted = fragment.weights - now_there
        wanted += fragment.residual
        # If it was sent before the leg was killed, that is what the others have.
        own = self._own_part(number)
        sent = self._encoded(number, step, wanted) if own is None else self.mail.values(own)
        pending = Pending(
            number=number, step=max(step, self.calendar.point(number)), sent=now_there, residual=fragment.residual,
            trained=fragment.trained,
        )  # fmt: skip
        self.state.fragments[at] = replace(fragment, residual=wanted - sent, pending=pending)
        self._succession.heard()
        if at == self.calendar.fragments - 1:
            self._round_began = time.monotonic()

    def _encoded(self, number: int, step: int, wanted: Values) -> Values:
        outer_step, at = divmod(number, self.calendar.fragments)
        fragment, codec = self.state.fragments[at], self.terms.codec
        try:
            payload = encode(wanted, codec)
        except ValueError as error:
            raise TrainingError(
                f"at step {step} the weights to be sent are not finite", fix="Lower optimizer.lr, or set faults: skip."
            ) from error
        body = OuterPart(
            run_id=self.terms.run_id, terms_sha256=self.terms.digest(), leg=self.name, outer_step=outer_step,
            epoch=self._succession.epoch,
            fragment=at, base_sha256=fragment.sha256, step=step, tokens=fragment.trained * self.tokens_per_step,
            samples=fragment.trained * self.calendar.batch, values=len(wanted), codec=codec,
            payload_bytes=len(payload), payload_sha256=merge.sha256(payload), norm=merge.norm(wanted),
            at=now(),
        )  # fmt: skip
        self.mail.send(body, payload)
        self.trail.note(
            "sent", step=step, outer_step=outer_step, fragment=at, sent_bytes=len(payload), norm=body.norm,
            parts=(_share(body),),
        )  # fmt: skip
        return decode(payload, len(wanted), codec)

    # Waiting, committing, applying

    def _pending(self) -> Pending | None:
        """The oldest that was sent and is not applied."""
        return self.state.fragments[self.state.applied % self.calendar.fragments].pending

    def _must_wait(self, step: int) -> bool:
        """Whether what was sent is needed now: it is due, or the next is to be sent; or, at the end, others' word."""
        if self.state.applied == self.calendar.numbers:
            return not self._succession.known_to_enough(self.state.commits)
        pending = self._pending()
        if pending is None:
            return False
        at_end = step >= self.calendar.steps
        next_one = self.state.sent < self.calendar.numbers and self._due(self.state.sent, step)
        return at_end or next_one or step >= pending.step + self.terms.overlap_steps

    def _go_on(self, step: int) -> bool:
        """Apply the next commit if it and its parts are here; False: there is nothing to do but wait."""
        self._lead()
        number = self.state.applied
        commit = self._succession.ahead(self.state.commits).get(number)
        if commit is None or not self._sums.parts_are_here(commit):
            return False
        at = number % self.calendar.fragments
        old = self.state.fragments[at]
        pending, merged = old.pending, self._sums.of(commit, old)
        assert pending is not None
        took_part = self.name in {each.leg for each in commit.parts}
        new = merged.fragment
        since = old.trained - pending.trained
        there = self.local.read(self.names[at])
        if took_part:
            new, kept = replace(new, residual=old.residual, trained=since), pending.sent
        elif self.terms.late == "carry":
            new, kept = replace(new, residual=pending.residual, trained=old.trained), old.weights
        else:
            new, kept = replace(new, residual=pending.residual, trained=since), pending.sent
        self.local.write(self.names[at], new.weights if np.array_equal(there, kept) else new.weights + (there - kept))
        self._applied(commit, new, merged, step)
        if not took_part:
            became = "its work goes with the next part" if self.terms.late == "carry" else "its part is dropped"
            self._note("late", commit, step, reason=f"the part came after the commit; {became}")
        return True

    def _applied(self, commit: OuterCommit, fragment: Fragment, merged: Merged, step: int) -> None:
        self.state.fragments[commit.fragment] = fragment
        # Who took part has moved from the very weights that the commits before came to.
        behind = self.state.applied + 1 - self.calendar.fragments
        self.state.agreed = {**self.state.agreed, **{each.leg: max(0, behind) for each in commit.parts}}
        self.state.commits.append(commit.digest())
        self._succession.heard()
        self._note(
            "applied", commit, step, parts=commit.parts, result_sha256=commit.result_sha256,
            received_bytes=merged.received_bytes, waited_s=self._waiting.taken_s(), norm=merge.norm(merged.gradient),
        )  # fmt: skip
        if self.state.applied == self.calendar.numbers:
            # What a leg would carry on to its next part has none to go with: all end with the very same weights.
            for names, each in zip(self.names, self.state.fragments, strict=True):
                self.local.write(names, each.weights)
            self._succession.speak("done", self.state.commits)

    def _lead(self) -> None:
        """Where this leg commits: write who takes part, once all parts are here or it has waited long enough."""
        number = self.state.applied
        at = number % self.calendar.fragments
        pending = self.state.fragments[at].pending
        if (
            number >= self.calendar.numbers
            or pending is None
            or pending.number != number
            or not self._succession.may_lead(self.state.applied)
        ):
            return
        if number in self._succession.ahead(self.state.commits):
            return
        own = self._own_part(number)
        assert own is not None
        waited_s = max(0.0, (now() - own.at).total_seconds())
        here = {each.leg for each in self._parts_from_here(number)} | self.mail.absent()
        if any(each.name not in here for each in self.terms.legs):
            if waited_s < self.terms.wait_s:
                return
            self.mail.look()  # nobody is left out whose part lies here
        parts = self._parts_from_here(number)
        if len(parts) < self.terms.min_legs:
            return
        shares = tuple(_share(each) for each in parts)
        merged = self._sums.merge(self.state.fragments[at], shares)
        commit = OuterCommit(
            run_id=self.terms.run_id, terms_sha256=self.terms.digest(), leg=self.name, epoch=self._succession.epoch,
            outer_step=number // self.calendar.fragments, fragment=at,
            previous_sha256=self.state.commits[-1] if self.state.commits else None, parts=shares,
            base_sha256=self.state.fragments[at].sha256, result_sha256=merged.fragment.sha256, waited_s=waited_s,
            at=now(),
        )  # fmt: skip
        self._sums.keep(commit, merged)
        self.mail.send(commit)
        self._note("committed", commit, self.state.step, parts=shares, waited_s=waited_s)

    def _parts_from_here(self, number: int) -> list[OuterPart]:
        """In the order of the legs; what has moved from other weights than this outer step begins with is left out."""
        found, base = [], self.state.fragments[number % self.calendar.fragments].sha256
        for leg in self.terms.legs:
            if (part := self.mail.part(number, leg.name, base_sha256=base)) is not None:
                found.append(part)
            elif (other := self.mail.part(number, leg.name)) is not None and other.digest() not in self._other_base:
                self._other_base.add(other.digest())
                self.trail.refused(OuterFile(body=other, signature="").name, "it has moved from other weights")
        return found

    # Late and returning

    def _caught_up(self, step: int) -> int | None:
        """Take in what was committed without a part of this leg's; the inner step that it is then at."""
        commits = dict(self._succession.ahead(self.state.commits))
        first = self.state.applied
        # As far as parts are here; the rest is still on its way.
        lacking = min((number for number, each in commits.items() if not self._sums.parts_are_here(each)), default=None)
        if lacking is not None:
            commits = {number: each for number, each in commits.items() if number < lacking}
        if not any(self._was_missed(number, each) for number, each in commits.items()):
            return None
        little = len(commits) <= self.calendar.fragments
        for number in sorted(commits):
            self._take_in(commits[number], carry=self.terms.late == "carry" and little, step=step)
        last = max(commits)
        self._round_began = time.monotonic()
        what = "late" if little and first else "returned"
        self._note(
            what, commits[last], step,
            reason=f"{len(commits)} commits were made without leg {self.name}; it goes on from the newest",
        )  # fmt: skip
        return max(step, self.calendar.point(last))

    def _was_missed(self, number: int, commit: OuterCommit) -> bool:
        pending = self.state.fragments[number % self.calendar.fragments].pending
        sent = pending is not None and pending.number == number
        return not sent and self.name not in {each.leg for each in commit.parts}

    def _take_in(self, commit: OuterCommit, *, carry: bool, step: int) -> None:
        at = commit.fragment
        old = self.state.fragments[at]
        merged = self._sums.of(commit, old)
        new = merged.fragment
        if carry and self.name not in {each.leg for each in commit.parts}:
            residual = old.pending.residual if old.pending is not None else old.residual
            moved = self.local.read(self.names[at]) - old.weights
            self.local.write(self.names[at], new.weights + moved)
            new = replace(new, residual=residual, trained=old.trained)
        else:
            self.local.write(self.names[at], new.weights)
            new = replace(new, residual=np.zeros_like(new.weights), trained=0)
        self._applied(commit, new, merged, step)

    # Waiting

    def _look(self, every_s: float) -> None:
        if time.monotonic() - self._looked >= every_s:
            self.mail.look()
            self._looked = time.monotonic()

    def _wait(self) -> None:
        if self.stop_asked() or not self._waiting.moment(self._for_what):
            self.stopped = True
            return
        self.local.idle()
        self._look(0.0)
        self._succession.silent(self.state.commits, over=self.state.applied == self.calendar.numbers)

    def _for_what(self) -> str:
        number = self.state.applied
        if number == self.calendar.numbers:
            return f"leg {self.name} waits for enough legs to know the last outer step"
        missing = [each.name for each in self.terms.legs if self.mail.part(number, each.name) is None]
        of = f"outer step {number // self.calendar.fragments + 1} of {self.calendar.rounds}"
        what = f"no part yet from {', '.join(missing)}" if missing else "all parts are here, no commit yet"
        return f"leg {self.name} waits at {of}: {what}"

    def _note(self, what: str, commit: OuterCommit, step: int, **fields: object) -> None:
        self.trail.note(what, step=step, outer_step=commit.outer_step, fragment=commit.fragment, **fields)  # type: ignore[arg-type]


def _share(part: OuterPart) -> OuterShare:
    return OuterShare(leg=part.leg, part_sha256=part.digest(), tokens=part.tokens)
