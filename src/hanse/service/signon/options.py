"""Settings of signing in, from the environment; django-allauth does the work.

HANSE_OIDC_SERVER (the provider's address, as in https://proxy.acc.myaccessid.org) · HANSE_OIDC_CLIENT_ID ·
HANSE_OIDC_CLIENT_SECRET · HANSE_OIDC_NAME (on the button) · HANSE_OIDC_SCOPES (comma-separated) ·
HANSE_OFFICERS_NEED_SECOND_FACTOR=0 (only where something before Hanse asks for it).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

PROVIDER = "home"
REFEDS_MFA = "https://refeds.org/profile/mfa"
"""What a provider says in `acr` of a sign-in with a second factor (REFEDS MFA Profile, https://refeds.org/profile/mfa)."""
APPS = (
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.mfa",
)
SCOPES = "openid,profile,email"
SHARED_CACHE = "hanse_shared_cache"
MOST_COUNTS = 100_000
"""Rows of the shared cache; the oldest go first, so that nobody fills the disk by trying."""


def provider(environment: Mapping[str, str]) -> dict[str, Any] | None:
    """The identity provider as allauth wants it; None where none is named.

    Raises:
        ImproperlyConfigured: it is named in part only, or its address is none.
    """
    server = environment.get("HANSE_OIDC_SERVER", "").strip()
    if not server:
        return None
    lacking = [name for name in ("HANSE_OIDC_CLIENT_ID", "HANSE_OIDC_CLIENT_SECRET") if not environment.get(name)]
    if lacking:
        raise ImproperlyConfigured(
            f"HANSE_OIDC_SERVER is set, but not {' and '.join(lacking)}: the provider gave you both on registration."
        )
    address = urlsplit(server)
    if not (address.scheme == "https" or address.hostname in ("localhost", "127.0.0.1")) or not address.netloc:
        raise ImproperlyConfigured(f"HANSE_OIDC_SERVER must be an https:// address, not {server}.")
    scopes = environment.get("HANSE_OIDC_SCOPES", SCOPES)
    return {
        "provider_id": PROVIDER,
        "name": environment.get("HANSE_OIDC_NAME", "") or address.netloc,
        "client_id": environment["HANSE_OIDC_CLIENT_ID"],
        "secret": environment["HANSE_OIDC_CLIENT_SECRET"],
        "settings": {
            "server_url": server.rstrip("/"),
            "scope": [scope.strip() for scope in scopes.split(",") if scope.strip()],
            "oauth_pkce_enabled": True,
        },
    }


def settings(environment: Mapping[str, str], *, embedded: bool, behind_proxy: bool) -> dict[str, Any]:
    """Django's settings of signing in."""
    home = provider(environment)
    needed = environment.get("HANSE_OFFICERS_NEED_SECOND_FACTOR", "0" if embedded else "1")
    return {
        # Limits on tries hold over all processes of the service, so what they count stands in the database.
        "CACHES": {
            "default": {
                "BACKEND": "django.core.cache.backends.db.DatabaseCache",
                "LOCATION": SHARED_CACHE,
                "OPTIONS": {"MAX_ENTRIES": MOST_COUNTS},
            }
        },
        "AUTHENTICATION_BACKENDS": ["hanse.service.signon.backend.Backend"],
        "ACCOUNT_ADAPTER": "hanse.service.signon.adapters.Accounts",
        "ACCOUNT_LOGIN_METHODS": {"username"},
        "ACCOUNT_SIGNUP_FIELDS": ["username*", "email", "password1*"],
        "ACCOUNT_EMAIL_VERIFICATION": "none",
        "ACCOUNT_UNIQUE_EMAIL": False,
        "ACCOUNT_SESSION_REMEMBER": True,
        "ACCOUNT_REAUTHENTICATION_TIMEOUT": 300,
        "ACCOUNT_PREVENT_ENUMERATION": True,
        "ACCOUNT_LOGOUT_REDIRECT_URL": "/login/",
        "SOCIALACCOUNT_ADAPTER": "hanse.service.signon.adapters.Providers",
        "SOCIALACCOUNT_PROVIDERS": {"openid_connect": {"APPS": [home] if home else []}},
        "SOCIALACCOUNT_LOGIN_ON_GET": False,
        "SOCIALACCOUNT_STORE_TOKENS": False,
        "MFA_SUPPORTED_TYPES": ["totp", "recovery_codes"],
        "MFA_ALLOW_UNVERIFIED_EMAIL": True,
        "MFA_TOTP_ISSUER": "Hanse",
        "MFA_TOTP_TOLERANCE": 1,
        "ALLAUTH_TRUSTED_PROXY_COUNT": 1 if behind_proxy else 0,
        "OFFICERS_NEED_SECOND_FACTOR": needed.lower() in {"1", "true", "yes"},
        "IDENTITY_PROVIDER": home and {"name": home["name"], "origin": _origin(home["settings"]["server_url"])},
    }


def _origin(url: str) -> str:
    address = urlsplit(url)
    return f"{address.scheme}://{address.netloc}"
