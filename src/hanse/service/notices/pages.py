"""The pages of notices, preferences and a person's own data."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST, require_safe

from hanse.contracts.errors import HanseError
from hanse.service import policy
from hanse.service.access.models import Organisation
from hanse.service.notices import own_data
from hanse.service.notices.forms import EraseForm, PreferenceForm
from hanse.service.notices.models import Mail, Notice, Preference, Viewing
from hanse.service.notices.outbox import STUCK
from hanse.service.portal.language import choose

A_PAGE = 25


@never_cache
@login_required
@require_safe
def listing(request: HttpRequest) -> HttpResponse:
    found = Notice.objects.filter(person=request.user)
    unread = found.filter(read_at=None).count()
    page = Paginator(found, A_PAGE).get_page(request.GET.get("page"))
    return render(request, "notices/notices.html", {
        "page": page, "unread": unread, "form": _preference(request),
        "organisations": Organisation.objects.filter(memberships__person=request.user).distinct(),
        "officer": policy.may(request.user, "service:see-mail"),
    })  # fmt: skip


def _preference(request: HttpRequest) -> PreferenceForm:
    chosen = Preference.of(request.user)
    return PreferenceForm(initial={"language": chosen.language, "mail": chosen.mail})


@login_required
@require_POST
def read(request: HttpRequest) -> HttpResponse:
    """Mark one, or all, and go on to what it is about."""
    given = request.POST.get("notice", "")
    if not given:
        Notice.mark_read(request.user)
        return redirect("notices:notices")
    one = get_object_or_404(Notice, pk=int(given) if given.isdecimal() else 0, person=request.user)
    Notice.mark_read(request.user, one.pk)
    return redirect(one.path or "notices:notices")


@login_required
@require_POST
def preference(request: HttpRequest) -> HttpResponse:
    form = PreferenceForm(request.POST)
    if form.is_valid():
        Preference.objects.update_or_create(person=request.user, defaults=form.cleaned_data)
        choose(request, form.cleaned_data["language"])
        messages.success(request, "Saved: from now on it is as you chose.")
    else:
        messages.error(request, "Choose one of the languages.")
    return redirect("notices:notices")


@never_cache
@login_required
@require_safe
def my_data(request: HttpRequest) -> HttpResponse:
    return _my_data(request, EraseForm())


def _my_data(request: HttpRequest, form: EraseForm) -> HttpResponse:
    seen = Viewing.objects.filter(subject_id=f"person-{request.user.pk}")[:A_PAGE]
    return render(request, "notices/my_data.html", {
        "form": form, "kept": own_data.KEPT.items(), "seen": seen,
        "only_owner_of": own_data.only_owner_of(request.user),
    })  # fmt: skip


@never_cache
@login_required
@require_GET
def my_data_file(request: HttpRequest) -> HttpResponse:
    response = JsonResponse(own_data.export(request.user), encoder=own_data.encoder(), json_dumps_params={"indent": 1})
    response["Content-Disposition"] = 'attachment; filename="hanse-my-data.json"'
    return response


@login_required
@require_POST
def erase(request: HttpRequest) -> HttpResponse:
    """Erase the person who asks; they are signed out by it."""
    form = EraseForm(request.POST)
    person: Any = request.user
    if form.is_valid():
        try:
            own_data.erase(person, by=person, confirmed=form.cleaned_data["confirm"])
        except HanseError as refused:
            form.tell("confirm", " ".join(part for part in (f"{refused.what}.", refused.fix) if part))
        else:
            logout(request)
            return render(request, "notices/erased.html")
    return _my_data(request, form)


@never_cache
@login_required
@require_safe
def viewings(request: HttpRequest) -> HttpResponse:
    """Who looked at confidential data: all of it for officers, an owner's organisations' and one's own for others."""
    found = Viewing.objects.seen_by(request.user).select_related("organisation")
    about = request.GET.get("about", "").strip()
    if about:
        found = found.filter(subject_id=about)
    page = Paginator(found, A_PAGE).get_page(request.GET.get("page"))
    return render(request, "notices/viewings.html", {"page": page, "about": about})


@never_cache
@login_required
def mail(request: HttpRequest) -> HttpResponse:
    """Mail that did not leave, for officers; a post sends one again."""
    if not policy.may(request.user, "service:see-mail"):
        raise PermissionDenied
    if request.method == "POST":
        one = get_object_or_404(Mail, public_id=request.POST.get("mail", ""))
        try:
            one.send_again(request.user)
            messages.success(request, f"The mail to {one.to} is sent again.")
        except HanseError as refused:
            messages.error(request, f"{refused.what}. {refused.fix}")
        return redirect("notices:mail")
    stuck = Mail.objects.filter(state__in=STUCK)
    return render(request, "notices/mail.html", {
        "page": Paginator(stuck, A_PAGE).get_page(request.GET.get("page")),
        "waiting": Mail.objects.filter(state__in=("waiting", "sending")).count(),
    })  # fmt: skip
