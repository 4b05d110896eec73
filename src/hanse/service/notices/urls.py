"""Addresses of its pages; included at the root, before the portal's own."""

from __future__ import annotations

from django.urls import path

from hanse.service.notices import pages, people_pages

app_name = "notices"

urlpatterns = [
    path("notices/", pages.listing, name="notices"),
    path("notices/read/", pages.read, name="read"),
    path("notices/preference/", pages.preference, name="preference"),
    path("my-data/", pages.my_data, name="my-data"),
    path("my-data/hanse-my-data.json", pages.my_data_file, name="my-data-file"),
    path("my-data/erase/", pages.erase, name="erase"),
    path("views/", pages.viewings, name="viewings"),
    path("mail/", pages.mail, name="mail"),
    path("organisations/<str:organisation_id>/people/", people_pages.people, name="people"),
    path("organisations/<str:organisation_id>/people/invite/", people_pages.invite, name="invite"),
    path("organisations/<str:organisation_id>/people/invite-team/", people_pages.invite_team, name="invite-team"),
    path("organisations/<str:organisation_id>/people/<int:person_id>/", people_pages.roles, name="roles"),
    path(
        "organisations/<str:organisation_id>/invitations/<str:invitation_id>/revoke/", people_pages.revoke,
        name="revoke",
    ),
    path("invitations/<str:link>/", people_pages.invitation, name="invitation"),
]  # fmt: skip
