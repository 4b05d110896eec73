"""Parcels between machines as the service keeps them: who may write and read, when one is ready, what is given up."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from hanse.client.parcels import ParcelManifest
from hanse.contracts import parcel as contract
from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, PolicyError, ServiceError, UsageError
from hanse.contracts.parcel import MAX_PIECE_BYTES, ParcelFile, ParcelReport
from hanse.service.runs import parcels as module
from hanse.service.runs import pieces
from hanse.service.runs.models import Machine, Parcel, Run
from hanse.service.tick import tick
from tests.service.fixtures import Agent, World

pytestmark = pytest.mark.django_db

CONTENT = b"weights" * 1000


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, settings: Any) -> Path:
    settings.PARCEL_STORE = str(tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def other(world: World) -> Machine:
    machine = Machine.objects.create(public_id="other", site=world.site)
    Agent(machine).hello()
    machine.refresh_from_db()
    return machine


def manifest_of(parcel: Parcel, path: str | None = None, data: bytes = CONTENT) -> ParcelManifest:
    path = (
        path or {"outer": "inbox/a", "checkpoint": "checkpoints/step-00000010/a", "data": "prepared/k/a"}[parcel.kind]
    )
    packed = contract.Parcel(
        id=parcel.public_id, run_id=parcel.run.public_id, kind=parcel.kind, from_machine="local", to_machine="other",
        step=10, files=(ParcelFile(path=path, size_bytes=len(data), sha256=sha(data)),), packed_at=now(),
    )  # fmt: skip
    cut = [data[at : at + MAX_PIECE_BYTES] for at in range(0, len(data), MAX_PIECE_BYTES)]
    return ParcelManifest(parcel=packed, pieces=(tuple(map(sha, cut)),))


def order(world: World, other: Machine, run: Run | None = None, kind: module.Kind = "outer") -> Parcel:
    return Parcel.order(run or world.launch(), kind, world.machine, other)


def carried(world: World, other: Machine, run: Run, data: bytes) -> Parcel:
    parcel = order(world, other, run)
    parcel.register(manifest_of(parcel, data=data), by="agent")
    parcel.refresh_from_db()
    parcel.receive(sha(data), data)
    parcel.become_ready(by="agent")
    Parcel.take(other, [ParcelReport(id=parcel.public_id, side="fetch", state="arrived")])
    parcel.refresh_from_db()
    assert parcel.state == "arrived"
    return parcel


class Speaks:
    """One machine's agent on the HTTP API."""

    def __init__(self, token: str) -> None:
        self.http, self.headers = Client(), {"Authorization": f"Bearer {token}"}

    def put(self, path: str, body: bytes, kind: str = "application/octet-stream") -> Any:
        return self.http.put(f"/api/agent/v1/parcels/{path}", body, content_type=kind, headers=self.headers)

    def get(self, path: str) -> Any:
        return self.http.get(f"/api/agent/v1/parcels/{path}", headers=self.headers)


def test_an_order_for_a_checkpoint_brings_the_data_along_and_is_made_once(world: World, other: Machine) -> None:
    run = world.launch()
    first = order(world, other, run, "checkpoint")
    assert order(world, other, run, "checkpoint") == first
    assert {asked.kind for asked in Parcel.orders_for(world.machine)} == {"checkpoint", "data"}
    assert Parcel.orders_for(other) == ()
    with pytest.raises(UsageError, match="from one machine to another"):
        Parcel.order(run, "checkpoint", other, other)


def test_pieces_go_from_one_machine_to_the_other_and_only_between_these_two(world: World, other: Machine) -> None:
    parcel = order(world, other)
    third = Machine.objects.create(public_id="third", site=world.site)
    sender, receiver, stranger = (Speaks(world.agent_token(each)) for each in (world.machine, other, third))
    told = manifest_of(parcel).model_dump_json().encode()
    id = parcel.public_id
    for wrong in (receiver, stranger):
        assert wrong.put(id, told, "application/json").status_code == 404
    answer = sender.put(id, told, "application/json")
    assert json.loads(answer.content) == {"pieces": [sha(CONTENT)]}
    piece = f"{id}/pieces/{sha(CONTENT)}"
    assert receiver.put(piece, CONTENT).status_code == 404
    assert sender.put(piece, CONTENT[:-1]).status_code == 422
    assert sender.put(f"{id}/pieces/{sha(b'x')}", b"x").status_code == 403, "not a piece of this parcel"
    assert sender.put(piece, CONTENT).status_code == 204
    assert json.loads(sender.put(id, told, "application/json").content) == {"pieces": []}
    parcel.refresh_from_db()
    assert parcel.state == "ready"
    for wrong in (sender, stranger):
        assert wrong.get(id).status_code == wrong.get(piece).status_code == 404
    assert ParcelManifest.from_json(receiver.get(id).content) == manifest_of(parcel).model_copy(
        update={"parcel": parcel.manifest.parcel}
    )
    assert receiver.get(piece).content == CONTENT


def test_a_sender_who_only_says_it_is_ready_is_not_believed(world: World, other: Machine) -> None:
    parcel = order(world, other)
    parcel.register(manifest_of(parcel), by="agent")
    said = ParcelReport(id=parcel.public_id, side="send", state="ready", moved_bytes=7000, total_bytes=7000)
    Parcel.take(world.machine, [said])
    parcel.refresh_from_db()
    assert (parcel.state, parcel.sent_bytes) == ("moving", 7000)
    parcel.receive(sha(CONTENT), CONTENT)
    Parcel.take(other, [said])
    parcel.refresh_from_db()
    assert parcel.state == "moving", "the receiver does not speak for the sender"
    Parcel.take(world.machine, [said])
    parcel.refresh_from_db()
    assert parcel.state == "ready"


@pytest.mark.parametrize(
    "path", ["../a", "/etc/passwd", "a/../../b", "a/./b", ".", "inbox", "inbox/../train.yaml", "code/evil.py"]
)
def test_a_path_that_leads_outside_or_to_code_is_refused(world: World, other: Machine, path: str) -> None:
    parcel = order(world, other)
    with pytest.raises(UsageError, match="may not hold"):
        parcel.register(manifest_of(parcel, path=path), by="agent")


def test_a_piece_that_is_too_long_is_refused_before_it_is_read(world: World, other: Machine) -> None:
    sender, parcel = Speaks(world.agent_token()), order(world, other)
    long = b"0" * (MAX_PIECE_BYTES + 1)
    answer = sender.put(f"{parcel.public_id}/pieces/{sha(long)}", long)
    assert answer.status_code == 413 and "8" in json.loads(answer.content)["what"]


def test_a_parcel_too_large_or_for_which_there_is_no_room_is_refused_with_one_reason(
    world: World, other: Machine, settings: Any, monkeypatch: pytest.MonkeyPatch, own_store: Path
) -> None:
    parcel = order(world, other)
    monkeypatch.setattr(pieces, "KEEP_FREE_BYTES", 10**18)
    with pytest.raises(ServiceError, match=r"no room for parcels: 7.00.kB are to come and 0.B are free"):
        parcel.register(manifest_of(parcel), by="agent")
    settings.PARCEL_MAX_BYTES = 100
    with pytest.raises(UsageError, match="the most this service carries"):
        parcel.register(manifest_of(parcel), by="agent")
    assert parcel.state == "asked" and not [each for each in own_store.rglob("*") if each.is_file()]


def test_an_attempt_waits_for_all_that_was_ordered_for_it_and_no_longer_once_it_failed(
    world: World, other: Machine
) -> None:
    run = world.launch()
    leg = run.legs.get()
    leg.machine = other
    leg.save()
    attempt = world.attempt(run)
    assert Parcel.ready(attempt) and Parcel.for_attempt(attempt) == (), "nothing was ordered"
    checkpoint = order(world, other, run, "checkpoint")
    data = run.parcels.get(kind="data")
    assert not Parcel.ready(attempt)
    checkpoint.register(manifest_of(checkpoint), by="agent")
    checkpoint.refresh_from_db()
    checkpoint.receive(sha(CONTENT), CONTENT)
    checkpoint.become_ready(by="agent")
    assert not Parcel.ready(attempt) and Parcel.for_attempt(attempt) == ()
    Parcel.take(world.machine, [ParcelReport(id=data.public_id, side="send", state="failed", reason="It is gone.")])
    assert Parcel.ready(attempt)
    assert [each.id for each in Parcel.for_attempt(attempt)] == [checkpoint.public_id]
    assert Parcel.trouble(attempt) == "The data of local did not come: It is gone."


def test_a_machine_that_never_answers_can_be_given_up(world: World, other: Machine) -> None:
    parcel = order(world, other)
    parcel.give_up(by="operator", reason="The machine is away.")
    assert (parcel.state, parcel.reason) == ("failed", "The machine is away.")
    assert Parcel.orders_for(world.machine) == ()
    assert order(world, other, parcel.run) != parcel


def test_a_piece_lost_here_is_asked_for_again(world: World, other: Machine, own_store: Path) -> None:
    parcel = order(world, other)
    parcel.register(manifest_of(parcel), by="agent")
    parcel.refresh_from_db()
    parcel.receive(sha(CONTENT), CONTENT)
    parcel.become_ready(by="agent")
    for path in own_store.rglob(sha(CONTENT)):
        path.unlink()
    with pytest.raises(Conflict, match="is not here"):
        parcel.piece(sha(CONTENT))
    assert [asked.id for asked in Parcel.orders_for(world.machine)] == [parcel.public_id]
    with pytest.raises(PolicyError):
        parcel.piece(sha(b"other"))


def test_what_another_parcel_of_the_project_brought_is_not_sent_again(world: World, other: Machine) -> None:
    run = world.launch()
    carried(world, other, run, CONTENT)
    again = order(world, other, run)
    assert again.register(manifest_of(again), by="agent").pieces == ()
    assert again.run.parcels.get(pk=again.pk).state == "ready"


def test_the_latest_two_of_a_run_keep_their_pieces_for_a_week(world: World, other: Machine, own_store: Path) -> None:
    run = world.launch()
    parcels = [carried(world, other, run, b"shared" if n in (0, 3) else bytes([n])) for n in range(4)]
    assert tick().parcels_pruned == 2 and tick().parcels_pruned == 0
    left = {path.name for path in own_store.rglob("*") if path.is_file()}
    assert left == {sha(b"shared"), sha(bytes([2]))}, "a piece that a later parcel shares stays"
    assert tick(now() + timedelta(days=8)).parcels_pruned == 2
    assert not [path for path in own_store.rglob("*") if path.is_file()]
    assert all(parcel.run.parcels.get(pk=parcel.pk).pruned_at for parcel in parcels)


def test_a_store_at_any_url_of_fsspec_holds_the_same(settings: Any) -> None:
    settings.PARCEL_STORE = "memory://parcels"
    kept = pieces.store()
    assert isinstance(kept, pieces.UrlStore)
    assert kept.get("p", sha(CONTENT)) is None
    kept.put("p", sha(CONTENT), CONTENT)
    kept.put("p", sha(CONTENT), CONTENT)
    assert kept.has("p", sha(CONTENT)) and not kept.has("q", sha(CONTENT))
    assert kept.get("p", sha(CONTENT)) == CONTENT
    kept.delete("p", [sha(CONTENT), sha(b"never there")])
    assert not kept.has("p", sha(CONTENT))
