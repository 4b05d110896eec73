"""Django's settings, all from the environment.

HANSE_HOME · DATABASE_URL · HANSE_SECRET_KEY · HANSE_ALLOWED_HOSTS (comma-separated) · HANSE_DEBUG=1 · HANSE_LOG_LEVEL ·
HANSE_PARCEL_STORE (a folder or fsspec URL for what travels between machines) · HANSE_PARCEL_MAX_BYTES ·
HANSE_LOG_FORMAT=json · HANSE_METRICS_TOKEN (opens /metrics) ·
HANSE_BEHIND_PROXY=1 (a proxy that ends TLS and sets X-Forwarded-Proto) · HANSE_EMBEDDED=1 (one user, this machine) ·
HANSE_PUBLIC_URL (this service's address in mails) · HANSE_AWARDS_BY, HANSE_DECLINES_BY (officers it takes) ·
HANSE_OVERDUE_BLOCKS · HANSE_RETURN_AFTER_DAYS (awarding/policy.py) ·
HANSE_FIGURES_KEPT_S=60 (seconds after which officers' figures are counted anew) ·
HANSE_PROCESSES (that answer before a database server; one a core, four at most, where it is not said).
Those of signing in are in signon/options.py, those of mail (HANSE_MAIL_HOST, …) in notices/options.py.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import dj_database_url

from hanse.service import homes
from hanse.service.notices import options as mail
from hanse.service.signon import options as signon


def _flag(name: str) -> bool:
    return os.environ.get(name, "").lower() in {"1", "true", "yes"}


HANSE_HOME = homes.home()
SERVICE_FOLDER = homes.service_folder(HANSE_HOME)
HANSE_EMBEDDED = _flag("HANSE_EMBEDDED")

DEBUG = _flag("HANSE_DEBUG")
SECRET_KEY = homes.secret_key(SERVICE_FOLDER)
ALLOWED_HOSTS = [
    host.strip() for host in os.environ.get("HANSE_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]").split(",") if host
]
LOCAL = set(ALLOWED_HOSTS) <= {"localhost", "127.0.0.1", "[::1]", "testserver"}

INSTALLED_APPS = [
    "hanse.service.access",
    "hanse.service.runs",
    "hanse.service.compliance",
    "hanse.service.review",
    "hanse.service.awarding",
    "hanse.service.monitoring",
    "hanse.service.notices",
    "hanse.service.forms",
    "hanse.service.imports",
    "hanse.service.api",
    "hanse.service.portal",
    "hanse.service.signon",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
    *signon.APPS,
]
MIDDLEWARE = [
    "hanse.service.middleware.requests",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.middleware.http.ConditionalGetMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "hanse.service.signon.factor.second_factor",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "hanse.service.middleware.brussels_time",
]
ROOT_URLCONF = "hanse.service.urls"
WSGI_APPLICATION = "hanse.service.wsgi.application"
AUTH_USER_MODEL = "access.Person"
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/"
HANSE_BEHIND_PROXY = _flag("HANSE_BEHIND_PROXY")
SIGN_ON = signon.settings(os.environ, embedded=HANSE_EMBEDDED, behind_proxy=HANSE_BEHIND_PROXY)
globals().update(SIGN_ON)
globals().update(mail.settings(os.environ))
IDENTITY_PROVIDER = SIGN_ON["IDENTITY_PROVIDER"]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

SQLITE_OPTIONS = {
    # IMMEDIATE takes the write lock at BEGIN: two writers wait for each other instead of failing half-way.
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=20000;",
}
DATABASES = {
    "default": dj_database_url.config(
        default=f"sqlite:///{SERVICE_FOLDER / 'hanse.sqlite3'}", conn_max_age=60, conn_health_checks=True
    )
}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    homes.refuse_network_file_system(Path(str(DATABASES["default"]["NAME"])).parent)
    DATABASES["default"]["OPTIONS"] = SQLITE_OPTIONS

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]

LANGUAGE_CODE = "en-gb"
USE_I18N = True
LANGUAGES = [("en", "English"), ("de", "Deutsch"), ("fr", "Français")]
USE_TZ = True
TIME_ZONE = "UTC"
DISPLAY_TIME_ZONE = "Europe/Brussels"

STATIC_URL = "/static/"
_reporting = find_spec("hanse.reporting")
STATICFILES_DIRS = [
    folder
    for place in ((_reporting.submodule_search_locations or []) if _reporting else [])
    if (folder := Path(place) / "static").is_dir()
]
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        **{f"{kind}-src": ["'self'"] for kind in ("script", "style", "img", "font", "connect", "manifest")},
        # A form that leads to the identity provider is sent on there.
        "form-action": ["'self'", *([IDENTITY_PROVIDER["origin"]] if IDENTITY_PROVIDER else [])],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'none'"],
    }
}
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not LOCAL
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
CSRF_TRUSTED_ORIGINS = [] if LOCAL else [f"https://{host.lstrip('.')}" for host in ALLOWED_HOSTS if host != "*"]
HANSE_METRICS_TOKEN = os.environ.get("HANSE_METRICS_TOKEN", "")
if HANSE_BEHIND_PROXY:
    # Probes and scrapes come from this machine, without TLS.
    SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = True
    SECURE_HSTS_SECONDS = 31_536_000

FIGURES_KEPT_S = int(os.environ.get("HANSE_FIGURES_KEPT_S", "60"))
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024
CODE_MAX_BYTES = 20 * 1024 * 1024
PARCEL_STORE = os.environ.get("HANSE_PARCEL_STORE", "")
PARCEL_MAX_BYTES = int(os.environ.get("HANSE_PARCEL_MAX_BYTES", 200 * 10**9))

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"},
        "json": {"()": "hanse.service.logs.JsonFormatter"},
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "json" if os.environ.get("HANSE_LOG_FORMAT") == "json" else "line",
        }
    },
    "root": {"handlers": ["stderr"], "level": os.environ.get("HANSE_LOG_LEVEL", "WARNING").upper()},
    # Refusals (4xx) are answers, not troubles of the service.
    "loggers": {"django.request": {"level": "ERROR"}, "django.security.DisallowedHost": {"level": "CRITICAL"}},
}
