"""How the demo comes to its hours: it holds some already, or applies for them and, as the officer, decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hanse.cli import applying, views
from hanse.cli.machine import LOCAL
from hanse.contracts.base import now
from hanse.contracts.errors import PolicyError
from hanse.contracts.units import format_gpu_hours

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hanse.cli.story import Story
    from hanse.client.api import Client
    from hanse.contracts.programme import Allocation, ApplicationForm, CallTerms

CALL = "playground"
ORGANISATION = "Kontor 17"
YES = frozenset({"civilian-purpose", "data-rights", "generates-content"})
"""What the demo's project does: it writes Python-like text, after code under an open licence."""
REASON = "A first training on one machine, public data, and hours the call is made for."


def _held(allocations: Sequence[Allocation], needed_accelerator_seconds: int) -> Allocation | None:
    today = now().date()
    for one in allocations:
        fits = one.free_accelerator_seconds >= needed_accelerator_seconds
        if one.machine == LOCAL and fits and one.starts <= today <= one.ends:
            return one
    return None


def _form(terms: CallTerms) -> ApplicationForm:
    from hanse.contracts.programme import ApplicationForm

    return ApplicationForm(
        call=CALL,
        organisation=ORGANISATION,
        organisation_kind="start-up",
        country="DE",
        title="A language model of Python's standard library",
        purpose="Learn to train a small language model over several nodes before asking for more.",
        machine=LOCAL,
        gpu_hours=terms.min_gpu_hours or terms.max_gpu_hours or 1,
        duration_months=min(terms.durations_months),
        contact_email="ada@kontor17.example",
        answers=answers(),
    )


def answers() -> dict[str, bool | str | int | float]:
    """The demo's truthful answers to the gate's questions as they stand today: no, but for those in YES."""
    from hanse.rules import gate

    return {question.id: question.id in YES for question in gate.questions(now().date())}


def hours_for(client: Client, story: Story, needed_accelerator_seconds: int) -> Allocation:
    """An allocation on this machine with room for the demo's run.

    Raises:
        PolicyError: call or gate refuse the demo's own application.
    """
    from hanse.client.answers import DecisionRequest
    from hanse.programme import calls

    held = _held(client.allocations(), needed_accelerator_seconds)
    if held is not None:
        free = format_gpu_hours(held.free_accelerator_seconds)
        story.done(f"{held.id}, granted earlier, still has {free} on this machine, until {held.ends:%-d %B %Y}")
        return held
    terms = calls.load(CALL)
    form = _form(terms)
    story.say(
        f"{form.organisation}, a start-up made up for this demo, applies to “{terms.title}” for "
        f"{form.gpu_hours:,} GPU-hours on this machine. Its project: “{form.title}”."
    )
    application = client.apply(form)
    story.say("The call's terms and the gate's rules are checked at once:", "")
    decision = applying.screen(form)
    story.say(views.decision(decision), "")
    if decision.verdict in ("deny", "review"):
        raise PolicyError(
            "The demo's own application does not pass the gate any more.",
            where=application.id,
            history=tuple(one.reason for one in decision.findings if one.verdict in ("deny", "review")),
            fix="The rules have changed since this demo was written; report it.",
        )
    story.say(
        f"An officer of the programme decides next; the call promises {terms.decision_working_days} working days. "
        "On your own machine you are the officer too, so the demo decides in your name:"
    )
    granted = client.decide(application.id, DecisionRequest(decision="grant", reason=REASON))
    assert granted.allocation_id is not None
    allocation = client.allocation(granted.allocation_id)
    amount = format_gpu_hours(allocation.granted_accelerator_seconds)
    story.done(f"Granted: {allocation.id}, {amount} until {allocation.ends:%-d %B %Y}. “{granted.reason}”")
    return allocation
