"""Who am I, and a link that opens the portal as me."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from ninja import Router
from ninja.throttling import AuthRateThrottle

from hanse.client.answers import Me, NewLoginLink, ProjectRef, Standing
from hanse.service.access.models import LoginLink, Person, Project
from hanse.service.api.replies import PROBLEMS, reply

router = Router(tags=["people"])


@router.get("me", response={200: Me, **PROBLEMS}, summary="The person this token or session stands for")
def me(request: HttpRequest) -> HttpResponse:
    return reply(me_of(request.auth))


def me_of(person: Person) -> Me:
    standings = person.memberships.select_related("organisation").order_by("pk")
    projects = Project.objects.seen_by(person).select_related("organisation")
    return Me(
        username=person.username,
        name=person.display_name,
        email=person.email,
        officer=person.is_officer,
        organisations=tuple(
            Standing(
                organisation=m.organisation.public_id,
                name=m.organisation.name,
                kind=m.organisation.kind,
                country=m.organisation.country,
                role=m.role,
            )
            for m in standings
        ),
        projects=tuple(
            ProjectRef(id=p.public_id, name=p.name, organisation=p.organisation.public_id) for p in projects
        ),
    )


@router.post(
    "login-links",
    response={201: NewLoginLink, **PROBLEMS},
    throttle=[AuthRateThrottle("20/m")],
    summary="A link that signs you in to the portal, once, within ten minutes",
)
def login_link(request: HttpRequest) -> HttpResponse:
    secret, expires_at = LoginLink.issue(request.auth)
    url = request.build_absolute_uri(reverse("login-link", args=[secret]))
    return reply(NewLoginLink(url=url, expires_at=expires_at), status=201)
