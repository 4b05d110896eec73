"""Addresses of its pages; included at the root, before the portal's own."""

from __future__ import annotations

from django.urls import URLPattern, path

from hanse.service.compliance import ask, pages

app_name = "compliance"

urlpatterns: list[URLPattern] = [
    path("watch/", pages.queue, name="queue"),
    path("conditions/<str:condition_id>/", pages.condition, name="condition"),
    path("permits/<str:permit_id>/", pages.permit, name="permit"),
    path("applications/<str:application_id>/permits/new/", pages.new_permit, name="new-permit"),
    path("changes/<str:change_id>/", pages.change, name="change"),
    path("rescreenings/<int:rescreening_id>/", pages.rescreening, name="rescreening"),
    path("desk/ask/", ask.ask, name="ask"),
    path("desk/questions/", ask.faq, name="faq"),
    path("desk/questions/<str:question_id>/", ask.question, name="question"),
    path("desk/questions/<str:question_id>/answer/", ask.answer, name="answer"),
]
