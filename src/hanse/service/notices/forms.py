"""The forms of these pages."""

from __future__ import annotations

from typing import Any

from django import forms

from hanse.service.access.models import Membership
from hanse.service.notices import texts


class _Styled(forms.Form):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name, field in self.fields.items():
            described = f"{name}-hint" if field.help_text else ""
            if self.is_bound and name in self.errors:
                described = f"{described} {name}-error".strip()
                field.widget.attrs["aria-invalid"] = "true"
            if described:
                field.widget.attrs["aria-describedby"] = described
            if not isinstance(field.widget, forms.CheckboxInput | forms.CheckboxSelectMultiple):
                field.widget.attrs["class"] = "input"

    def tell(self, where: str, what: str) -> None:
        """Put an error of the house at its field, or at the first."""
        name = where if where in self.fields else next(iter(self.fields))
        self.add_error(name, what)
        self.fields[name].widget.attrs |= {"aria-invalid": "true", "aria-describedby": f"{name}-error"}


class InviteForm(_Styled):
    email = forms.CharField(
        max_length=254, label="E-mail address", widget=forms.EmailInput(attrs={"autocomplete": "off"}),
        error_messages={"required": "Enter the address of whom you invite."},
    )  # fmt: skip
    role = forms.ChoiceField(choices=Membership.ROLES, initial="member", label="Role")


class JoinForm(_Styled):
    username = forms.CharField(
        max_length=150, label="User name", help_text="Letters, digits and @ . + - _",
        widget=forms.TextInput(attrs={"autocomplete": "username"}),
        error_messages={"required": "Choose a name to sign in with."},
    )  # fmt: skip
    password = forms.CharField(
        max_length=128, label="Password", help_text="At least 8 characters, and not a common one.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        error_messages={"required": "Choose a password."},
    )  # fmt: skip


class PreferenceForm(_Styled):
    language = forms.ChoiceField(choices=list(texts.LANGUAGES.items()), label="Language of pages, notices and mail")
    mail = forms.BooleanField(required=False, label="Send me mail too")


class EraseForm(_Styled):
    confirm = forms.CharField(
        max_length=150, label="Your user name", help_text="Type it to confirm. This cannot be undone.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        error_messages={"required": "Type your user name to confirm."},
    )  # fmt: skip
