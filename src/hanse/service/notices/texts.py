"""What notices and mails say: texts/en.yaml, de.yaml and fr.yaml, one text a kind, filled in by Django's templates.

A text is plain: nothing in it is escaped for HTML here; pages escape it when they show it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from django.template import Context, Engine

from hanse.service.notices import options

LANGUAGES: Mapping[str, str] = {"en": "English", "de": "Deutsch", "fr": "Français"}
FALLBACK = "en"
_FOLDER = Path(__file__).parent / "texts"
_ENGINE = Engine(autoescape=False, libraries={"l10n": "django.templatetags.l10n"})


@cache
def of(language: str) -> Mapping[str, Mapping[str, str]]:
    found: Mapping[str, Mapping[str, str]] = yaml.safe_load((_FOLDER / f"{language}.yaml").read_text("utf-8"))
    return found


def language_of(given: str) -> str:
    return given if given in LANGUAGES else FALLBACK


def written(kind: str, language: str, context: Mapping[str, Any]) -> tuple[str, str]:
    """Title and text of that kind; the title is one line."""
    text = of(language_of(language))[kind]
    title, body = (_filled(text[part], context) for part in ("title", "text"))
    return " ".join(title.split()), body.strip()


def letter(body: str, language: str, *, greeting: str = "", path: str | None = None) -> str:
    """A text as a mail: with greeting, link and the line that says why it came."""
    frame = of(language_of(language))["letter"]
    link = f"{options.public_url()}{path}" if path and options.public_url() else ""
    return _filled(frame["text"], {"greeting": greeting, "body": body, "link": link}).strip() + "\n"


def _filled(text: str, context: Mapping[str, Any]) -> str:
    return str(_ENGINE.from_string(text).render(Context(dict(context), autoescape=False)))
