"""The WSGI application, for gunicorn and its like."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hanse.service.settings")

application = get_wsgi_application()
