"""What must hold of the house itself: migrations, admin, settings, files on disk, start-up."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.apps import apps
from django.contrib import admin
from django.core.management import call_command
from django.test import Client

from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, UsageError
from hanse.service import homes
from hanse.service.access.models import Allocation, ApiToken, LoginLink, Person
from hanse.service.records import new_id, transition
from hanse.service.runs.models import Event, UsageEntry
from hanse.service.tick import tick
from tests.service.fixtures import World

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).parents[2]
OURS = [model for app in ("access", "runs", "compliance") for model in apps.get_app_config(app).get_models()]


def test_the_migrations_say_what_the_models_say() -> None:
    call_command("makemigrations", check=True, dry_run=True, stdout=StringIO())


def test_django_finds_nothing_to_complain_of() -> None:
    call_command("check", fail_level="WARNING")


def test_a_service_on_the_open_internet_passes_djangos_deployment_check(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "DATABASE_URL"} | {
        "HANSE_HOME": str(tmp_path), "HANSE_ALLOWED_HOSTS": "hanse.example", "HANSE_BEHIND_PROXY": "1",
        "PYTHONPATH": str(ROOT / "src"),
    }  # fmt: skip
    command = [sys.executable, "-m", "hanse.service.manage", "check", "--deploy", "--fail-level", "ERROR"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not {w for w in ("W004", "W008", "W009", "W012", "W016", "W018", "W020") if w in done.stderr}


def test_events_and_usage_can_only_be_added_to(world: World) -> None:
    run = world.launch()
    world.agent.report(world.attempt(run), "finished", accelerator_seconds=5)
    for row in (Event.objects.first(), UsageEntry.objects.first()):
        with pytest.raises(TypeError, match="append-only"):
            row.save()
        with pytest.raises(TypeError, match="append-only"):
            row.delete()
        with pytest.raises(TypeError, match="append-only"):
            type(row).objects.all().delete()
        with pytest.raises(TypeError, match="append-only"):
            type(row).objects.update(pk=1)


def test_a_change_from_a_state_somebody_else_left_is_a_conflict_and_writes_no_event(world: World) -> None:
    table = {"a": frozenset({"b"}), "b": frozenset()}
    run = world.launch()
    type(run).objects.filter(pk=run.pk).update(state="b")
    run.state = "a"
    with pytest.raises(Conflict, match="somebody else"):
        transition(run, "b", table, event="user:run:moved", by="x")
    run.state = "b"
    with pytest.raises(Conflict, match="cannot become"):
        transition(run, "a", table, event="user:run:moved", by="x")
    assert world.events("user:run:moved") == 0


def test_every_model_stands_in_the_admin_and_none_that_tells_what_happened_can_be_edited_there(world: World) -> None:
    world.founder.is_staff = world.founder.is_superuser = True
    world.founder.save()
    browser = Client()
    browser.force_login(world.founder)
    world.launch()
    for model in OURS:
        if model is apps.get_model("access", "Membership"):
            continue
        page = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        assert browser.get(page).status_code == 200, model
        row = model._default_manager.first()
        if row is not None:
            assert browser.get(f"{page}{row.pk}/change/").status_code == 200, model
    for name in ("event", "usageentry", "attempt", "run"):
        row = apps.get_model("runs", name).objects.first()
        if row is not None:
            assert browser.post(f"/admin/runs/{name}/{row.pk}/change/", {"state": "finished"}).status_code == 403
        assert browser.get(f"/admin/runs/{name}/add/").status_code == 403
    assert admin.site.is_registered(Event)


def test_ids_are_short_safe_in_paths_and_do_not_repeat() -> None:
    ids = {new_id("run") for _ in range(2000)}
    assert len(ids) == 2000 and all(len(id) == 14 and not set(id) & set("0O1lIio") for id in ids)


def test_the_tick_purges_what_is_long_dead_and_keeps_the_rest(world: World) -> None:
    LoginLink.objects.create(person=world.founder, digest="a", expires_at="2020-01-01T00:00:00Z")
    LoginLink.issue(world.founder)
    ApiToken.objects.create(name="old", digest="b", person=world.founder, expires_at="2020-01-01T00:00:00Z")
    world.token(world.founder)
    assert tick().purged == 2 and tick().purged == 0
    assert LoginLink.objects.count() == ApiToken.objects.count() == 1


def test_the_tick_command_says_what_it_did(world: World) -> None:
    Allocation.objects.update(starts="2020-01-01", ends="2020-02-01")
    out = StringIO()
    call_command("tick", stdout=out)
    assert "1 allocations ended" in out.getvalue()


@pytest.mark.parametrize(
    ("path", "refused"),
    [
        ("/home/ada/.local", False),
        ("/scratch/project/x", True),
        ("/scratch2/x", False),
        ("/mnt/my share/x", True),
        ("/scratch/project/local/x", False),
    ],
)
def test_network_file_systems_are_known_by_the_mount_they_are_under(path: str, refused: bool) -> None:
    mounts = (
        "/dev/sda / ext4 rw 0 0\nmds:/x /scratch lustre rw 0 0\n//srv/x /mnt/my\\040share cifs rw 0 0\n"
        "/dev/sdb /scratch/project/local xfs rw 0 0\n"
    )
    if refused:
        with pytest.raises(UsageError, match="network file system"):
            homes.refuse_network_file_system(Path(path), mounts)
    else:
        homes.refuse_network_file_system(Path(path), mounts)


def test_a_secret_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "ticket.key"
    first = homes.kept_secret(path, lambda: b"one")
    assert (first, homes.kept_secret(path, lambda: b"two")) == (b"one", b"one")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["ticket.key"]


def test_times_are_shown_as_brussels_keeps_them_and_stored_in_utc(world: World) -> None:
    from django.template import Context, Template
    from django.utils import timezone

    moment = now().replace(month=7, day=1, hour=10, minute=0)
    with timezone.override("Europe/Brussels"):
        assert Template("{{ at|date:'H:i' }}").render(Context({"at": moment})) == "12:00"
    assert Person.objects.get(username="founder").date_joined.utcoffset().total_seconds() == 0
