"""A person's own tokens: what opens the API and the command line as them. Shown once; only hashes stay."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from hanse.contracts.base import now
from hanse.service.access.models import ApiToken

LIVES = {30: "30 days", 90: "90 days", 365: "a year"}


class TokenForm(forms.Form):
    name = forms.CharField(
        max_length=100, label="What it is for", help_text="So that you know it again: a machine, a script.",
        error_messages={"required": "Say what it is for, so that you know it again."},
    )  # fmt: skip
    days = forms.TypedChoiceField(
        coerce=int, choices=list(LIVES.items()), initial=90, label="It opens for",
        help_text="After that make a new one.",
    )  # fmt: skip

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name, field in self.fields.items():
            field.widget.attrs |= {"class": "input", "aria-describedby": f"{name}-hint"}


@never_cache
@login_required
def tokens(request: HttpRequest) -> HttpResponse:
    """The list, the form, and after a post the one sight of the new token's text."""
    form, secret = TokenForm(request.POST or None), None
    if request.method == "POST" and form.is_valid():
        until = now() + timedelta(days=form.cleaned_data["days"])
        name = form.cleaned_data["name"]
        secret = ApiToken.issue(name, by=request.user.username, person=request.user, expires_at=until)
        form = TokenForm()
    mine = ApiToken.objects.filter(person=request.user, revoked_at=None)
    return render(request, "portal/tokens.html", {
        "form": form,
        "secret": secret,
        "address": request.build_absolute_uri("/").rstrip("/"),
        "tokens": mine.order_by(F("last_used_at").desc(nulls_first=True), "-created_at"),
        "now": now(),
    })  # fmt: skip


@login_required
@require_POST
def revoke(request: HttpRequest, token_id: int) -> HttpResponse:
    token = get_object_or_404(ApiToken, pk=token_id, person=request.user)
    token.revoke(by=request.user.username, reason="revoked by its owner")
    messages.success(request, f"{token.name} opens nothing any more.")
    return redirect("portal:tokens")
