"""Who a session belongs to: read at each request, with what every page asks of them."""

from __future__ import annotations

from typing import Any

from allauth.account.auth_backends import AuthenticationBackend

from hanse.service.access.models import Person


class Backend(AuthenticationBackend):
    """As allauth has it; whether someone stands among officers or reviewers comes with them, in the same query."""

    def get_user(self, user_id: Any) -> Person | None:
        person = Person.standing().filter(pk=user_id).first()
        if person is None or not self.user_can_authenticate(person):
            return None
        person.remember_standing()
        return person
