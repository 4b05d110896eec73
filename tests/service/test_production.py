"""The service as it is run for many: health, metrics, logs with ids, backup and restore, on either database."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from hanse.contracts.base import now
from hanse.service import health, metrics
from hanse.service.access.models import Allocation, LoginLink
from hanse.service.logs import JsonFormatter
from hanse.service.runs.models import Machine
from hanse.service.tick import APPS, tick
from tests import needs, postgres
from tests.service.fixtures import World

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).parents[2]


def test_a_service_is_ready_once_its_timed_work_is_done_and_says_what_is_late(world: World) -> None:
    tick()
    answer = Client().get("/readyz")
    assert answer.status_code == 200 and answer.json()["ready"]
    assert set(answer.json()["parts"]) == {"database", "migrations", "ticket_key", "tick", "chores"}
    health.ticked(now() - timedelta(minutes=20))
    answer = Client().get("/readyz")
    assert answer.status_code == 503 and answer.json()["parts"]["tick"] == "late"
    assert Client().get("/healthz").status_code == 200


def test_a_chore_that_fails_is_told_and_stops_no_other_and_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        @staticmethod
        def run(_at: datetime) -> int:
            raise LookupError("a row nobody foresaw")

    Allocation.objects.update(starts="2020-01-01", ends="2020-02-01")
    LoginLink.objects.create(person=world.founder, digest="a", expires_at="2020-01-01T00:00:00Z")
    with monkeypatch.context() as meanwhile:
        meanwhile.setitem(APPS, "review", Broken)
        done = tick()
        assert done.failed == ("review",) and done.others["review"] == 0
        assert (done.allocations_ended, done.purged) == (1, 1), "those before it and after it are done"
        assert "a row nobody foresaw" in caplog.text and "the chore review failed" in caplog.text
        answer = Client().get("/readyz")
        assert answer.status_code == 200, "people and agents are still answered"
        assert answer.json()["parts"]["chores"] == "failed: review; see the log"
        assert 'hanse_chore_failed{chore="review"} 1.0' in Client().get("/metrics").content.decode()
        with pytest.raises(CommandError, match="these failed, the others are done: review"):
            call_command("tick", stdout=StringIO())
    assert tick().failed == () and Client().get("/readyz").json()["parts"]["chores"] == "ok"


def test_metrics_tell_what_the_database_says_at_that_moment(world: World) -> None:
    world.launch()
    Machine.objects.update(draining=True)
    said = Client().get("/metrics").content.decode()
    assert 'hanse_runs{state="queued"} 1.0' in said
    assert 'hanse_attempts{machine="local",state="planned"} 1.0' in said
    assert 'hanse_machine_closed{machine="local"} 1.0' in said
    assert 'hanse_agent_last_heard_seconds{machine="local"}' in said
    assert 'hanse_queue_wait_seconds{machine="local"}' in said
    assert "hanse_sync_duration_seconds_bucket" in said


@pytest.mark.parametrize(
    ("address", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("192.0.2.7", {}, 403),
        ("127.0.0.1", {"X-Forwarded-For": "192.0.2.7"}, 403),
    ],
)
def test_metrics_are_for_this_machine(address: str, headers: dict[str, str], status: int) -> None:
    assert Client(REMOTE_ADDR=address, headers=headers).get("/metrics").status_code == status


def test_a_metrics_token_opens_them_from_elsewhere_and_then_nothing_else_does(settings: Any) -> None:
    settings.HANSE_METRICS_TOKEN = "a-token-for-tests"
    assert Client().get("/metrics").status_code == 403
    given = {"Authorization": "Bearer a-token-for-tests"}
    assert Client(REMOTE_ADDR="192.0.2.7", headers=given).get("/metrics").status_code == 200


def test_each_request_is_logged_with_its_id_and_run_and_never_with_a_secret(
    caplog: pytest.LogCaptureFixture, world: World
) -> None:
    lines: list[str] = []
    handler = logging.Handler()
    handler.setFormatter(JsonFormatter())
    handler.emit = lambda record: lines.append(handler.format(record))  # type: ignore[method-assign]
    logger = logging.getLogger("hanse.requests")
    logger.addHandler(handler)
    try:
        with caplog.at_level(logging.INFO, "hanse.requests"):
            client = Client(headers={"X-Request-ID": "from-the-proxy-1"})
            client.force_login(world.founder)
            answer = client.get(f"/runs/{world.launch().public_id}/")
            Client().get("/in/a-secret-of-a-link/")
    finally:
        logger.removeHandler(handler)
    assert answer["X-Request-ID"] == "from-the-proxy-1"
    seen = [json.loads(line) for line in lines]
    assert seen[0]["request"] == "from-the-proxy-1" and seen[0]["run"].startswith("run-")
    assert seen[0]["status"] == 200 and seen[0]["duration_ms"] > 0
    assert "a-secret-of-a-link" not in "".join(lines)


def test_a_hostile_request_id_is_replaced() -> None:
    answer = Client(headers={"X-Request-ID": "x y\u00e9<script>"}).get("/healthz")
    assert "script" not in answer["X-Request-ID"]


def test_times_are_kept_by_kind_of_caller() -> None:
    count = "hanse_sync_duration_seconds_count"
    before = metrics._process.get_sample_value(count)
    metrics.answered("POST", "api/agent/v1/sync", 0.01)
    metrics.answered("GET", "runs/<str:run_id>/", 0.01)
    assert metrics._process.get_sample_value(count) == (before or 0) + 1


SEED = """
from tests.service import fixtures
world = fixtures.make_world()
world.launch()
"""
TELL = """
import json
from hanse.service.access.models import Allocation
from hanse.service.runs import issue
from hanse.service.runs.models import Event, Run
held = [a.contract().model_dump(mode="json") for a in Allocation.objects.with_balance()]
runs = list(Run.objects.values_list("public_id", "state"))
print(json.dumps({"balances": held, "key": issue.public_key(), "runs": runs,
                  "events": list(Event.objects.values_list("pk", "name", "subject_id", "actor"))}, sort_keys=True))
"""


def manage(home: Path, database: str, *arguments: str, code: int = 0) -> str:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HANSE_", "DJANGO_", "DATABASE_"))}
    more = {"HANSE_HOME": str(home), "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    if database:
        more["DATABASE_URL"] = database
    command = [sys.executable, "-m", "hanse.service.manage", *arguments]
    done = subprocess.run(command, env=kept | more, capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.mark.crash
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_restored_service_has_the_same_balances_events_and_keys(kind: str, tmp_path: Path) -> None:
    first = second = ""
    if kind == "postgres":
        if not postgres.BINARIES or not shutil.which("pg_dump"):
            needs.lacking("PostgreSQL is not installed (apt-get install postgresql)")
        first = postgres.up()
        subprocess.run(["psql", first.replace("postgres://postgres@/postgres?", "postgresql:///postgres?user=postgres&"),
                        "-c", "CREATE DATABASE other"], check=True, capture_output=True)  # fmt: skip
        second = first.replace("@/postgres?", "@/other?")
    old, new, saved = tmp_path / "old", tmp_path / "new", tmp_path / "saved"
    manage(old, first, "migrate", "-v", "0")
    manage(old, first, "shell", "-v", "0", "-c", SEED)
    told = manage(old, first, "shell", "-v", "0", "-c", TELL)
    assert "keep it as safe" in manage(old, first, "backup", str(saved))
    assert saved.stat().st_mode & 0o077 == 0
    manage(new, second, "restore", str(saved))
    assert manage(new, second, "shell", "-v", "0", "-c", TELL) == told
    assert json.loads(told)["events"] and json.loads(told)["balances"]
    assert "not empty" in manage(new, second, "restore", str(saved), code=2)
    (saved / "service" / "ticket.key").write_bytes(b"damaged")
    assert "damaged" in manage(tmp_path / "third", second, "restore", str(saved), code=2)
