"""The part of the API for what follows scores: panel, right to reply, letters, redress, reserve, stand-ins."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router

from hanse.client.answers import Page
from hanse.contracts import review_ends as contract
from hanse.contracts.base import Timestamp
from hanse.contracts.errors import Conflict
from hanse.contracts.review import ReviewSheet
from hanse.contracts.review_steps import RoundShown
from hanse.service.access.models import Application
from hanse.service.api.replies import PROBLEMS, Missing, PagingQuery, find, page, reply
from hanse.service.review import replies, reserve, rounds
from hanse.service.review import stand_ins as stand_ins_of
from hanse.service.review.assignments import Assignment
from hanse.service.review.letters import Letter
from hanse.service.review.panel import Panel
from hanse.service.review.ranked import Round
from hanse.service.review.redress import Redress
from hanse.service.review.reviewers import Reviewer
from hanse.service.review.stand_ins import StandIn

router = Router(tags=["review"])


def _application(request: HttpRequest, id: str) -> Any:
    """One of the person's organisations', or any for an officer."""
    rows = Application.objects.seen_by(request.auth).exclude(state="draft")
    return find(rows.select_related("call", "organisation", "applicant"), id)


def _review(request: HttpRequest, id: str) -> Assignment:
    """Any, for an officer."""
    request.auth.require_officer()
    rows = Assignment.objects.select_related("application__call", "application__organisation", "reviewer__person")
    found: Assignment = find(rows, id)
    return found


def _blank(found: Assignment) -> ReviewSheet:
    """Without points and comments: who wrote them sends them first."""
    return found.contract().model_copy(update={"points": {}, "comments": {}})


def _panels(request: HttpRequest) -> Any:
    rows = Panel.objects.select_related("round")
    return rows if request.auth.is_officer else rows.filter(members__person=request.auth).distinct()


@router.get("panels", response={200: Page[contract.Panel], **PROBLEMS}, summary="Panels, of an officer or a member")
def panels(request: HttpRequest, paging: PagingQuery) -> HttpResponse:
    return page(_panels(request), paging)


@router.post("panels", response={200: contract.Panel, **PROBLEMS}, summary="Convene the panel of a closed round")
def convene(request: HttpRequest, body: contract.PanelForm) -> HttpResponse:
    held = Round.at(body.call, body.cut_off)
    made = Panel.convene(held, request.auth, members=body.members, held_on=body.held_on)
    return reply(made.contract())


@router.post("panels/{id}/moves", response={200: contract.Panel, **PROBLEMS}, summary="Change a place, with a reason")
def panel_move(request: HttpRequest, id: str, body: contract.PanelMoveForm) -> HttpResponse:
    found = find(_panels(request), id)
    request.auth.require_officer()
    application = find(Application.objects.all(), body.application)
    found.move(application, request.auth, place=body.place, reason=body.reason)
    return reply(found.contract())


@router.post(
    "panels/{id}/close", response={200: contract.Panel, **PROBLEMS}, summary="Close the panel with its minutes"
)
def panel_close(request: HttpRequest, id: str, body: contract.PanelClose) -> HttpResponse:
    found = find(_panels(request), id)
    found.close(request.auth, minutes=body.minutes)
    return reply(found.contract())


@router.post(
    "reviews/replies", response={200: RoundShown, **PROBLEMS}, summary="Ask the applicants of a round to reply"
)
def open_replies(request: HttpRequest, body: contract.ReplyOpen) -> HttpResponse:
    held = replies.open_for(body.call, body.cut_off, request.auth, until=body.until)
    shown = rounds.shown(by=request.auth)
    return reply(next(one for one in shown if one.id == held.public_id))


@router.get(
    "applications/{id}/reply",
    response={200: contract.Reply, **PROBLEMS},
    summary="Reviews without names, and the reply",
)
def see_reply(request: HttpRequest, id: str) -> HttpResponse:
    rows = Application.objects.select_related("call", "organisation").exclude(state="draft")
    found = rows.filter(public_id=id).first()
    if found is None or not replies.may_see(found, request.auth):
        raise Missing(f"there is no application {id} that you may see", where=id)
    return reply(replies.shown(found, request.auth))


@router.post(
    "applications/{id}/reply", response={200: contract.Reply, **PROBLEMS}, summary="Answer your reviewers, once"
)
def send_reply(request: HttpRequest, id: str, body: contract.ReplyForm) -> HttpResponse:
    found = _application(request, id)
    replies.answer(found, request.auth, text=body.text)
    return reply(replies.shown(found, request.auth))


@router.post(
    "applications/{id}/letters", response={200: contract.Letter, **PROBLEMS}, summary="Draft the decision's letter"
)
def draft_letter(request: HttpRequest, id: str, body: contract.LetterAsked) -> HttpResponse:
    found = _application(request, id)
    return reply(Letter.draft(found, request.auth, language=body.language).contract())


@router.get("letters", response={200: Page[contract.Letter], **PROBLEMS}, summary="Letters with decisions")
def letters(request: HttpRequest, paging: PagingQuery) -> HttpResponse:
    return page(Letter.seen_by(request.auth), paging)


@router.get("letters/{id}", response={200: contract.Letter, **PROBLEMS}, summary="A letter with a decision")
def letter(request: HttpRequest, id: str) -> HttpResponse:
    return reply(find(Letter.seen_by(request.auth), id).contract())


@router.put("letters/{id}", response={200: contract.Letter, **PROBLEMS}, summary="Edit a letter that was not sent")
def edit_letter(request: HttpRequest, id: str, body: contract.LetterEdit) -> HttpResponse:
    found = find(Letter.seen_by(request.auth), id)
    found.edit(request.auth, text=body.text, revision=body.revision)
    return reply(found.contract())


@router.post("letters/{id}/send", response={200: contract.Letter, **PROBLEMS}, summary="Send a letter; frozen then")
def send_letter(request: HttpRequest, id: str) -> HttpResponse:
    found = find(Letter.seen_by(request.auth), id)
    found.send(request.auth)
    return reply(found.contract())


@router.get("redress", response={200: Page[contract.Redress], **PROBLEMS}, summary="What was asked to be redressed")
def all_redress(request: HttpRequest, paging: PagingQuery) -> HttpResponse:
    return page(Redress.seen_by(request.auth), paging)


@router.post(
    "applications/{id}/redress", response={200: contract.Redress, **PROBLEMS}, summary="Ask for redress, with grounds"
)
def ask_redress(request: HttpRequest, id: str, body: contract.RedressForm) -> HttpResponse:
    return reply(Redress.ask(_application(request, id), request.auth, grounds=body.grounds).contract())


@router.post("redress/{id}/answer", response={200: contract.Redress, **PROBLEMS}, summary="Uphold or redo a decision")
def answer_redress(request: HttpRequest, id: str, body: contract.RedressWord) -> HttpResponse:
    found = find(Redress.seen_by(request.auth), id)
    found.answer(request.auth, outcome=body.outcome, reason=body.reason)
    return reply(found.contract())


@router.post("redress/{id}/withdraw", response={200: contract.Redress, **PROBLEMS}, summary="Withdraw it")
def withdraw_redress(request: HttpRequest, id: str) -> HttpResponse:
    found = find(Redress.seen_by(request.auth), id)
    found.withdraw(request.auth)
    return reply(found.contract())


@router.get("reviews/reserve", response={200: contract.Reserve, **PROBLEMS}, summary="Places and the reserve list")
def reserve_list(request: HttpRequest, call: str, cut_off: Timestamp) -> HttpResponse:
    request.auth.require_officer()
    held = Round.at(call, cut_off)
    if held is None or held.state != "closed":
        raise Conflict("the round is not closed: there is no reserve list yet", where=call, fix="close it first")
    rounds.of(call, cut_off, request.auth)
    return reply(reserve.state(held))


@router.post(
    "applications/{id}/free-place", response={200: contract.Reserve, **PROBLEMS}, summary="A winner gives up its place"
)
def free_place(request: HttpRequest, id: str, body: contract.PlaceFreed) -> HttpResponse:
    return reply(reserve.free(_application(request, id), request.auth, reason=body.reason))


@router.post("reviews/{id}/remind", response={200: ReviewSheet, **PROBLEMS}, summary="Remind a reviewer now")
def remind(request: HttpRequest, id: str) -> HttpResponse:
    found = _review(request, id)
    found.nudge(request.auth)
    return reply(_blank(found))


@router.post("reviews/{id}/replace", response={200: ReviewSheet, **PROBLEMS}, summary="Ask another reviewer instead")
def replace(request: HttpRequest, id: str, body: contract.ReplaceForm) -> HttpResponse:
    found = _review(request, id)
    another = Reviewer.named(body.reviewer)
    made = stand_ins_of.replace(found, request.auth, reviewer=another, due_on=body.due_on, reason=body.reason)
    return reply(_blank(made))


@router.get("stand-ins", response={200: Page[contract.StandIn], **PROBLEMS}, summary="Stand-ins that are proposed")
def stand_ins(request: HttpRequest, paging: PagingQuery) -> HttpResponse:
    request.auth.require_officer()
    return page(StandIn.waiting().order_by("pk"), paging)


@router.post("stand-ins/{id}", response={200: contract.StandIn, **PROBLEMS}, summary="Confirm or dismiss a stand-in")
def answer_stand_in(request: HttpRequest, id: str, body: contract.StandInWord) -> HttpResponse:
    request.auth.require_officer()
    found = find(StandIn.objects.select_related("assignment__application__call", "reviewer__person"), id)
    if body.confirm:
        found.confirm(request.auth)
    else:
        found.dismiss(request.auth, reason=body.reason)
    return reply(found.contract())
