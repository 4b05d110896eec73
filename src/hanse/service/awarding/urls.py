"""Addresses of its pages; included at the root, before the portal's own."""

from __future__ import annotations

from django.urls import path, re_path

from hanse.service.awarding import pages

app_name = "awarding"

urlpatterns = [
    path("awards/", pages.desk, name="desk"),
    path("awards/capacity/", pages.capacity, name="capacity"),
    path("awards/statements/", pages.statements, name="statements"),
    re_path(
        r"^awards/statements/(?P<statement_id>[a-z0-9-]+)\.(?P<kind>csv|json)$",
        pages.statement_file,
        name="statement-file",
    ),
    path("awards/proposals/<str:proposal_id>/decide/", pages.decide_proposal, name="decide-proposal"),
    path("awards/requests/<str:request_id>/decide/", pages.decide_request, name="decide-request"),
    path("awards/duties/<str:duty_id>/", pages.duty, name="duty"),
    path("awards/duties/<str:duty_id>/decide/", pages.decide_duty, name="decide-duty"),
    path("allocations/<str:allocation_id>/requests/", pages.requests, name="requests"),
    path("allocations/<str:allocation_id>/hold/", pages.hold, name="hold"),
]
