"""Files between machines: whole or not there, nothing twice, whatever is killed, lost, repeated or altered."""

from __future__ import annotations

import io
import random
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hanse.agent import courier_ground
from hanse.agent.courier_ground import Ground, HostGround, LocalGround
from hanse.client.parcels import ParcelManifest, fits, pieces_of
from hanse.contracts.errors import ServiceError
from hanse.contracts.parcel import MAX_PIECE_BYTES, ParcelFile
from hanse.files import pieces
from tests.agent.shelf import End, PowerCut, Shelf, tree, write_checkpoint, write_data

BIG = random.Random(1).randbytes(2 * MAX_PIECE_BYTES + 17)
CHECKPOINT = {"__0_0.distcp": BIG, "__1_0.distcp": b"rank one", ".metadata": b"names", "empty": b""}
SLOW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Ran(NamedTuple):
    returncode: int
    out: bytes
    err: bytes


class HereByCommands:
    """A host whose commands run on this machine: what HostGround asks of one behind SSH."""

    def run(
        self, argv: Sequence[str], *, input: bytes = b"", environment: Mapping[str, str] | None = None,
        cwd: PurePath | None = None, timeout_s: float = 60.0,
    ) -> Ran:  # fmt: skip
        done = subprocess.run(argv, input=input, capture_output=True, timeout=timeout_s, check=False)
        return Ran(done.returncode, done.stdout, done.stderr)

    def read(self, path: PurePath, offset: int = 0, limit: int | None = None) -> bytes:
        return LocalGround().read(Path(path), offset, -1 if limit is None else limit)

    def write_atomically(self, path: PurePath, content: bytes) -> None:
        LocalGround().write(Path(path), content)

    def make_dirs(self, path: PurePath) -> None:
        Path(path).mkdir(parents=True, exist_ok=True)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture(params=[LocalGround, lambda: HostGround(HereByCommands())], ids=["own disk", "by commands"])
def ground(request: pytest.FixtureRequest) -> Ground:
    made: Ground = request.param()
    return made


@pytest.fixture
def a(tmp_path: Path, shelf: Shelf, ground: Ground) -> End:
    return End("a", tmp_path / "a", shelf, ground)


@pytest.fixture
def b(tmp_path: Path, shelf: Shelf, ground: Ground) -> End:
    return End("b", tmp_path / "b", shelf, ground)


@given(st.binary(max_size=200), st.integers(1, 50))
@settings(deadline=None)
def test_what_is_cut_and_joined_is_what_it_was(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, piece_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    (folder / "file").write_bytes(content)
    hashes = pieces.hash_file(folder / "file", piece_bytes)
    cut = list(pieces.cut(io.BytesIO(content), piece_bytes))
    assert len(cut) == -(-len(content) // piece_bytes) == len(hashes.pieces)
    for sha256, piece in zip(hashes.pieces, cut, strict=True):
        (folder / sha256).write_bytes(piece)
    assert pieces.join([folder / sha256 for sha256 in hashes.pieces], folder / "again") == hashes.sha256
    assert (folder / "again").read_bytes() == content


@given(
    st.lists(st.sampled_from(["a", "b", "..", ".", "", "inbox", "checkpoints", "prepared", "code", "/"]), max_size=4)
)
def test_no_path_of_a_parcel_leaves_its_folder_or_touches_code(parts: list[str]) -> None:
    path = "/".join(parts)
    for kind in ("checkpoint", "data", "outer"):
        if fits(kind, path):
            assert not path.startswith("/") and ".." not in parts and "code" not in parts[:1]
            assert parts[0] in {"checkpoints", "prepared", "inbox"}


def test_a_checkpoint_with_its_ledger_and_its_data_stand_at_the_other_machine_as_they_were(
    a: End, b: End, shelf: Shelf
) -> None:
    write_data(a)
    write_checkpoint(a.run, 10, {"__0_0.distcp": b"old"})
    write_checkpoint(a.run, 20, CHECKPOINT)
    write_checkpoint(a.run, 30, {"__0_0.distcp": b"half"}, complete=False)
    sent = a.send()
    assert (sent.state, sent.moved_bytes) == ("ready", sent.total_bytes)
    assert sent.parcel is not None and sent.parcel.step == 20
    assert not b.courier().arrived(sent.parcel)
    assert b.fetch(sent.parcel).state == "arrived" and b.courier().arrived(sent.parcel)
    here = tree(a.run.root)
    assert tree(b.run.root) == {
        path: data for path, data in here.items() if "step-00000010" not in path and "step-00000030" not in path
    }
    data = a.send("data", "par-2").parcel
    assert data is not None and b.fetch(data).state == "arrived"
    assert tree(b.data) == tree(a.data)


def test_nothing_is_sent_or_fetched_twice(a: End, b: End, shelf: Shelf) -> None:
    write_checkpoint(a.run, 20, CHECKPOINT)
    parcel = a.send().parcel
    assert parcel is not None
    a.send()
    b.fetch(parcel)
    b.fetch(parcel)
    assert len(shelf.put) == len(set(shelf.put)) == len(shelf.manifests["par-1"].sizes())
    assert sorted(shelf.got) == sorted(shelf.put)
    write_checkpoint(a.run, 30, CHECKPOINT | {"__1_0.distcp": b"one more step"})
    shelf.put.clear()
    assert a.send(id="par-2").state == "ready"
    assert len(shelf.put) == 3, "what changed: a file, its COMPLETE and the ledger"


@SLOW
@given(st.lists(st.integers(0, 45), max_size=4), st.lists(st.integers(0, 60), max_size=4))
def test_a_power_cut_at_any_act_of_either_end_costs_time_only(
    tmp_path_factory: pytest.TempPathFactory, cuts_a: list[int], cuts_b: list[int]
) -> None:
    home, shelf = tmp_path_factory.mktemp("cuts"), Shelf()
    a, b = End("a", home / "a", shelf), End("b", home / "b", shelf)
    write_checkpoint(a.run, 20, {"__0_0.distcp": BIG[: MAX_PIECE_BYTES + 5], "__1_0.distcp": b"1", ".metadata": b"m"})
    (b.run.checkpoints / "step-00000020").mkdir(parents=True)
    (b.run.checkpoints / "step-00000020" / "torn").write_bytes(b"of an earlier life")
    for cut in cuts_a:
        try:
            a.send(cut_after=cut)
        except PowerCut:
            continue
    parcel = a.send().parcel
    assert parcel is not None
    for cut in cuts_b:
        try:
            b.fetch(parcel, cut_after=cut)
        except PowerCut:
            whole = (b.run.checkpoints / "step-00000020" / "COMPLETE").exists()
            assert not whole or tree(b.run.checkpoints) == tree(a.run.checkpoints)
    assert b.fetch(parcel).state == "arrived"
    assert tree(b.run.root) == tree(a.run.root)


@SLOW
@given(st.data())
def test_whatever_pieces_lie_there_already_altered_or_not_the_file_arrives_whole(
    tmp_path_factory: pytest.TempPathFactory, draw: Any
) -> None:
    home, shelf = tmp_path_factory.mktemp("pieces"), Shelf()
    a, b = End("a", home / "a", shelf), End("b", home / "b", shelf)
    write_checkpoint(a.run, 20, {"__0_0.distcp": BIG[: MAX_PIECE_BYTES + 7], "__1_0.distcp": BIG[:99]})
    parcel = a.send().parcel
    assert parcel is not None
    lying = b.run.root / ".parcels" / parcel.id / "pieces"
    lying.mkdir(parents=True)
    names = sorted(shelf.pieces)
    for name in draw.draw(st.lists(st.sampled_from(names), unique=True)):
        kind = draw.draw(st.sampled_from(["whole", "short", "altered"]))
        data = shelf.pieces[name]
        (lying / name).write_bytes({"whole": data, "short": data[:-1], "altered": data[::-1]}[kind])
    for _ in range(len(names) + 1):
        if b.fetch(parcel).state == "arrived":
            break
    assert tree(b.run.root) == tree(a.run.root)


def test_a_turn_ends_after_its_time_and_the_next_goes_on_with_progress(a: End, b: End) -> None:
    write_checkpoint(a.run, 20, {"__0_0.distcp": BIG})
    assert a.send(turn_s=-1).state == "packing"
    a.send()
    parcel = a.send().parcel
    assert parcel is not None
    report = b.fetch(parcel, turn_s=-1)
    assert (report.state, report.moved_bytes, report.total_bytes) == ("moving", 0, parcel.size_bytes)
    assert b.fetch(parcel).state == "arrived"


def test_a_damaged_checkpoint_is_not_sent_the_one_before_is(a: End) -> None:
    write_checkpoint(a.run, 10, {"__0_0.distcp": b"good"})
    folder = write_checkpoint(a.run, 20, {"__0_0.distcp": b"good"})
    (folder / "__0_0.distcp").write_bytes(b"rot!")
    parcel = a.send().parcel
    assert parcel is not None and parcel.step == 10


def test_a_run_without_a_complete_checkpoint_is_told_once_and_in_words(a: End) -> None:
    write_checkpoint(a.run, 20, {"__0_0.distcp": b"x"}, complete=False)
    report = a.send()
    assert report.state == "failed" and "the run has no complete checkpoint here" in report.reason
    assert "\n" not in report.reason and a.send() == report


def test_a_checkpoint_that_changes_while_it_is_sent_is_packed_again(a: End, b: End, shelf: Shelf) -> None:
    folder = write_checkpoint(a.run, 20, {"__0_0.distcp": b"first"})

    class ChangedMeanwhile(Shelf):
        def offer_parcel(self, manifest: ParcelManifest) -> Any:
            lacking = super().offer_parcel(manifest)
            if folder.exists():
                folder.rename(folder.with_name("gone"))
                write_checkpoint(a.run, 30, {"__0_0.distcp": b"second"})
            return lacking

    a.service = b.service = ChangedMeanwhile()
    assert a.send().state == "packing"
    sent = a.send()
    assert sent.state == "ready" and sent.parcel is not None and sent.parcel.step == 30
    assert b.fetch(sent.parcel).state == "arrived" and (b.run.checkpoints / "step-00000030").is_dir()


def test_a_target_that_has_come_further_keeps_what_it_has(a: End, b: End, shelf: Shelf) -> None:
    write_checkpoint(a.run, 20, CHECKPOINT)
    write_checkpoint(b.run, 30, {"__0_0.distcp": b"further"})
    before = tree(b.run.root)
    parcel = a.send().parcel
    assert parcel is not None
    report = b.fetch(parcel)
    assert report.state == "arrived" and "step 30 lies here already" in report.reason
    assert tree(b.run.root) == before and shelf.got == []


def test_data_that_the_target_has_are_not_fetched(a: End, b: End, shelf: Shelf) -> None:
    write_data(a)
    write_data(b)
    parcel = a.send("data").parcel
    assert parcel is not None
    assert b.fetch(parcel).state == "arrived" and shelf.got == []
    (b.data / "prepared" / ("k" * 16) / "shard-0.bin").write_bytes(b"rotten" * 99)
    assert b.fetch(parcel.model_copy(update={"id": "par-1"})).state == "arrived"


def test_files_of_the_outbox_arrive_once_each_also_when_the_reader_took_them_away(a: End, b: End, shelf: Shelf) -> None:
    outbox = a.run.root / "outbox"
    outbox.mkdir(parents=True)
    assert a.send("outer").state == "packing", "nothing lies there yet"
    (outbox / "step-1.bin").write_bytes(b"gradients")
    (outbox / "step-1.bin.sig").write_bytes(b"signature")
    (outbox / "step-2.bin.tmp").write_bytes(b"half")
    parcel = a.send("outer").parcel
    assert parcel is not None
    assert b.fetch(parcel).state == "arrived"
    inbox = b.run.root / "inbox"
    assert tree(inbox) == {"step-1.bin": b"gradients", "step-1.bin.sig": b"signature"}
    (inbox / "step-1.bin").unlink()
    assert b.fetch(parcel).state == "arrived" and not (inbox / "step-1.bin").exists()
    (outbox / "step-2.bin.tmp").rename(outbox / "step-2.bin")
    parcel = a.send("outer", "par-2").parcel
    assert parcel is not None and [file.path for file in parcel.files] == ["inbox/step-2.bin"]


def test_no_room_is_one_clear_reason_and_leaves_nothing_behind(a: End, b: End, monkeypatch: pytest.MonkeyPatch) -> None:
    write_checkpoint(a.run, 20, CHECKPOINT)
    parcel = a.send().parcel
    assert parcel is not None
    with monkeypatch.context() as patch:
        patch.setattr(type(b.ground), "free_bytes", lambda *_: 1_000_000)
        report = b.fetch(parcel)
    assert report.state == "moving" and "1.00 MB are free" in report.reason.replace("\xa0", " ")
    assert "\n" not in report.reason and tree(b.home / "runs") == {}
    assert b.fetch(parcel).state == "arrived"


def test_a_disk_that_fills_up_half_way_is_told_and_what_came_is_kept(
    tmp_path: Path, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = End("a", tmp_path / "a", shelf), End("b", tmp_path / "b", shelf)
    write_checkpoint(a.run, 20, CHECKPOINT)
    parcel = a.send().parcel
    assert parcel is not None

    def full(_self: LocalGround, parts: Sequence[Path], target: Path) -> str:
        raise OSError(28, "No space left on device", str(target))

    with monkeypatch.context() as patch:
        patch.setattr(LocalGround, "join", full)
        report = b.fetch(parcel)
    assert report.state == "moving" and "the disk or quota is full" in report.reason
    assert not b.run.checkpoints.exists()
    fetched = list(shelf.got)
    assert b.fetch(parcel).state == "arrived" and not set(fetched) & set(shelf.got[len(fetched) :])


def test_a_service_that_is_away_is_waited_for(a: End) -> None:
    class Away(Shelf):
        def offer_parcel(self, manifest: ParcelManifest) -> Any:
            raise ServiceError("the service does not answer", where="https://hanse.example.eu", fix="Wait.")

    write_checkpoint(a.run, 20, CHECKPOINT)
    a.service = Away()
    assert a.send().state == "moving" and "does not answer" in a.send().reason
    a.service = Shelf()
    assert a.send().state == "ready"


@pytest.mark.parametrize(
    "path", ["../../etc/passwd", "/etc/passwd", "code/evil.py", "attempts/0001/job.sh", "train.yaml"]
)
def test_a_manifest_that_names_a_path_outside_what_its_kind_may_hold_writes_nothing(
    a: End, b: End, shelf: Shelf, path: str
) -> None:
    write_checkpoint(a.run, 20, {"__0_0.distcp": b"x"})
    parcel = a.send().parcel
    assert parcel is not None
    file = ParcelFile(path=path, size_bytes=1, sha256=parcel.files[0].sha256)
    evil = parcel.model_copy(update={"files": (file, *parcel.files[1:])})
    shelf.manifests[parcel.id] = shelf.manifests[parcel.id].model_copy(update={"parcel": evil})
    report = b.fetch(evil)
    assert report.state == "failed" and "may not hold" in report.reason
    assert tree(b.home / "runs") == {}


def test_hashes_are_taken_once_as_long_as_a_file_stays_what_it_is(
    a: End, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_checkpoint(a.run, 20, CHECKPOINT)
    a.send()

    def again(*_: object) -> Any:
        raise AssertionError("hashed again")

    monkeypatch.setattr(type(ground), "hashes", again)
    assert a.send(id="par-2").state == "ready"


def test_the_grounds_say_the_same_of_the_same_files(tmp_path: Path) -> None:
    (tmp_path / "deep er").mkdir()
    (tmp_path / "deep er" / "a b").write_bytes(BIG)
    (tmp_path / "empty").touch()
    here, far = LocalGround(), HostGround(HereByCommands())
    assert [found[:2] for found in here.walk(tmp_path)] == [found[:2] for found in far.walk(tmp_path)]
    for found in here.walk(tmp_path):
        assert here.hashes(tmp_path / found.path) == far.hashes(tmp_path / found.path)
        assert len(here.hashes(tmp_path / found.path).pieces) == pieces_of(found.size_bytes)
    assert here.walk(tmp_path / "none") == far.walk(tmp_path / "none") == ()
    with pytest.raises(courier_ground.SiteError, match="a command of the courier failed"):
        far.move(tmp_path / "none", tmp_path / "some")
