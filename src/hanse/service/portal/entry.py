"""Signing in with name and password or through the identity provider, and out again. One-time links are access's."""

from __future__ import annotations

from typing import Any

from allauth.account.views import LoginView
from django.conf import settings
from django.contrib.auth import views


class SignIn(LoginView):
    template_name = "portal/login.html"

    def get_form(self, form_class: Any = None) -> Any:
        form = super().get_form(form_class)
        for field in form.fields.values():
            field.widget.attrs["class"] = "input"
            field.widget.attrs.pop("placeholder", None)
        return form

    def get_context_data(self, **more: Any) -> dict[str, Any]:
        return super().get_context_data(provider=settings.IDENTITY_PROVIDER, **more)


class SignOut(views.LogoutView):
    next_page = "portal:login"
