"""The embedded service, ready to use: one person, their tokens, this machine's site and agent, the published calls.

Everything is made once and found again; a lost token file is replaced by a new token and the old ones are revoked.
"""

from __future__ import annotations

import getpass
import socket
from dataclasses import dataclass
from pathlib import Path

from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor

from hanse.service.access.models import ApiToken, Call, Membership, Organisation, Person
from hanse.service.access.people import OFFICERS
from hanse.service.homes import write_private
from hanse.service.runs.models import Machine, Site

SITE = "this-machine"
MACHINE = "local"
ORGANISATION = "This machine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Tokens of the embedded service and the files (0600) they stand in."""

    user_token: str
    user_token_file: Path
    agent_token: str
    agent_token_file: Path


def ensure_embedded(folder: Path) -> Credentials:
    """Bring the database up to date and make what a single user needs. `folder` is HANSE_HOME/service."""
    ensure_migrated()
    with transaction.atomic():
        person = _person()
        machine = _machine(person)
    publish_calls(by=person.username)
    user, agent = folder / "user.token", folder / "agent.token"
    return Credentials(
        user_token=_token(user, person=person),
        user_token_file=user,
        agent_token=_token(agent, machine=machine),
        agent_token_file=agent,
    )


def prepare() -> None:
    """What any service needs before it serves: its tables, its officers' group, its calls."""
    ensure_migrated()
    Group.objects.get_or_create(name=OFFICERS)
    publish_calls(by="prepare")


def unapplied_migrations() -> int:
    executor = MigrationExecutor(connection)
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def ensure_migrated() -> None:
    """Migrate only where there is something to migrate: looking is quick, `migrate` is not."""
    if unapplied_migrations():
        call_command("migrate", interactive=False, verbosity=0)


def publish_calls(*, by: str) -> None:
    """Publish the calls that come with this version of Hanse."""
    from hanse.programme import calls

    for call in calls.ids():
        Call.publish(calls.load(call), by=by)


def _person() -> Person:
    """Owner, officer and operator in one: on an embedded service there is nobody else."""
    username = getpass.getuser()[:150]
    person, new = Person.objects.get_or_create(username=username, defaults={"is_staff": True, "is_superuser": True})
    if new:
        person.set_unusable_password()
        person.save(update_fields=["password"])
    person.groups.add(Group.objects.get_or_create(name=OFFICERS)[0])
    return person


def _machine(person: Person) -> Machine:
    host, _ = Organisation.objects.get_or_create(name=ORGANISATION, defaults={"kind": "other"})
    Membership.objects.get_or_create(person=person, organisation=host, role="operator")
    site, _ = Site.objects.get_or_create(
        public_id=SITE, defaults={"name": f"This machine ({socket.gethostname()})", "organisation": host}
    )
    return Machine.objects.get_or_create(public_id=MACHINE, defaults={"site": site})[0]


def _token(path: Path, *, person: Person | None = None, machine: Machine | None = None) -> str:
    if path.exists():
        kept = path.read_text().strip()
        if ApiToken.find(kept) is not None:
            return kept
    name = f"embedded {'agent' if machine else 'user'}"
    for old in ApiToken.objects.filter(name=name, person=person, machine=machine, revoked_at=None):
        old.revoke(by="bootstrap", reason="its file was lost")
    token = ApiToken.issue(name, by="bootstrap", person=person, machine=machine)
    write_private(path, token.encode())
    return token
