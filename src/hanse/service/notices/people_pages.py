"""The pages of an organisation's people: who stands in it, roles, invitations, and what an invitation's link opens."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from hanse.contracts.errors import HanseError
from hanse.service import policy
from hanse.service.access.models import Membership, Organisation, Person
from hanse.service.notices import invitations, options
from hanse.service.notices.forms import InviteForm, JoinForm
from hanse.service.notices.invitations import Invitation

CHANGE = "organisation:change-people"


def _organisation(request: HttpRequest, organisation_id: str, act: str = "organisation:see-people") -> Organisation:
    """The organisation, for that act; to those who may not even see its people it does not exist."""
    found = get_object_or_404(Organisation, public_id=organisation_id)
    if not policy.may(request.user, "organisation:see-people", found):
        raise Http404
    if not policy.may(request.user, act, found):
        raise PermissionDenied
    return found


def _changed(request: HttpRequest, organisation_id: str, act: Any) -> HttpResponse:
    """Do it and say what came of it, on the organisation's page."""
    found = _organisation(request, organisation_id, CHANGE)
    try:
        messages.success(request, act(found))
    except HanseError as refused:
        messages.error(request, " ".join(part for part in (f"{refused.what}.", refused.fix) if part))
    return redirect("notices:people", organisation_id=organisation_id)


@never_cache
@login_required
@require_safe
def people(request: HttpRequest, organisation_id: str) -> HttpResponse:
    return _people(request, _organisation(request, organisation_id), InviteForm())


def _people(request: HttpRequest, organisation: Organisation, form: InviteForm, status: int = 200) -> HttpResponse:
    stands: dict[int, tuple[Person, list[str]]] = {}
    for membership in organisation.memberships.select_related("person").order_by("person__username", "role"):
        stands.setdefault(membership.person_id, (membership.person, []))[1].append(membership.role)
    changes = policy.may(request.user, "organisation:change-people", organisation)
    return render(request, "notices/people.html", {
        "organisation": organisation, "stands": list(stands.values()), "changes": changes, "form": form,
        "roles": Membership.ROLES, "mail_on": options.mail_is_on(),
        "open": Invitation.open_ones().filter(organisation=organisation) if changes else (),
        "team": invitations.team_of(organisation) if changes else {},
    }, status=status)  # fmt: skip


@login_required
@require_POST
def invite(request: HttpRequest, organisation_id: str) -> HttpResponse:
    found = _organisation(request, organisation_id, CHANGE)
    form = InviteForm(request.POST)
    if form.is_valid():
        try:
            made = Invitation.invite(request.user, found, **form.cleaned_data)
        except HanseError as refused:
            form.tell(refused.where, " ".join(part for part in (f"{refused.what}.", refused.fix) if part))
        else:
            messages.success(request, _said(request, made))
            return redirect("notices:people", organisation_id=organisation_id)
    return _people(request, found, form)


def _said(request: HttpRequest, made: Invitation) -> str:
    if options.mail_is_on():
        return f"{made.email} is invited by mail."
    return f"This service sends no mail. Hand this link to {made.email}: {request.build_absolute_uri(made.path)}"


@login_required
@require_POST
def invite_team(request: HttpRequest, organisation_id: str) -> HttpResponse:
    def act(found: Organisation) -> str:
        made = invitations.invite_team(request.user, found)
        return " ".join(_said(request, one) for one in made) or "Everybody of the team stands here or is invited."

    return _changed(request, organisation_id, act)


@login_required
@require_POST
def roles(request: HttpRequest, organisation_id: str, person_id: int) -> HttpResponse:
    def act(found: Organisation) -> str:
        person = get_object_or_404(Person.objects.filter(memberships__organisation=found).distinct(), pk=person_id)
        wanted = frozenset() if "remove" in request.POST else frozenset(request.POST.getlist("role"))
        invitations.set_roles(request.user, found, person, wanted)
        now_is = ", ".join(sorted(wanted))
        return f"{person.display_name} is {now_is} now." if wanted else f"{person.display_name} was removed."

    return _changed(request, organisation_id, act)


@login_required
@require_POST
def revoke(request: HttpRequest, organisation_id: str, invitation_id: str) -> HttpResponse:
    def act(found: Organisation) -> str:
        one = get_object_or_404(Invitation, public_id=invitation_id, organisation=found)
        one.revoke(request.user)
        return f"The invitation of {one.email} opens nothing any more."

    return _changed(request, organisation_id, act)


@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def invitation(request: HttpRequest, link: str) -> HttpResponse:
    """What the link of an invitation opens: to whoever has it, once."""
    try:
        found = Invitation.behind(link)
    except HanseError as gone:
        return render(request, "notices/invitation_gone.html", {"what": gone.what, "fix": gone.fix}, status=404)
    form = JoinForm(request.POST if request.method == "POST" and not request.user.is_authenticated else None)
    if request.method == "POST":
        try:
            return _joined(request, found, form)
        except HanseError as refused:
            if request.user.is_authenticated:
                messages.error(request, f"{refused.what}. {refused.fix}")
                return redirect("portal:home")
            form.tell(refused.where, " ".join(part for part in (f"{refused.what}.", refused.fix) if part))
    return render(request, "notices/invitation.html", {"invitation": found, "form": form, "link": request.path})


def _joined(request: HttpRequest, found: Invitation, form: JoinForm) -> HttpResponse:
    person: Any = request.user
    if not person.is_authenticated:
        if not form.is_valid():
            return render(request, "notices/invitation.html", {"invitation": found, "form": form, "link": request.path})
        person = found.accept_as_new(form.cleaned_data["username"], form.cleaned_data["password"])
        login(request, person, backend=settings.AUTHENTICATION_BACKENDS[0])
    else:
        found.accept(person)
    messages.success(request, f"You stand in {found.organisation} now, as {found.role}.")
    return redirect("portal:home")
