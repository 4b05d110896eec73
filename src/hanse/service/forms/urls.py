"""Addresses of its pages; included at the root, before the portal's own."""

from __future__ import annotations

from django.urls import path

from hanse.service.forms import calls_pages, officer_pages, pages, sending

app_name = "forms"

urlpatterns = [
    path("welcome/", calls_pages.welcome, name="welcome"),
    path("calls/", calls_pages.listed, name="calls"),
    path("calls/suggest/", calls_pages.suggest, name="suggest"),
    path("calls/<slug:call_id>/", calls_pages.shown, name="call"),
    path("calls/<slug:call_id>/<int:version>/", calls_pages.shown, name="call-version"),
    path("drafts/", pages.listed, name="listed"),
    path("drafts/new/", sending.begin, name="begin"),
    path("drafts/<str:draft_id>/", pages.opened, name="opened"),
    path("drafts/<str:draft_id>/check/", sending.check, name="check"),
    path("drafts/<str:draft_id>/send/", sending.send, name="send"),
    path("drafts/<str:draft_id>/copy/", sending.copy, name="copy"),
    path("drafts/<str:draft_id>/plan/", pages.plan, name="plan"),
    path("drafts/<str:draft_id>/rebind/", pages.rebind, name="rebind"),
    path("drafts/<str:draft_id>/share/", pages.share, name="share"),
    path("drafts/<str:draft_id>/discard/", pages.discard, name="discard"),
    path("drafts/<str:draft_id>/restore/", pages.restore, name="restore"),
    path("drafts/<str:draft_id>/draft.pdf", sending.as_pdf, name="pdf"),
    path("drafts/<str:draft_id>/draft.json", sending.as_json, name="json"),
    path("drafts/<str:draft_id>/<slug:name>/", pages.section, name="section"),
    path("applications/<str:application_id>/form.pdf", sending.application_pdf, name="application-pdf"),
    path("applications/<str:application_id>/form.json", sending.application_json, name="application-json"),
    path("applications/<str:application_id>/copy/", sending.copy_application, name="application-copy"),
    path("officer/calls/", officer_pages.listed, name="officer-calls"),
    path("officer/calls/new/", officer_pages.begin, name="sketch-begin"),
    path("officer/calls/<str:sketch_id>/", officer_pages.sketch, name="sketch"),
    path("officer/calls/<str:sketch_id>/preview/", officer_pages.preview, name="sketch-preview"),
    path("officer/calls/<str:sketch_id>/try/", officer_pages.tried, name="sketch-try"),
    path("officer/calls/<str:sketch_id>/publish/", officer_pages.publish, name="sketch-publish"),
]
