"""`python -m benchmarks.portal_world HOME [--divide N]`: a grown service in a home of its own, and who looks at it.

Everything is written in bulk, as a service would have it after three years whose tick never stopped. The last line of
its output is JSON: sessions and tokens of people in each role, and what their pages are about.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="fill a home with three years of a programme")
    parser.add_argument("home", type=Path)
    parser.add_argument("--divide", type=int, default=1, help="1/N of everything, for trying")
    given = parser.parse_args(arguments)
    os.environ |= {"HANSE_HOME": str(given.home), "DJANGO_SETTINGS_MODULE": "hanse.service.settings"}
    import django

    django.setup()
    from benchmarks.portal_bulk import Sizes

    print(json.dumps(filled(Sizes().over(given.divide))))
    return 0


def filled(sizes: Any) -> dict[str, Any]:
    """Needs Django and a database without tables."""
    from django.db import connection

    from benchmarks import portal_people, portal_programme, portal_runs
    from benchmarks.portal_bulk import Dice, times_as_given
    from hanse.rules.files import shipped
    from hanse.service import bootstrap
    from hanse.service.compliance.models import RescreenPass

    began, dice = time.monotonic(), Dice()
    bootstrap.prepare()
    with times_as_given():
        people = portal_people.fill(sizes, dice)
        programme = portal_programme.fill(sizes, people, dice)
        portal_runs.fill(sizes, people, programme, dice)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    RescreenPass.objects.create(basis=f"{dice.at.date().isoformat()} {shipped().label}", done_at=dice.at)
    return _who(people, programme) | {"seconds": round(time.monotonic() - began), "rows": _rows()}


def _rows() -> dict[str, int]:
    from hanse.service.access.models import Allocation, Application, Organisation
    from hanse.service.runs.models import Attempt, Event, Run, UsageEntry

    return {
        str(kind._meta.verbose_name_plural): kind.objects.count()
        for kind in (Organisation, Application, Allocation, Run, Attempt, UsageEntry, Event)
    }


def _who(people: Any, programme: Any) -> dict[str, Any]:
    """People who look: an applicant who has much, one who has a little, an officer, an operator, a reviewer."""
    from hanse.contracts.base import now
    from hanse.service.access.models import Allocation, ApiToken, Application
    from hanse.service.awarding.duties import REPORTS, Duty
    from hanse.service.review.models import Assignment
    from hanse.service.review.tables import stamp
    from hanse.service.runs.models import Run

    def newest(rows: Any, **wanted: Any) -> str:
        """The public id of one that a page is about; a world that is too small may lack it."""
        return str(rows.filter(**wanted).order_by("-pk").values_list("public_id", flat=True).first() or "")

    much = people.organisations[0]
    some = programme.applications[len(programme.applications) // 2].organisation
    reviewer = people.reviewers[0]
    in_round = Application.objects.filter(cut_off__isnull=False, state="in-review", call__call_id="large-scale")
    latest = in_round.order_by("-cut_off").first()
    ranked = Application.objects.filter(cut_off__isnull=False, call__call_id="large-scale").order_by("cut_off").first()
    faces = {
        "much": people.founders[0], "some": people.founders[people.organisations.index(some)],
        "officer": people.officers[0], "operator": people.operators[0], "reviewer": reviewer.person,
    }  # fmt: skip
    about: dict[str, str] = {"machine": people.machines[0].public_id, "year": str(now().year)}
    for name, organisation in (("much", much), ("some", some)):
        theirs = {"project__organisation": organisation}
        about |= {
            f"{name}.run": newest(Run.objects, **theirs),
            f"{name}.running": newest(Run.objects, state="running", **theirs),
            f"{name}.allocation": newest(Allocation.objects, legs__isnull=False, **theirs),
            f"{name}.application": newest(Application.objects, organisation=organisation),
            f"{name}.organisation": organisation.public_id,
            f"{name}.duty": newest(Duty.objects, award__project__organisation=organisation, kind__in=REPORTS),
        }
    about |= {
        "waiting": newest(Application.objects, state="sent"), "granted": newest(Application.objects, state="granted"),
        "sheet": newest(Assignment.objects, reviewer=reviewer, state="given"),
        "round": f"large-scale/{stamp(latest.cut_off)}" if latest else "",
        "ranked": f"large-scale/{stamp(ranked.cut_off)}" if ranked else "",
        "in round": latest.public_id if latest else "",
    }  # fmt: skip
    return {
        "sessions": {name: _session(person) for name, person in faces.items()},
        "tokens": {name: ApiToken.issue("load", by="load", person=person) for name, person in faces.items()},
        "about": about,
    }


def _session(person: Any) -> str:
    """The cookie of a session in which a second factor was shown."""
    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore

    session = SessionStore()
    session[SESSION_KEY], session[HASH_SESSION_KEY] = str(person.pk), person.get_session_auth_hash()
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session["hanse_second_factor_shown"] = True
    session.create()
    return str(session.session_key)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
