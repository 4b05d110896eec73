"""Addresses of its pages; included at the root, before the portal's own."""

from __future__ import annotations

from django.urls import path

from hanse.service.review import (
    desk_pages,
    given_pages,
    letter_pages,
    panel_pages,
    places_pages,
    redress_pages,
    reply_pages,
    round_pages,
    sheet_pages,
    step_pages,
)

app_name = "review"

urlpatterns = [
    path("review/", desk_pages.desk, name="desk"),
    path("review/lanes/<slug:call>/", desk_pages.lane, name="lane"),
    path("review/reviewers/", desk_pages.reviewers, name="reviewers"),
    path("review/rounds/", desk_pages.all_rounds, name="rounds"),
    path("review/rounds/<slug:call>/<slug:cut_off>/", round_pages.page, name="round"),
    path("review/rounds/<slug:call>/<slug:cut_off>/places/", places_pages.page, name="places"),
    path("review/rounds/<slug:call>/<slug:cut_off>/panel/", panel_pages.page, name="panel"),
    path("review/given/<str:review_id>/", given_pages.page, name="given"),
    path("review/replies/<str:application_id>/", reply_pages.page, name="reply"),
    path("review/letters/<str:letter_id>/", letter_pages.page, name="letter"),
    path("review/applications/<str:application_id>/letter/", letter_pages.draft, name="letter-draft"),
    path("review/redress/<str:application_id>/", redress_pages.page, name="redress"),
    path("review/sheets/<str:review_id>/", sheet_pages.page, name="sheet"),
    path("review/steps/<str:application_id>/<slug:step>/", step_pages.page, name="step"),
    path("review/orders/<str:application_id>/", step_pages.out_of_order, name="out-of-order"),
]
