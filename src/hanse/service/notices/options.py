"""Settings of mail, from the environment; without HANSE_MAIL_HOST no mail is written and notices stand in the portal.

HANSE_MAIL_HOST · HANSE_MAIL_PORT (587) · HANSE_MAIL_USER · HANSE_MAIL_PASSWORD · HANSE_MAIL_TLS=starttls|tls|none ·
HANSE_MAIL_FROM (the sender's address) · HANSE_PUBLIC_URL (the service's own address, for links in mail).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings as configured
from django.core.exceptions import ImproperlyConfigured

TIMEOUT_S = 20
_TLS = ("starttls", "tls", "none")


def settings(environment: Mapping[str, str]) -> dict[str, Any]:
    """Django's settings of mail.

    Raises:
        ImproperlyConfigured: a host is named, but not what goes with it.
    """
    host, public_url = environment.get("HANSE_MAIL_HOST", "").strip(), environment.get("HANSE_PUBLIC_URL", "").strip()
    if public_url and not (urlsplit(public_url).scheme in ("http", "https") and urlsplit(public_url).netloc):
        raise ImproperlyConfigured(f"HANSE_PUBLIC_URL must be an address like https://hanse.example, not {public_url}.")
    given: dict[str, Any] = {"MAIL_ON": bool(host), "PUBLIC_URL": public_url.rstrip("/")}
    if not host:
        return given
    sender, tls = environment.get("HANSE_MAIL_FROM", ""), environment.get("HANSE_MAIL_TLS", "starttls")
    if "@" not in sender or not public_url:
        raise ImproperlyConfigured("HANSE_MAIL_HOST needs HANSE_MAIL_FROM (an address) and HANSE_PUBLIC_URL beside it.")
    if tls not in _TLS:
        raise ImproperlyConfigured(f"HANSE_MAIL_TLS is one of {', '.join(_TLS)}, not {tls}.")
    try:
        port = int(environment.get("HANSE_MAIL_PORT", "587"))
    except ValueError as error:
        raise ImproperlyConfigured("HANSE_MAIL_PORT must be a number.") from error
    return given | {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": host,
        "EMAIL_PORT": port,
        "EMAIL_HOST_USER": environment.get("HANSE_MAIL_USER", ""),
        "EMAIL_HOST_PASSWORD": environment.get("HANSE_MAIL_PASSWORD", ""),
        "EMAIL_USE_TLS": tls == "starttls",
        "EMAIL_USE_SSL": tls == "tls",
        "EMAIL_TIMEOUT": TIMEOUT_S,
        "DEFAULT_FROM_EMAIL": sender,
    }


def mail_is_on() -> bool:
    return bool(getattr(configured, "MAIL_ON", False))


def public_url() -> str:
    """Without a slash at its end; empty where none is known."""
    return str(getattr(configured, "PUBLIC_URL", ""))
