"""The permission matrix: every address and operation, asked by every role in one small world, each time undone.

`permissions.txt` is what a person has judged right. `python tools/permissions.py` prints the lines that are missing
there, with the answers that were seen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.models import Group
from django.core.cache import cache
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, get_resolver

from hanse.client.answers import LaunchRequest
from hanse.contracts.agentapi import Hello
from hanse.contracts.application import Draft
from hanse.contracts.awarding import AwardTerms, ChangeAsked
from hanse.contracts.base import now
from hanse.contracts.decision import Decision
from hanse.contracts.imports import AwardRow, ImportAsked
from hanse.contracts.programme import ReviewStep
from hanse.contracts.watch import PermitForm
from hanse.programme import calls
from hanse.service import health
from hanse.service.access.models import Allocation, ApiToken, Application, Award, Call, Person
from hanse.service.access.people import OFFICERS
from hanse.service.api.site import agent_api, user_api
from hanse.service.awarding.changes import ChangeRequest
from hanse.service.awarding.duties import Duty
from hanse.service.awarding.paying import Statement
from hanse.service.awarding.proposals import Proposal
from hanse.service.compliance.changes import RunChange
from hanse.service.compliance.conditions import Condition
from hanse.service.compliance.models import Rescreening, Screening
from hanse.service.compliance.permits import Permit
from hanse.service.compliance.questions import Question
from hanse.service.forms.models import CallSketch, KeptDraft
from hanse.service.imports.batches import Batch
from hanse.service.notices import inbox
from hanse.service.notices.invitations import Invitation
from hanse.service.notices.models import Notice
from hanse.service.records import new_id
from hanse.service.review.models import Assignment, Letter, Panel, Redress, Reviewer, Round, StandIn
from hanse.service.review.tables import stamp
from hanse.service.runs.models import Parcel
from tests.portal import seed
from tests.service import bodies
from tests.service.fixtures import World, a_machine, a_plan, a_spec, make_world

TABLE = Path(__file__).with_name("permissions.txt")
ROLES = ("nobody", "newcomer", "member", "owner", "foreign", "operator", "officer", "admin", "agent")
METHODS = ("GET", "POST")
SHA = "0" * 64

BODIES: dict[str, Any] = {
    "POST /api/v1/calls/suggest": {"gpu_hours": 100, "organisation_kind": "start-up", "country": "BE"},
    "POST /api/v1/applications/{id}/decide": {"decision": "decline", "reason": "Too large for this call."},
    "POST /api/v1/runs/{id}/cancel": {"reason": "enough"},
    "POST /api/v1/attempts/{id}/gone": {"because": "its node was taken away"},
    "POST /api/v1/agents/enrol": {"site": "here", "machine": "local", "name": "agent"},
    "POST /api/v1/agents/codes": {"site": "here", "machine": "local"},
    "POST /api/v1/machines/{id}/drain": {"reason": "maintenance"},
    "POST /api/v1/machines/{id}/undrain": {"reason": "done"},
    "POST /api/v1/machines/{id}/own-hours": {"account": "acc", "gpu_hours": 10, "ends": "2100-01-01"},
    "POST /api/v1/allocations/{id}/corrections": {"accelerator_seconds": -60, "reason": "counted twice"},
    "POST /api/v1/allocations/{id}/account": {"account": "proj1"},
    "POST /api/v1/duties/{id}/decide": {"decision": "waive", "reason": "Not needed."},
    "POST /api/v1/requests/{id}/decide": {"decision": "decline", "reason": "No room."},
    "POST /api/v1/proposals/{id}/decide": {"decision": "refuse", "reason": "Too much."},
    "POST /api/v1/conditions/{id}": {"to": "waived", "reason": "Not needed."},
    "POST /api/v1/reviews/{id}/decline": {"reason": "I know them."},
    "POST /applications/{application_id}/decision/": {"decline": "", "reason": "Too large for this call."},
    "POST /organisations/{organisation_id}/people/invite/": {"email": "new@example.eu", "role": "member"},
    "POST /organisations/{organisation_id}/people/{person_id}/": {"remove": ""},
    "POST /notices/read/": {},
    "POST /tokens/": {"name": "laptop", "days": 30},
    "POST /operator/{machine_id}/act/": {"act": "drain", "reason": "maintenance"},
    "POST /invitations/{link}/": {"username": "nova", "password": "a long sentence for tests"},
}
"""What is sent where nothing would be refused before anybody asks who may: JSON to the APIs, a form to pages."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The world, who acts in it, and what names in addresses stand for."""

    world: World
    clients: dict[str, Client]
    tokens: dict[str, str]
    values: dict[str, Any] = field(default_factory=dict)
    bodies: dict[str, Any] = field(default_factory=dict)


def stage() -> Stage:
    world = make_world()
    newcomer = Person.objects.create_user("newcomer", "newcomer@example.eu", "a long password")
    admin = Person.objects.create_superuser("admin", "", "a long password")
    Group.objects.get_or_create(name=OFFICERS)
    run = world.launch()
    attempt = world.attempt(run)
    sent = seed.application(world.founder)
    type(sent).objects.filter(pk=sent.pk).update(organisation=world.organisation)
    world.machine.refresh_from_db()
    elsewhere = type(world.machine).objects.create(public_id="other", site=world.site)
    parcel = Parcel.objects.create(
        run=run, kind="checkpoint", from_machine=world.machine, to_machine=elsewhere, ordered_at=now()
    )
    inbox.tell()
    notice = Notice.objects.filter(person=world.founder).first()
    invitation = Invitation.invite(world.founder, world.organisation, email="guest@example.eu", role="member")
    mine = ApiToken.issue("laptop", by="founder", person=world.founder)
    people = {
        "newcomer": newcomer, "member": world.colleague, "owner": world.founder, "foreign": world.stranger,
        "operator": world.operator, "officer": world.officer, "admin": admin,
    }  # fmt: skip
    tokens = {name: world.token(person) for name, person in people.items()} | {"agent": world.agent_token()}
    clients = {name: Client() for name in ROLES}
    for name, person in people.items():
        clients[name].force_login(person)
    values: dict[str, Any] = {
        "run_id": run.public_id, "allocation_id": world.allocation.public_id, "application_id": sent.public_id,
        "machine_id": "local", "attempt_id": attempt.public_id, "organisation_id": world.organisation.public_id,
        "person_id": world.colleague.pk, "invitation_id": invitation.public_id, "link": invitation.path.split("/")[2],
        "secret": "unknown", "sha256": SHA, "node": "node1", "version": sent.call.version, "provider_id": "home",
        "/tokens/{token_id}": _key(mine), "/operator/{machine_id}/tokens/{token_id}": _key(tokens["agent"]),
        "/api/v1/machines/{id}": "local", "/api/v1/calls/{id}": sent.call.call_id,
        "/api/v1/applications/{id}": sent.public_id, "/api/v1/allocations/{id}": world.allocation.public_id,
        "/api/v1/runs/{id}": run.public_id, "/api/v1/attempts/{id}": attempt.public_id,
        "/api/v1/notices/{id}": notice.pk if notice else 0, "/api/agent/v1/parcels/{id}": parcel.public_id,
        "/api/agent/v1/attempts/{id}": attempt.public_id,
        "batch_id": _an_import(world), "/api/v1/imports/{id}": _an_import(world),
    }  # fmt: skip
    values |= _of_award(world) | _of_writing(world)
    health.ticked(now())
    return Stage(
        world=world, clients=clients, tokens=tokens, values=values, bodies=_least() | BODIES | _bodies(world, sent)
    )


def _rows() -> ImportAsked:
    row = AwardRow(
        line=2, source="elsewhere", reference=new_id("ref"), mode="fast-lane", title="A title", organisation="New one",
        organisation_kind="sme", country="BE", contact_email="new@example.eu", machine="local", amount=Decimal(10),
        starts=now().date(), ends=now().date(),
    )  # fmt: skip
    return ImportAsked(kind="csv", name="awards.csv", sha256=row.digest(), rows=(row,))


def _an_import(world: World) -> str:
    """One that waits, which an officer prepared: an administrator may confirm it, and not who prepared it."""
    return str(Batch.prepare(world.officer, _rows()).id)


def _of_award(world: World) -> dict[str, Any]:
    """A granted application with all that follows an award, one that waits for a second word, one in review."""
    today, by = now().date(), world.officer
    allowed = Decision(subject="app", verdict="allow", findings=(), decided_at=now(), decided_by="gate")
    granted, waiting, reviewed = (
        seed.application(world.founder, state=state) for state in ("granted", "sent", "in-review")
    )
    for one in (granted, waiting, reviewed):
        type(one).objects.filter(pk=one.pk).update(organisation=world.organisation)
    screening = Screening.objects.create(application=granted, decision=allowed, answers={})
    award = Award.objects.create(application=granted, project=world.project, gpu_hours=1, granted_by=by)
    held = Allocation.objects.create(
        award=award, project=world.project, machine=world.machine, granted_accelerator_seconds=3600, starts=today,
        ends=today + timedelta(days=90),
    )  # fmt: skip
    form = PermitForm(
        kind="health-data", number="1", issuer="A body", purpose="Research.", datasets=("scans",), machines=("local",),
        valid_until=today + timedelta(days=90),
    )  # fmt: skip
    made = {
        "condition_id": Condition.objects.create(award=award, key="a", kind="officer", text="The model is marked."),
        "permit_id": Permit.objects.create(award=award, form=form, valid_until=form.valid_until, stated_by=by),
        "change_id": RunChange.objects.create(
            award=award, key="k", spec=a_spec(), decision=allowed, state="asked",
            differences=[{"what": "purpose", "was": "a", "now": "b"}],
        ),
        "duty_id": Duty.objects.create(award=award, kind="final-report", name="final-report", text="One.", due=today),
        "request_id": ChangeRequest.objects.create(
            allocation=held, kind="extension", asked=ChangeAsked(kind="extension", reason="More time.", months=1),
            asked_by=world.founder,
        ),
        "proposal_id": Proposal.objects.create(
            application=waiting, decision="grant", terms=AwardTerms(reason="Sound."), proposed_by=by
        ),
        "statement_id": Statement.objects.create(
            organisation=world.organisation, month="2026-10", total_cents=0, issued_by=by, issued_at=now()
        ),
        "question_id": Question.objects.create(text="Is it high risk?", state="asked"),
    }  # fmt: skip
    gone = KeptDraft.begin(world.founder, Draft(call="playground", call_version=1))
    gone.discard(by=world.founder)
    rescreening = Rescreening.objects.create(screening=screening, decision=allowed, as_of=today)
    reviewer = Reviewer.enlist(world.stranger, organisation="Elsewhere", keywords=("vision",), by=by)
    given = Assignment.objects.create(application=reviewed, reviewer=reviewer, due_on=today)
    cut_off = now().replace(microsecond=0) - timedelta(days=1)
    terms = reviewed.call.terms.model_copy(
        update={"id": "with-steps", "review": (ReviewStep(kind="administrative"),), "mode": "large-scale"}
    )
    stepped = Call.objects.create(call_id="with-steps", version=1, terms=terms)
    Application.objects.filter(pk=reviewed.pk).update(cut_off=cut_off, call=stepped)
    held_round = Round.kept(stepped.call_id, cut_off)
    done = Call.objects.create(call_id="ranked", version=1, terms=terms.model_copy(update={"id": "ranked"}))
    Application.objects.filter(pk=granted.pk).update(cut_off=cut_off, call=done)
    lane = terms.model_copy(update={"id": "arrivals", "order": "arrival"})
    Call.objects.create(call_id=lane.id, version=1, terms=lane)
    Round.objects.create(call_id="ranked", cut_off=cut_off, state="closed", places=1, closed_at=now(), closed_by=by)
    later = {
        "letters": Letter.objects.create(
            application=granted, decided_at=now(), decision="granted", language="en", text="Dear applicant"
        ),
        "panels": Panel.objects.create(round=held_round, held_on=today, opened_by=by),
        "redress": Redress.objects.create(
            application=granted, decided_at=now(), grounds="A figure was misread.", asked_by=world.founder
        ),
        "stand-ins": StandIn.objects.create(
            assignment=given,
            reviewer=Reviewer.enlist(world.operator, organisation="", keywords=(), by=by),
            due_on=today,
        ),
    }
    ids = {name: one.public_id for name, one in made.items()}
    apis = {
        f"/api/v1/{name}/{{id}}": ids[of]
        for name, of in (
            ("conditions", "condition_id"), ("permits", "permit_id"), ("changes", "change_id"), ("duties", "duty_id"),
            ("requests", "request_id"), ("proposals", "proposal_id"), ("statements", "statement_id"),
        )
    } | {"/api/v1/reviews/{id}": given.public_id}  # fmt: skip
    apis |= {f"/api/v1/{name}/{{id}}": one.public_id for name, one in later.items()}
    return (
        ids
        | apis
        | {
            "rescreening_id": rescreening.pk,
            "/applications/{application_id}/permits/new/": granted.public_id,
            "/drafts/{draft_id}/restore/": gone.public_id,
            **{f"/api/v1/applications/{{id}}/{of}": granted.public_id for of in ("changes", "conditions", "permits")},
            "kind": "csv",
            "review_id": given.public_id,
            "letter_id": later["letters"].public_id,
            "call": stepped.call_id,
            "/review/rounds/{call}": done.call_id,
            "/review/lanes/{call}": lane.id,
            "/review/steps/{application_id}": reviewed.public_id,
            "cut_off": stamp(cut_off),
            "step": "administrative",
        }
    )


def _of_writing(world: World) -> dict[str, Any]:
    """A draft of the owner's and a call that officers write."""
    draft = KeptDraft.begin(world.founder, Draft(call="playground", call_version=1))
    sketch = CallSketch.begin(calls.load("playground"), by=world.officer)
    return {
        "draft_id": draft.public_id, "/api/v1/drafts/{id}": draft.public_id, "sketch_id": sketch.public_id,
        "call_id": "playground", "name": "project", "/api/v1/lanes/{call}": "playground",
    }  # fmt: skip


def _least() -> dict[str, Any]:
    """The least body of every operation of the API, and the query it needs."""
    found: dict[str, Any] = {}
    document = user_api.get_openapi_schema()
    for address, operations in document["paths"].items():
        for method, operation in operations.items():
            if query := bodies.query_of(document, operation):
                found[f"? {method.upper()} {address}"] = query
            found[f"{method.upper()} {address}"] = bodies.body_of(document, operation)
    return found


def _bodies(world: World, sent: Any) -> dict[str, Any]:
    """What has to be whole before anybody asks who may."""
    terms = sent.call.terms.model_copy(update={"id": "a-new-call", "version": 1})
    asked = LaunchRequest(spec=a_spec(), plan=a_plan(), allocation=world.allocation.public_id, machine="local")
    form = sent.form.model_copy(update={"organisation": world.organisation.name})
    greeting = Hello(machine=a_machine("local"), software="test")
    return {
        "POST /api/v1/calls": terms.model_dump(mode="json"), "POST /api/v1/runs": asked.model_dump(mode="json"),
        "POST /api/v1/applications": form.model_dump(mode="json"),
        "POST /api/v1/imports": _rows().model_dump(mode="json"),
        "POST /api/v1/imports/preview": _rows().model_dump(mode="json"),
        "POST /api/v1/imports/{id}/choose": {"line": 2, "organisation": "new"},
        "POST /api/agent/v1/hello": greeting.model_dump(mode="json"),
        "POST /api/agent/v1/enrol": {"machine": "local"},
    }  # fmt: skip


def _key(secret: str) -> int:
    found = ApiToken.find(secret)
    assert found is not None
    return found.pk


def acts() -> list[str]:
    """Every `METHOD /address/{with}/names`: of the pages by GET and POST, of the APIs as their documents have it."""
    pages = sorted({address for address in _addresses() if not address.startswith(("/api/", "/admin/"))})
    found = [f"{method} {address}" for address in pages for method in METHODS]
    for api in (user_api, agent_api):
        for address, operations in sorted(api.get_openapi_schema()["paths"].items()):
            found += [f"{method.upper()} {address}" for method in sorted(operations)]
    return found


def admin_addresses() -> list[str]:
    return sorted({address for address in _addresses() if address.startswith("/admin/")})


def _addresses(patterns: Any = None, before: str = "/") -> Iterator[str]:
    for one in get_resolver().url_patterns if patterns is None else patterns:
        here = before + _plain(str(one.pattern))
        if isinstance(one, URLPattern):
            yield here
        else:
            yield from _addresses(one.url_patterns, here)


def _plain(pattern: str) -> str:
    """`<str:run_id>` and `(?P<run_id>…)` as `{run_id}`."""
    pattern = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"{\1}", pattern)
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", pattern).strip("^$").replace("\\", "")


def filled(address: str, values: dict[str, Any]) -> str:
    """The address with what its names stand for. Raises KeyError for a name that `stage` gives no value."""

    def value(found: re.Match[str]) -> str:
        name, so_far = found[1], address[: found.end()]
        return str(next(values[key] for key in (address, so_far, name) if key in values or key == name))

    return re.sub(r"\{(\w+)\}", value, address)


def answer(on: Stage, act: str, role: str) -> str:
    """What that role is answered, as the table writes it; nothing of it stays."""
    method, _, address = act.partition(" ")
    path, body = filled(address, on.values), on.bodies.get(act, {})
    client, more = on.clients[role], {}
    if address.startswith("/api/"):
        client = Client()
        more = {"headers": {"Authorization": f"Bearer {on.tokens[role]}"}} if role in on.tokens else {}
    elif role == "agent":
        more = {"headers": {"Authorization": f"Bearer {on.tokens['agent']}"}}
    send = {"content_type": "application/json"} if address.startswith("/api/") else {}
    cookies = dict(client.cookies)
    if query := on.bodies.get(f"? {act}"):
        path = f"{path}?{urlencode(query)}"
    with transaction.atomic():
        if method == "GET":
            response = client.get(path, **more)
        else:
            data = json.dumps(body) if send else body
            response = getattr(client, method.lower())(path, data, **send, **more)
        transaction.set_rollback(True)
    client.cookies.clear()
    client.cookies.update(cookies)
    cache.clear()
    return said(response)


def answers(on: Stage, act: str) -> tuple[str, ...]:
    """For each role. Where neither the least nor the most may use the method, nobody between is asked."""
    seen = {role: answer(on, act, role) for role in ("nobody", "owner", "admin")}
    if {seen["owner"], seen["admin"]} == {"405"}:
        return tuple("405" if role not in ("nobody", "agent") else seen["nobody"] for role in ROLES)
    return tuple(seen.get(role) or answer(on, act, role) for role in ROLES)


def said(response: Any) -> str:
    """The status; `login` where one is led to sign in first."""
    led_to = response.get("Location", "")
    if response.status_code in (301, 302) and led_to.startswith(("/login/", "/admin/login/")):
        return "login"
    return str(response.status_code)


def table(path: Path = TABLE) -> dict[str, tuple[str, ...]]:
    """What was judged right: by act, an answer for each role."""
    judged: dict[str, tuple[str, ...]] = {}
    for line in path.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            method, address, *answers = line.split()
            judged[f"{method} {address}"] = tuple(answers)
    return judged


def line(act: str, seen: tuple[str, ...]) -> str:
    method, _, address = act.partition(" ")
    return f"{method:6} {address:62} " + " ".join(f"{one:9}" for one in seen).rstrip()
