"""ColdFront's rows: 10,000 allocations of 2,000 projects. It is run by the interpreter ColdFront is installed in.

`python portal_peer_world.py fill ALLOCATIONS` prints the sessions of two people; `count ADDRESS …` prints, for each
address, its status, its queries and its time on a second look, as the person whose session is in COLDFRONT_SESSION.
"""

import json
import os
import random
import sys
import time
from datetime import date, timedelta

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "coldfront.config.settings")
import django

django.setup()

from coldfront.core.allocation import models as allocations  # noqa: E402
from coldfront.core.project import models as projects  # noqa: E402
from coldfront.core.resource import models as resources  # noqa: E402
from django.conf import settings  # noqa: E402
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model  # noqa: E402
from django.contrib.sessions.backends.db import SessionStore  # noqa: E402
from django.core.cache import cache  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402

PROJECTS_PER, USERS_PER, RESOURCES = 5, 3, 9


def fill(count: int) -> None:
    call_command("initial_setup", "--force_overwrite", verbosity=0)
    dice, user = random.Random(7), get_user_model()
    people = user.objects.bulk_create(
        user(username=f"user{number:05}", first_name="A", last_name=f"User {number}", password="!")
        for number in range(max(10, count // PROJECTS_PER))
    )
    admin = user.objects.create(username="center", is_staff=True, is_superuser=True, password="!")
    kind = resources.ResourceType.objects.get(name="Cluster")
    clusters = [
        resources.Resource.objects.create(name=f"Cluster {number}", resource_type=kind, description="A cluster.")
        for number in range(RESOURCES)
    ]
    active, manager = (projects.ProjectStatusChoice.objects.get(name="Active"), projects.ProjectUserRoleChoice)
    made = projects.Project.objects.bulk_create(
        projects.Project(title=f"Project {number:05}", pi=person, description="Models of languages. " * 5,
                         field_of_science_id=1, status=active)
        for number, person in enumerate(people)
    )  # fmt: skip
    in_it = projects.ProjectUserStatusChoice.objects.get(name="Active")
    projects.ProjectUser.objects.bulk_create(
        projects.ProjectUser(user=one, project=project, status=in_it,
                             role=manager.objects.get(name="Manager" if one == project.pi else "User"))
        for project in made
        for one in {project.pi, *dice.sample(people, USERS_PER)}
    )  # fmt: skip
    states = {name: allocations.AllocationStatusChoice.objects.get(name=name) for name in ("Active", "Expired", "New")}
    today = date.today()  # noqa: DTZ011 - ColdFront's own days are naive
    held = allocations.Allocation.objects.bulk_create(
        allocations.Allocation(
            project=made[number % len(made)], status=states[dice.choices(list(states), (70, 25, 5))[0]],
            start_date=today - timedelta(days=100), end_date=today + timedelta(days=200), justification="We train.",
        )
        for number in range(count)
    )  # fmt: skip
    through = allocations.Allocation.resources.through
    through.objects.bulk_create(through(allocation=one, resource=dice.choice(clusters)) for one in held)
    status = allocations.AllocationUserStatusChoice.objects.get(name="Active")
    allocations.AllocationUser.objects.bulk_create(
        allocations.AllocationUser(allocation=one, user=one.project.pi, status=status) for one in held
    )
    hours = allocations.AllocationAttributeType.objects.get(name="Core Usage (Hours)")
    allocations.AllocationAttribute.objects.bulk_create(
        allocations.AllocationAttribute(allocation=one, allocation_attribute_type=hours, value="100000") for one in held
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    print(json.dumps({
        "sessions": {"center": session(admin), "user": session(people[0])}, "project": made[0].pk,
        "allocation": held[0].pk,
    }))  # fmt: skip


def session(person: object) -> str:
    made = SessionStore()
    made[SESSION_KEY], made[HASH_SESSION_KEY] = str(person.pk), person.get_session_auth_hash()
    made[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    made.create()
    return made.session_key


def counted(addresses: list[str]) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    client, found = Client(), []
    client.cookies[settings.SESSION_COOKIE_NAME] = os.environ["COLDFRONT_SESSION"]
    for address in addresses:
        client.get(address)
        cache.clear()  # its summaries are kept for a quarter of an hour
        began = time.perf_counter()
        with CaptureQueriesContext(connection) as asked:
            status = client.get(address).status_code
        found.append([address, status, len(asked), 1000 * (time.perf_counter() - began)])
    print(json.dumps(found))


if __name__ == "__main__":
    if sys.argv[1] == "fill":
        fill(int(sys.argv[2]))
    else:
        counted(sys.argv[2:])
