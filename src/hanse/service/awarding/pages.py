"""Its pages: what waits for officers, capacity, an allocation's requests, a duty, prices and statements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from hanse.contracts.awarding import CapacityOffer, GivenBack
from hanse.contracts.awarding import Price as PriceTerms
from hanse.contracts.base import now
from hanse.contracts.errors import HanseError
from hanse.service.access.models import Allocation, Organisation
from hanse.service.api.replies import reply
from hanse.service.awarding import capacity as room
from hanse.service.awarding import forms, holding, tables
from hanse.service.awarding.api import csv_of
from hanse.service.awarding.changes import OPEN_STATES, ChangeRequest
from hanse.service.awarding.duties import OWED, REPORTS, Duty
from hanse.service.awarding.movements import Movement, balance
from hanse.service.awarding.paying import Price, Statement
from hanse.service.awarding.proposals import OPEN_STATES as UNDECIDED
from hanse.service.awarding.proposals import Proposal
from hanse.service.portal.whole import never_cut
from hanse.service.review import typed


def officers_only(request: HttpRequest) -> None:
    if not request.user.is_officer:
        raise PermissionDenied


def attempt(request: HttpRequest, act: Callable[[], Any], done: str) -> bool:
    """Do it and say so, or say why not."""
    try:
        act()
    except HanseError as refused:
        messages.error(request, " ".join(part for part in (f"{refused.what}.", refused.fix) if part))
        return False
    messages.success(request, done)
    return True


@login_required
def desk(request: HttpRequest) -> HttpResponse:
    """What waits for an officer."""
    officers_only(request)
    waiting = Proposal.objects.filter(state="waiting", application__state__in=UNDECIDED)
    asked = ChangeRequest.seen_by(request.user).filter(state__in=OPEN_STATES)
    duties = Duty.seen_by(request.user).defer("answers", "figures", "award__application__form")
    # By their keys first: to sort whole rows would read the form of every award.
    first = Duty.objects.filter(state__in=OWED).order_by("due", "pk").values_list("pk", flat=True)[:100]
    return render(request, "awarding/desk.html", {
        "proposals": tables.proposals(waiting.select_related("application__organisation", "proposed_by")[:100]),
        "requests": tables.requests(asked[:100]),
        "sent": tables.duties(duties.filter(state="sent")[:100]),
        "owed": tables.duties(duties.filter(pk__in=list(first)).order_by("due", "pk")),
    })  # fmt: skip


@login_required
def capacity(request: HttpRequest) -> HttpResponse:
    officers_only(request)
    form = forms.CapacityForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        given = CapacityOffer(**form.cleaned_data)
        if attempt(request, lambda: room.offer(given, by=request.user), f"{given.month} is stated."):
            return redirect("awarding:capacity")
    since = "" if "all" in request.GET else f"{now():%Y-%m}"
    shown = tables.capacity(room.table(since=since))
    return render(request, "awarding/capacity.html", {"table": shown, "form": form, "since": since})


@login_required
@require_POST
@never_cut("reason")
def decide_proposal(request: HttpRequest, proposal_id: str) -> HttpResponse:
    officers_only(request)
    rows = Proposal.objects.select_related("application__organisation", "application__call", "proposed_by")
    found, reason = get_object_or_404(rows, public_id=proposal_id), typed.text(request.POST)
    if "confirm" in request.POST:
        attempt(request, lambda: found.confirm(request.user), "Confirmed: it is done.")
    elif "refuse" in request.POST:
        attempt(request, lambda: found.refuse(request.user, reason=reason), "Refused; who proposed it reads why.")
    else:
        attempt(request, lambda: found.take_back(request.user, reason=reason), "You took your proposal back.")
    return redirect("portal:application", application_id=found.application.public_id)


def _allocation(request: HttpRequest, allocation_id: str) -> Any:
    rows = Allocation.objects.all() if request.user.is_officer else Allocation.objects.seen_by(request.user)
    rows = rows.with_balance().select_related("project__organisation", "machine", "award__application__call")
    return get_object_or_404(rows, public_id=allocation_id)


@login_required
def requests(request: HttpRequest, allocation_id: str) -> HttpResponse:
    """An allocation's hours, what moved them, what was asked; and the forms for asking, returning and suspending."""
    found = _allocation(request, allocation_id)
    form = forms.AskForm(request.POST if "ask" in request.POST else None, allocation=found)
    if request.method == "POST" and "ask" in request.POST and form.is_valid():
        try:
            ChangeRequest.ask(found, request.user, form.asked())
        except HanseError as refused:
            form.blame(refused.where, refused.what, refused.fix)
        else:
            messages.success(request, "Your request is sent; an officer answers it with reasons.")
            return redirect("awarding:requests", allocation_id=allocation_id)
    changes = list(ChangeRequest.seen_by(request.user).filter(allocation=found))
    return render(request, "awarding/requests.html", {
        "allocation": found,
        "balance": balance(found),
        "table": tables.requests(changes),
        "open": [one for one in changes if one.state in OPEN_STATES],
        "moved": tables.movements(Movement.objects.filter(allocation=found)),
        "member": request.user.belongs_to(found.project.organisation),
        "form": form,
        "back": forms.ReturnForm(),
        "reason": forms.ReasonForm(),
    })  # fmt: skip


@login_required
@require_POST
@never_cut("reason", "return-reason")
def hold(request: HttpRequest, allocation_id: str) -> HttpResponse:
    """Return, suspend or resume."""
    found = _allocation(request, allocation_id)
    if "return" in request.POST:
        form = forms.ReturnForm(request.POST)
        if form.is_valid():
            given = GivenBack(**form.cleaned_data)
            attempt(request, lambda: holding.give_back(found, request.user, given), "The hours are returned.")
        else:
            messages.error(request, next(iter(form.errors.values()))[0])
        return redirect("awarding:requests", allocation_id=allocation_id)
    officers_only(request)
    reason = typed.text(request.POST)
    if "suspend" in request.POST:
        attempt(request, lambda: holding.suspend(found, request.user, reason=reason), "Nothing new starts on it.")
    else:
        attempt(request, lambda: holding.resume(found, request.user, reason=reason), "Runs may start on it again.")
    return redirect("awarding:requests", allocation_id=allocation_id)


@login_required
@require_POST
@never_cut("reason")
def decide_request(request: HttpRequest, request_id: str) -> HttpResponse:
    found = get_object_or_404(ChangeRequest.seen_by(request.user), public_id=request_id)
    reason = typed.text(request.POST)
    if "withdraw" in request.POST:
        attempt(request, lambda: found.withdraw(request.user), "The request is withdrawn.")
    elif "decline" in request.POST:
        attempt(request, lambda: found.decline(request.user, reason=reason), "The request is declined.")
    else:
        attempt(request, lambda: found.grant(request.user, reason=reason), "Your word on the request is kept.")
    return redirect("awarding:requests", allocation_id=found.allocation.public_id)


@login_required
def duty(request: HttpRequest, duty_id: str) -> HttpResponse:
    """A report or an obligation: its figures, its form for the project, its buttons for an officer."""
    found = get_object_or_404(Duty.seen_by(request.user), public_id=duty_id)
    kind = forms.ReportForm if found.kind in REPORTS else forms.EvidenceForm
    initial = found.answers.model_dump() if found.answers else {}
    form = kind(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        send = "send" in request.POST
        try:
            (found.send if send else found.save_draft)(request.user, form.answers())
        except HanseError as refused:
            form.blame(refused.where, refused.what, refused.fix)
        else:
            messages.success(request, "It is sent; an officer reads it." if send else "Saved.")
            return redirect("awarding:duty", duty_id=duty_id)
    told = found.contract()
    return render(request, "awarding/duty.html", {
        "duty": found,
        "told": told,
        "answers": tables.answers(told),
        "figures": tables.figures(told.figures) if told.figures else None,
        "editable": found.state in OWED and request.user.belongs_to(found.award.project.organisation),
        "form": form,
        "judge": request.user.is_officer and found.state in (*OWED, "sent"),
        "reason": forms.JudgeForm(),
    })  # fmt: skip


@login_required
@require_POST
@never_cut("judge-reason")
def decide_duty(request: HttpRequest, duty_id: str) -> HttpResponse:
    officers_only(request)
    found = get_object_or_404(Duty.seen_by(request.user), public_id=duty_id)
    reason = typed.text(request.POST, "judge-reason")
    verbs = {"accept": found.accept, "send-back": found.send_back, "waive": found.waive}
    verb = next((verb for name, verb in verbs.items() if name in request.POST), None)
    if verb is not None:
        attempt(request, lambda: verb(request.user, reason=reason), "Your word on it is kept.")
    return redirect("awarding:duty", duty_id=duty_id)


@login_required
def statements(request: HttpRequest) -> HttpResponse:
    """A payer's statements; for officers prices and issuing too."""
    officer = request.user.is_officer
    price = forms.PriceForm(request.POST if "state" in request.POST else None) if officer else None
    issue = forms.StatementForm(request.POST if "issue" in request.POST else None) if officer else None
    if request.method == "POST" and price and price.is_bound and price.is_valid():
        given = PriceTerms(**price.cleaned_data)
        if attempt(request, lambda: Price.state(given, by=request.user), "The price is stated."):
            return redirect("awarding:statements")
    elif request.method == "POST" and issue and issue.is_bound and issue.is_valid():
        payer = get_object_or_404(Organisation, public_id=issue.cleaned_data["organisation"])
        month = issue.cleaned_data["month"]
        if attempt(request, lambda: Statement.issue(payer, month, by=request.user), f"{month} is issued."):
            return redirect("awarding:statements")
    return render(request, "awarding/statements.html", {
        "table": tables.statements(Statement.seen_by(request.user)[:100]),
        "prices": tables.prices(Price.objects.select_related("machine")),
        "price": price,
        "issue": issue,
    })  # fmt: skip


@login_required
def statement_file(request: HttpRequest, statement_id: str, kind: str) -> HttpResponse:
    found = get_object_or_404(Statement.seen_by(request.user), public_id=statement_id)
    return csv_of(found) if kind == "csv" else reply(found.contract())
