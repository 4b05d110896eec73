"""Addresses of its pages; included at the root, before the portal's own."""

from __future__ import annotations

from django.urls import path

from hanse.service.review import desk_pages, round_pages, sheet_pages, step_pages

app_name = "review"

urlpatterns = [
    path("review/", desk_pages.desk, name="desk"),
    path("review/reviewers/", desk_pages.reviewers, name="reviewers"),
    path("review/rounds/<slug:call>/<slug:cut_off>/", round_pages.page, name="round"),
    path("review/sheets/<str:review_id>/", sheet_pages.page, name="sheet"),
    path("review/steps/<str:application_id>/<slug:step>/", step_pages.page, name="step"),
    path("review/orders/<str:application_id>/", step_pages.out_of_order, name="out-of-order"),
]
