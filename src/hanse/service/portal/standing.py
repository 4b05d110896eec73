"""What a page answers first: what is the state, what needs me, what happens next and when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.urls import reverse

from hanse.contracts.base import now
from hanse.contracts.run import FINAL_ATTEMPT_STATES, FINAL_RUN_STATES, AttemptState, RunState
from hanse.contracts.run import Attempt as AttemptContract
from hanse.contracts.run import Run as RunContract
from hanse.contracts.telemetry import StepSummary
from hanse.contracts.units import format_count, format_gpu_hours, format_percent, format_seconds
from hanse.machines.waiting import of_attempt
from hanse.reporting.measured import duration_s, hours, middle
from hanse.reporting.words import ZONE, full_date, plural, sentence, short_time


class Note(NamedTuple):
    """A callout: its tone, what happened, why, and what the reader can do."""

    tone: str
    title: str
    text: str
    small: str = ""
    quoted: str = ""


class Next(NamedTuple):
    """The one next action of the home page."""

    title: str
    text: str
    link: str = ""
    url: str = ""
    command: str = ""


def progress(run: RunContract, rows: Sequence[StepSummary]) -> str:
    """The sentence under the run's name."""
    if run.spec.command is not None:
        return _command(run)
    total = run.plan.workload.total_tokens if run.plan else 0
    done = rows[-1].tokens if rows else round(total * run.step / run.steps) if run.steps else 0
    share = min(1.0, run.step / run.steps) if run.steps else 0.0
    text = f"{format_count(done)} of {format_count(total)} tokens, {format_percent(share)}." if total else ""
    if run.state is RunState.FINISHED:
        used = format_gpu_hours(run.used_accelerator_seconds)
        return f"{format_count(done)} tokens in {plural(run.step, 'step')}. It used {used}."
    ends = expected_end(run, rows)
    return f"{text} At this pace it ends about {_clock(ends)}." if ends else text


def expected_end(run: RunContract, rows: Sequence[StepSummary]) -> datetime | None:
    """From the measured step time and the steps left; None unless it runs and has measured something."""
    step_s = middle(rows[-50:], lambda row: row.step_s.median)
    if run.state is not RunState.RUNNING or not run.steps or step_s is None:
        return None
    return rows[-1].at + timedelta(seconds=step_s * max(0, run.steps - run.step))


def callout(run: RunContract, *, error: str, machine: Any) -> Note | None:
    """What stands in the way, or how it ended; None while all goes well."""
    if run.state is RunState.FAILED:
        what = "Mend what the log says, then launch it again; what was trained is kept beside the run's files."
        return Note("tone-bad", "The run failed", sentence(run.reason), what, error)
    if run.state is RunState.CANCELLED:
        return Note("tone-off", "The run was stopped", sentence(run.reason))
    if run.state is RunState.CANCELLING:
        what = "The job is asked to end and saves a checkpoint first; that takes up to a minute."
        return Note("tone-off", "The run is being stopped", what, "You need do nothing.")
    if run.state is RunState.FINISHED:
        return None
    attempts = [attempt for leg in run.legs for attempt in leg.attempts if attempt.state not in FINAL_ATTEMPT_STATES]
    if any(attempt.state is AttemptState.RUNNING for attempt in attempts):
        return _away(machine, attempts)  # what is queued ahead of it keeps nobody waiting
    return _away(machine, attempts) or next((note for a in attempts if (note := _waiting(a, machine))), None)


def _waiting(attempt: AttemptContract, machine: Any) -> Note | None:
    name = _name(machine)
    if attempt.state is AttemptState.UNKNOWN:
        return Note(
            "tone-ask", f"What attempt {attempt.number} does on {name} is not known",
            f"{sentence(attempt.reason) or f'The scheduler of {name} does not mention it.'} It may still run. "
            "Nothing is submitted twice; the agent asks again every few seconds.",
            "If it stays so for an hour, ask the site's operator.",
        )  # fmt: skip
    since = f"Attempt {attempt.number} waits since {short_time(attempt.planned_at)}."
    if attempt.state is AttemptState.PLANNED:
        text = f"{since} {sentence(attempt.held or attempt.reason) or 'The agent takes it up with its next report.'}"
        return Note("tone-wait", f"Waiting for the agent of {name}", text, "You need do nothing.")
    told = of_attempt(attempt, now=now())
    if attempt.state is AttemptState.QUEUED and told is not None:
        said = f" The scheduler says “{told.quoted}”." if told.quoted else ""
        expected = attempt.expected_start_at
        start = (
            f" It is expected to start about {short_time(expected)}, by the scheduler's estimate." if expected else ""
        )
        text = f"{since}{said} {told.words}{start}"
        return Note("tone-wait", f"Waiting in the queue of {name}", text, told.what_you_can_do)
    return None


def _away(machine: Any, attempts: Sequence[AttemptContract]) -> Note | None:
    if machine is None or not attempts or not machine.away:
        return None
    heard = (
        f"Last heard from {short_time(machine.last_heard_at)}." if machine.last_heard_at else "It has never spoken yet."
    )
    text = f"{heard} Queued work keeps its place and a running job runs on; its figures arrive when the agent is back."
    return Note(
        "is-away", f"The agent of {_name(machine)} is away", text, "Start it beside the scheduler: hanse agent."
    )


def home_next(person: Any, *, runs: Sequence[Any], allocations: Sequence[Any], applications: Sequence[Any]) -> Next:
    """What needs this person, the most pressing first."""
    to_decide = [a for a in applications if a.state in ("sent", "in-review")]
    if to_decide and person.is_officer:
        first = to_decide[-1]
        by = f" An answer is due by {full_date(first.decide_by)}." if first.decide_by else ""
        text = f"{first.organisation} asks for {first.gpu_hours:,} GPU-hours on {first.machine}.{by}"
        return Next(f"Decide on {first.title}", text, "Read the application", _page("application", first))
    if runs and runs[0].state == RunState.FAILED:
        text = f"{sentence(runs[0].reason)} The log and the attempts tell more."
        return Next(f"See why {runs[0].name} failed", text, "Open the run", _page("run", runs[0]))
    if going := next((run for run in runs if run.state not in FINAL_RUN_STATES), None):
        text = "It goes on by itself; you may close this page."
        return Next(f"Watch {going.name}", text, "Open the run", _page("run", going))
    if runs and runs[0].state == RunState.FINISHED:
        text = "What was predicted, what was measured, what it cost and where it comes from, on a few pages of A4."
        return Next(f"Read the report of {runs[0].name}", text, "Open the report", _page("run-report", runs[0]))
    if any(a.open_on(now().date()) for a in allocations):
        return Next(
            "Launch your first run",
            "Your compute is open. Describe the training in train.yaml, then:",
            command="hanse launch train.yaml",
        )
    if to_decide:
        by = f"The officer on duty answers by {full_date(to_decide[0].decide_by)}." if to_decide[0].decide_by else ""
        return Next(
            f"{to_decide[0].title} is being read",
            f"{by} You need do nothing.",
            "See the application",
            _page("application", to_decide[0]),
        )
    return Next(
        "Apply for compute",
        "A plan of your training fills most of the application. Here in the portal, or with:",
        "Find the call that suits you",
        reverse("forms:suggest"),
        command="hanse apply",
    )


def application_next(application: Any) -> tuple[str, datetime | None]:
    """Who acts next on an application, and by when."""
    state = application.state
    if state in ("sent", "in-review"):
        return "The officer on duty reads it and answers with reasons", application.decide_by
    if state == "draft":
        return "You complete it and send it", None
    if state == "granted":
        return "You launch runs on the allocation", None
    if state == "declined":
        return "Nobody: it is closed. You may send a changed application to this or another call", None
    return "Nobody: it was withdrawn", None


def summary(runs: Sequence[Any], applications: Sequence[Any], allocations: Sequence[Any]) -> str:
    """The home page's first sentence."""
    going = sum(run.state not in FINAL_RUN_STATES for run in runs)
    waiting = sum(a.state in ("sent", "in-review") for a in applications)
    open_ones = [a for a in allocations if a.open_on(now().date())]
    left = sum(max(0, a.granted_accelerator_seconds - a.used) for a in open_ones)
    parts = [
        f"{plural(going, 'run is', 'runs are')} under way" if going else "no run is under way",
        f"{plural(waiting, 'application waits', 'applications wait')} for an answer" if waiting else "",
        f"{hours(left)} GPU-hours are left" if open_ones else "no compute is granted yet",
    ]
    return sentence(f"{full_date(now().astimezone(ZONE).date())}: {'; '.join(part for part in parts if part)}")


def _command(run: RunContract) -> str:
    held = [d for leg in run.legs for a in leg.attempts if (d := duration_s(a, now())) is not None]
    lasted = f" {format_seconds(sum(held))} on the machine." if held else ""
    return f"A program of the user's.{lasted} It used {format_gpu_hours(run.used_accelerator_seconds)}."


def _clock(at: datetime) -> str:
    local = at.astimezone(ZONE)
    return f"{local:%H:%M}" if local.date() == now().astimezone(ZONE).date() else short_time(at)


def _name(machine: Any) -> str:
    return machine.facts.name if machine and machine.facts else str(machine or "the machine")


def _page(name: str, subject: Any) -> str:
    return reverse(f"portal:{name}", args=[subject.public_id])
