"""Signing in with name and password, and out again. One-time links are the access app's."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import views


class SignIn(views.LoginView):
    template_name = "portal/login.html"
    redirect_authenticated_user = True

    def get_form(self, form_class: Any = None) -> Any:
        form = super().get_form(form_class)
        for field in form.fields.values():
            field.widget.attrs["class"] = "input"
        return form


class SignOut(views.LogoutView):
    next_page = "portal:login"
