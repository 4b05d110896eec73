"""Every address of the service: the APIs, the admin, sign-in links, and last the pages."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from hanse import __version__
from hanse.service.access.views import follow_login_link
from hanse.service.api.site import agent_api, user_api


def healthy(_request: HttpRequest) -> HttpResponse:
    """For whoever waits for the service to answer."""
    return HttpResponse(f"hanse {__version__}\n", content_type="text/plain")


urlpatterns = [
    path("healthz", healthy, name="healthz"),
    path("api/v1/", user_api.urls),
    path("api/agent/v1/", agent_api.urls),
    path("admin/", admin.site.urls),
    path("in/<str:secret>/", follow_login_link, name="login-link"),
    path("", include("hanse.service.portal.urls")),
]
