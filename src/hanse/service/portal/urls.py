"""Addresses of the pages; included last, at the root. Every tab and every fragment has its own."""

from __future__ import annotations

from django.urls import path

from hanse.service.portal import decide, desk, entry, federation, operate, runs, tokens, views

app_name = "portal"

urlpatterns = [
    path("", views.home, name="home"),
    path("desk/", desk.desk, name="desk"),
    path("desk/check/", desk.check, name="desk-check"),
    path("desk/rules/", desk.explore, name="desk-rules"),
    path("desk/timeline/", desk.timeline, name="desk-timeline"),
    path("desk/documents/", desk.templates, name="desk-documents"),
    path("desk/words/", desk.glossary, name="desk-words"),
    path("login/", entry.SignIn.as_view(), name="login"),
    path("logout/", entry.SignOut.as_view(), name="logout"),
    path("runs/", runs.listing, name="runs"),
    path("runs/<str:run_id>/", runs.overview, name="run"),
    path("runs/<str:run_id>/live/", runs.live, name="run-live"),
    path("runs/<str:run_id>/log/", runs.log, name="run-log"),
    path("runs/<str:run_id>/log.txt", runs.log_text, name="run-log-text"),
    path("runs/<str:run_id>/report/", runs.report, name="run-report"),
    path("runs/<str:run_id>/report.html", runs.report_file, name="run-report-file"),
    path("runs/<str:run_id>/record.json", runs.record_file, name="run-record"),
    path("runs/<str:run_id>/stop/", runs.stop, name="run-stop"),
    path("allocations/<str:allocation_id>/", views.allocation, name="allocation"),
    path("federation/", federation.federation, name="federation"),
    path("federation/live/", federation.live, name="federation-live"),
    path("operator/<str:machine_id>/", operate.operator, name="operator"),
    path("operator/<str:machine_id>/code/", operate.code, name="operator-code"),
    path("operator/<str:machine_id>/act/", operate.act, name="operator-act"),
    path("operator/<str:machine_id>/gone/<str:attempt_id>/", operate.gone, name="operator-gone"),
    path("operator/<str:machine_id>/tokens/<int:token_id>/revoke/", operate.revoke, name="operator-revoke"),
    path("tokens/", tokens.tokens, name="tokens"),
    path("tokens/<int:token_id>/revoke/", tokens.revoke, name="token-revoke"),
    path("applications/", views.applications, name="applications"),
    path("applications/<str:application_id>/", views.application, name="application"),
    path("applications/<str:application_id>/decision/", decide.decision, name="decision"),
]
