"""Who speaks: a person by bearer token or session (then with CSRF), an agent by its machine's token."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja.errors import HttpError
from ninja.security import HttpBearer
from ninja.utils import check_csrf

from hanse.service.access.people import Person
from hanse.service.access.tokens import ApiToken
from hanse.service.api.replies import TokenEnded
from hanse.service.runs.machines import Machine


class UserAuth(HttpBearer):
    """Gives `request.auth` the person. A token, where one is sent, is all that counts."""

    def __call__(self, request: HttpRequest) -> Any:
        if request.headers.get(self.header):
            return super().__call__(request)
        if not request.user.is_authenticated:
            return None
        if check_csrf(request):
            raise HttpError(403, "the CSRF token is missing or wrong")
        return request.user

    def authenticate(self, _request: HttpRequest, token: str) -> Person | None:
        found = ApiToken.find(token)
        return found.person if found else None


class AgentAuth(HttpBearer):
    """Gives `request.auth` the machine, and `request.token` what it was shown by."""

    def authenticate(self, request: HttpRequest, token: str) -> Machine | None:
        found = ApiToken.find(token)
        if found is None and (ended := ApiToken.ended(token)):
            raise TokenEnded(
                ended.note_refused(), fix="enrol the agent again with a new code: hanse agent --enrol CODE"
            )
        request.token = found  # type: ignore[attr-defined]
        return found.machine if found else None
