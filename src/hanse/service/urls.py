"""Every address of the service: the APIs, the admin, sign-in links, and last the pages."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from hanse.service.access.views import follow_login_link
from hanse.service.api.site import agent_api, user_api
from hanse.service.health import healthy, ready
from hanse.service.metrics import scrape

urlpatterns = [
    path("healthz", healthy, name="healthz"),
    path("readyz", ready, name="readyz"),
    path("metrics", scrape, name="metrics"),
    path("api/v1/", user_api.urls),
    path("api/agent/v1/", agent_api.urls),
    # One way in: the admin's own would ask as often as one likes.
    path("admin/login/", RedirectView.as_view(pattern_name="portal:login", query_string=True)),
    path("admin/", admin.site.urls),
    path("in/<str:secret>/", follow_login_link, name="login-link"),
    path("", include("hanse.service.signon.urls")),
    path("i18n/", include("django.conf.urls.i18n")),
    path("", include("hanse.service.review.urls")),
    path("", include("hanse.service.imports.urls")),
    path("", include("hanse.service.awarding.urls")),
    path("", include("hanse.service.monitoring.urls")),
    path("", include("hanse.service.notices.urls")),
    path("", include("hanse.service.forms.urls")),
    path("", include("hanse.service.compliance.urls")),
    path("", include("hanse.service.portal.urls")),
]
