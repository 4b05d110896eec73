"""Django set up for tests, once a process: a private HANSE_HOME, and SQLite or a private PostgreSQL.

HANSE_TEST_DATABASE=postgres starts a PostgreSQL of this process's own, on a socket in a temporary folder.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from tests import postgres

_ready = False


def set_up() -> None:
    global _ready
    if _ready:
        return
    _ready = True
    home = Path(tempfile.mkdtemp(prefix="hanse-test-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    for name in [name for name in os.environ if name.startswith("HANSE_") and not name.startswith("HANSE_TEST_")]:
        del os.environ[name]
    os.environ |= {"DJANGO_SETTINGS_MODULE": "hanse.service.settings", "HANSE_HOME": str(home)}
    os.environ["HANSE_OFFICERS_NEED_SECOND_FACTOR"] = "0"  # but where a test is about it
    os.environ["HANSE_AWARDS_BY"] = "1"  # likewise
    os.environ["HANSE_FIGURES_KEPT_S"] = "0"  # likewise
    os.environ.pop("DATABASE_URL", None)
    if os.environ.get("HANSE_TEST_DATABASE") == "postgres":
        os.environ["DATABASE_URL"] = postgres.up()
    import django

    django.setup()
    from django.conf import settings
    from django.core.cache import caches
    from django.db import connections

    settings.ALLOWED_HOSTS.append("testserver")
    # A test that touches no database may clear it; tests/notices/test_uploads.py is about the shared one.
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    caches.settings = caches.configure_settings(None)
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    # The live server's threads end with their test; connections kept for a next request would outlive the database.
    connections.databases["default"]["CONN_MAX_AGE"] = 0
    if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        # A file: threads of one test then wait for each other as processes do, which a database in memory cannot.
        connections.databases["default"]["TEST"]["NAME"] = str(home / "test.sqlite3")
