"""Which language a page speaks: the one a person chose, which follows them; before sign-in their cookie's; else their
browser's (Django's LocaleMiddleware). What a person chooses anywhere is kept with their preferences.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.translation import get_language, get_language_from_request, override

_CHOSEN = "hanse_language"


def is_english() -> bool:
    """Whether what is written in English needs no saying: asked once a page, and not for each of its texts."""
    return (get_language() or "en")[:2] == "en"


def say(text: str) -> str:
    """The sentence in the reader's language."""
    from hanse.service.forms.say import say as said

    return said(text)


def choose(request: HttpRequest, language: str) -> None:
    """The answer to this request makes it the language of this browser."""
    setattr(request, _CHOSEN, language)


def signed_in(request: HttpRequest | None, user: Any, **_told: Any) -> None:
    """Whoever chose a language reads it wherever they sign in."""
    from hanse.service.notices.models import Preference

    chosen = Preference.objects.filter(person=user).values_list("language", flat=True).first()
    if request is not None and chosen:
        choose(request, chosen)


def kept(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """Keep what was chosen: as a cookie, and by the switch of a page also with the person's preferences."""
    match = request.resolver_match
    if match is not None and match.view_name == "set_language" and request.method == "POST":
        _keep(request.user, request.POST.get("language", ""))
    chosen = getattr(request, _CHOSEN, "")
    if chosen in dict(settings.LANGUAGES):
        response.set_cookie(
            settings.LANGUAGE_COOKIE_NAME, chosen, max_age=settings.LANGUAGE_COOKIE_AGE,
            samesite="Lax", secure=settings.SESSION_COOKIE_SECURE, httponly=True,
        )  # fmt: skip
    return response


def _keep(person: Any, language: str) -> None:
    from hanse.service.notices.models import Preference

    if person.is_authenticated and language in dict(settings.LANGUAGES):
        Preference.objects.update_or_create(person=person, defaults={"language": language})


def of(request: HttpRequest) -> Any:
    """For an answer given before any language is set: what the request asks for, while the answer is made."""
    return override(get_language_from_request(request))
