"""Following a run: a live picture on a terminal, plain lines elsewhere.

The run goes on whether anybody looks or not; every figure comes from the service's API.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.constrain import Constrain
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hanse.cli import views
from hanse.cli.output import ProgramError
from hanse.contracts.base import now
from hanse.contracts.errors import ServiceError
from hanse.contracts.run import FINAL_RUN_STATES
from hanse.contracts.units import NBSP, SECONDS_PER_HOUR, format_gpu_hours, format_seconds, significant
from hanse.machines import waiting

if TYPE_CHECKING:
    from hanse.client.api import Client
    from hanse.contracts.run import Attempt, Run
    from hanse.contracts.telemetry import StepSummary

POLL_S = 1.0
LINE_EVERY_S = 10.0
TEND_EVERY_S = 15.0
"""How often it is looked after the embedded service and agent while somebody watches."""
AWAY_AFTER_S = 120.0
BARS = "▁▂▃▄▅▆▇█"
WINDOW = 20
"""Steps over which the measured step time is the median."""


def sparkline(values: list[float], width: int) -> str:
    """A row of blocks, highest value highest; at most `width` wide, each block the mean of its share."""
    if not values:
        return ""
    width = min(width, len(values))
    edges = [round(index * len(values) / width) for index in range(width + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    low, high = min(means), max(means)
    span = high - low or 1.0
    return "".join(BARS[min(int((value - low) / span * len(BARS)), len(BARS) - 1)] for value in means)


class Picture:
    """What is known of a run at one moment, and how it looks."""

    def __init__(self, run: Run, clock: Callable[[], datetime] = now) -> None:
        self.run = run
        self.rows: list[StepSummary] = []
        self.outage = ""
        self._clock = clock

    def learn(self, run: Run, rows: Iterable[StepSummary]) -> None:
        known = {row.step for row in self.rows}
        self.rows += [row for row in rows if row.step not in known]
        self.rows.sort(key=lambda row: row.step)
        self.run, self.outage = run, ""

    @property
    def step(self) -> int:
        return max(self.run.step, self.rows[-1].step if self.rows else 0)

    @property
    def steps(self) -> int:
        return self.run.steps or (self.run.plan.steps if self.run.plan else 0)

    @property
    def step_time_s(self) -> float | None:
        """Median over the last steps; the first one carries start-up and does not count if there are others."""
        rows = [row for row in self.rows if row.step > 1][-WINDOW:] or self.rows
        times = sorted(row.step_s.median for row in rows)
        return times[len(times) // 2] if times else None

    @property
    def time_left_s(self) -> float | None:
        one = self.step_time_s
        if one is None and self.run.plan is not None:
            one = self.run.plan.step_time.total_s.expected
        return (self.steps - self.step) * one if one is not None and self.steps else None

    @property
    def attempt(self) -> Attempt | None:
        attempts = [attempt for leg in self.run.legs for attempt in leg.attempts]
        return attempts[-1] if attempts else None

    def doing(self) -> str:
        """What happens at this moment, in words."""
        attempt = self.attempt
        if self.outage:
            return self.outage
        if self.run.reason and self.run.state in FINAL_RUN_STATES:
            return self.run.reason
        if attempt is None or self.run.state == "queued":
            return self.waits() or "waiting for the machine"
        heard = attempt.last_heard_at
        if heard and (self._clock() - heard).total_seconds() > AWAY_AFTER_S:
            return f"the agent is away, last heard {views.when(heard)}; the job goes on"
        if self.run.plan is not None and not self.rows:
            return "preparing the data: tokenising and packing" if not self.step else "starting"
        return f"attempt {attempt.number}" + (f", job {attempt.job_id}" if attempt.job_id else "")

    def waits(self) -> str:
        """Why, in words, where its machine has said anything of it."""
        found = waiting.of_run(self.run, now=self._clock())
        if found is None or not (found[0].reason or found[0].expected_start_at):
            return ""
        return f"{found[1].words} {found[1].estimate}".strip()

    def compared(self, *, short: bool = False) -> str:
        """Measured step time beside the predicted range, with a word on how they agree."""
        measured, plan = self.step_time_s, self.run.plan
        if plan is None:
            return format_seconds(measured) if measured else "–"
        band = plan.step_time.total_s
        predicted = f"{format_seconds(band.low)} to {format_seconds(band.high)} predicted"
        if measured is None:
            return predicted
        word = "within" if band.low <= measured <= band.high else ("faster" if measured < band.low else "slower")
        if short:
            return (
                f"{format_seconds(measured)} ({word} {'the predicted range' if word == 'within' else 'than predicted'})"
            )
        return f"{format_seconds(measured)} measured, {predicted} ({word})"

    def figures(self) -> list[tuple[str, RenderableType]]:
        rows: list[tuple[str, RenderableType]] = []
        if self.rows:
            last = self.rows[-1]
            rows.append(("Loss", f"{last.loss:.3f}  from {self.rows[0].loss:.3f} at step {self.rows[0].step}"))
            rows.append(("Speed", self.speed()))
        if self.run.plan is not None:
            rows.append(("Step time", self.compared()))
        rows.append(("Used", self.used()))
        return rows

    def used(self) -> str:
        """What was charged; while an attempt runs, what it has held until now: its last report is a little old."""
        limit = format_gpu_hours(self.run.spec.where.max_gpu_hours * SECONDS_PER_HOUR)
        charged, attempt, plan = self.run.used_accelerator_seconds, self.attempt, self.run.plan
        if attempt is None or attempt.started_at is None or attempt.ended_at is not None or plan is None:
            return f"{format_gpu_hours(charged)} of at most {limit}"
        held = (self._clock() - attempt.started_at).total_seconds() * plan.layout.world_size
        before = charged - attempt.accelerator_seconds
        return f"about {format_gpu_hours(before + max(held, attempt.accelerator_seconds))} of at most {limit}"

    def speed(self) -> str:
        """Median of the last steps; one step alone jumps too much to be read."""
        rates = sorted(row.tokens_per_s for row in self.rows[-WINDOW:])
        return f"{significant(rates[len(rates) // 2])}{NBSP}tokens/s"

    def __rich__(self) -> RenderableType:
        head = Table.grid(padding=(0, 2))
        head.add_row(Text(self.run.id, style="bold"), views.state(self.run.state), Text(self.doing(), style="dim"))
        parts: list[RenderableType] = [head]
        if self.steps:
            bar = Table.grid(padding=(0, 2))
            bar.add_column(width=30)
            bar.add_column()
            left = self.time_left_s
            word = "left" if self.rows else "ahead"
            ahead = f", about {format_seconds(left)} {word}" if left and self.run.state not in FINAL_RUN_STATES else ""
            bar.add_row(
                ProgressBar(
                    total=self.steps, completed=self.step, complete_style="dark_orange3", finished_style="green"
                ),
                f"step {self.step:,} of {self.steps:,}{ahead}",
            )
            parts.append(bar)
        if len(self.rows) > 1:
            curve = sparkline([row.loss for row in self.rows], 30)
            parts.append(Text.assemble((curve, "cyan"), ("  loss", "dim")))
        parts.append(views.pairs(self.figures(), indent=0))
        return Group(*parts)

    def line(self) -> str:
        """The same in one line, for logs and pipes."""
        parts = [f"{self._clock().astimezone():%H:%M:%S}", str(self.run.state)]
        if self.rows:
            last = self.rows[-1]
            parts.append(f"step {self.step:,} of {self.steps:,}")
            parts.append(f"loss {last.loss:.3f}")
            parts.append(self.speed())
            parts.append(f"step time {self.compared(short=True)}")
            if self.time_left_s and self.run.state not in FINAL_RUN_STATES:
                parts.append(f"about {format_seconds(self.time_left_s)} left")
        else:
            parts.append(self.doing())
        return "  ".join(parts)


class Watcher:
    """Asks the service now and then. An outage is shown and waited out, as the run does not depend on it."""

    def __init__(self, client: Client, run: Run, reconnect: Callable[[], Client] | None) -> None:
        self.picture = Picture(run)
        self._client = client
        self._reconnect = reconnect
        self._tended_at = time.monotonic()

    @property
    def ended(self) -> bool:
        return self.picture.run.state in FINAL_RUN_STATES

    def look(self) -> Picture:
        picture = self.picture
        try:
            if self._reconnect and (picture.outage or time.monotonic() - self._tended_at > TEND_EVERY_S):
                self._client, self._tended_at = self._reconnect(), time.monotonic()
            run = self._client.run(picture.run.id)
            after = picture.rows[-1].step if picture.rows else 0
            picture.learn(run, self._client.telemetry(run.id, after_step=after))
        except (ServiceError, ProgramError) as error:
            picture.outage = f"{error.what.rstrip('.')}; trying again"
        return picture


def follow(
    client: Client, run: Run, console: Console, reconnect: Callable[[], Client] | None = None, *, indent: int = 0
) -> Run:
    """Show the run until it ends; return it as it ended. Ctrl-C passes as KeyboardInterrupt; the run goes on.

    `reconnect` gives a client anew: where the embedded service or its agent died meanwhile, they are started again.
    """
    watcher = Watcher(client, run, reconnect)
    if console.is_terminal:

        def picture() -> RenderableType:
            # The terminal writes ^C behind the last line; were that full, the next picture would miss a line.
            return Constrain(Padding(watcher.look(), (0, 0, 0, indent)), console.width - len("^C") - 1)

        with Live(picture(), console=console, refresh_per_second=4) as live:
            while not watcher.ended:
                time.sleep(POLL_S)
                live.update(picture())
    else:
        _follow_in_lines(watcher, console, indent)
    return watcher.picture.run


def _follow_in_lines(watcher: Watcher, console: Console, indent: int) -> None:
    said, spoken_at, state = "", 0.0, ""
    while True:
        picture = watcher.look()
        due = time.monotonic() - spoken_at >= LINE_EVERY_S
        if picture.run.state != state or due or watcher.ended:
            text = picture.line()
            news = text.partition("  ")[2]
            if news != said:
                console.print(" " * indent + text)
            said, spoken_at, state = news, time.monotonic(), picture.run.state
        if watcher.ended:
            return
        time.sleep(POLL_S)


def keeps_going(run_id: str) -> str:
    """What Ctrl-C leaves behind, and how to come back to it."""
    return (
        f"\n{run_id} goes on without you.\n"
        f"  hanse status {run_id} --watch    look at it again\n"
        f"  hanse logs {run_id} -f           what its job writes\n"
        f"  hanse cancel {run_id}            stop it"
    )
