"""Events in words: what happened, as one sentence for the people who read a run's or an application's history.

An event's name is `source:subject:action`; what no sentence is written for is told from those words.
"""

from __future__ import annotations

from hanse.contracts.event import Event
from hanse.contracts.units import format_gpu_hours

_ATTEMPT = {
    "running": "started",
    "finished": "finished",
    "stopped": "stopped with a checkpoint",
    "failed": "failed",
    "cancelled": "was cancelled",
}
_RUN = {
    "queued": "The run waits for its next attempt",
    "running": "The run is under way",
    "cancelling": "The run was asked to stop",
    "finished": "The run finished",
    "failed": "The run failed",
    "cancelled": "The run was cancelled",
}
_APPLICATION = {
    "sent": "The application was sent",
    "in-review": "Reading began",
    "granted": "Compute was granted",
    "declined": "The application was not granted",
    "withdrawn": "The application was withdrawn",
    "imported": "The award was brought in here",
}


def told(event: Event, attempt_number: int | None = None) -> str:
    """What happened, without a full stop; `attempt_number` is that of the attempt the event is about."""
    _, subject, action = event.name.split(":")
    attempt = f"Attempt {attempt_number}" if attempt_number else "The attempt"
    if subject == "attempt":
        return _of_attempt(event, action, attempt)
    if subject == "run":
        return _of_run(event, action)
    if subject == "usage":
        return _of_usage(event, attempt if attempt_number else "")
    if subject == "application" and action in _APPLICATION:
        return _APPLICATION[action]
    if subject == "screening" and action == "overruled":
        return "An officer overruled the gate"
    return f"{subject.replace('-', ' ').capitalize()} {action.replace('-', ' ')}"


def _of_attempt(event: Event, action: str, attempt: str) -> str:
    if action == "planned":
        held = _accelerator_seconds(event, "reserved")
        return f"{attempt} planned" + (f", {format_gpu_hours(held)} reserved for it" if held else "")
    if action == "queued":
        job = event.data.get("job")
        return f"{attempt} handed to the scheduler" + (f" as job {job}" if job else "")
    if action == "unknown":
        return f"The scheduler does not mention {attempt[0].lower()}{attempt[1:]}"
    step = event.data.get("step")
    at = f" at step {step:,}" if isinstance(step, int) and step and action != "running" else ""
    return f"{attempt} {_ATTEMPT.get(action, action.replace('-', ' '))}{at}"


def _of_run(event: Event, action: str) -> str:
    if action == "launched":
        allocation = event.data.get("allocation")
        return "The run was launched" + (f" on allocation {allocation}" if allocation else "")
    if action == "result":
        steps = event.data.get("steps")
        return "The result was received" + (f", after {steps:,} steps" if isinstance(steps, int) else "")
    if action == "moved":
        return f"The run moved from {event.data.get('source')} to {event.data.get('target')}"
    return _RUN.get(action, f"Run {action.replace('-', ' ')}")


def _of_usage(event: Event, attempt: str) -> str:
    amount = _accelerator_seconds(event, "accelerator_seconds")
    if amount is None:
        return "Usage was recorded"
    what = "Given back" if amount < 0 else "Charged"
    return f"{what} {format_gpu_hours(abs(amount))}" + (f" for {attempt[0].lower()}{attempt[1:]}" if attempt else "")


def _accelerator_seconds(event: Event, key: str) -> int | None:
    value = event.data.get(key)
    return value if isinstance(value, int) else None
