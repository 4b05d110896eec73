"""What the agent writes for a job, what it refuses to, and what it reads of it."""

from __future__ import annotations

import base64
import gzip
import io
import json
import random
import sqlite3
import stat
import tarfile
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.agent import legs, place, tails
from hanse.agent.store import Record, Store
from hanse.agent.telling import Telling
from hanse.contracts.across import AcrossSpec
from hanse.contracts.agentapi import Assignment, Exchange, LostLegs, Observation
from hanse.contracts.errors import SiteError, TicketError
from hanse.contracts.outer import OuterLaunch, OuterLeg, OuterTerms
from hanse.contracts.run import AttemptState
from hanse.contracts.rundir import RunDir
from hanse.tickets.keys import new_private_key, public_key_b64
from hanse.tickets.signing import sign
from hanse.training.outer.trail import Trail
from hanse.workloads.load import load_spec
from tests.contracts.examples import ASSIGNMENT, AT, RESULT, SPEC, STEP, TICKET

KEY = new_private_key()
TICKET_OF_SPEC = TICKET.model_copy(update={"spec_hash": SPEC.digest()})


def signed(**changes: object) -> Assignment:
    job = ASSIGNMENT.job.model_copy(update={"wall_time_s": 600})
    ticket = TICKET_OF_SPEC.model_copy(update=changes)
    return ASSIGNMENT.model_copy(update={"job": job, "ticket": sign(ticket, KEY)})


def check(assignment: Assignment, **changes: object) -> None:
    given_ = {"machine": "local", "ticket_key": public_key_b64(KEY), "at": AT} | changes
    place.check(assignment, **given_)  # type: ignore[arg-type]


def test_a_ticket_that_covers_the_job_is_accepted() -> None:
    check(signed())


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"max_nodes": 1}, "2 nodes, it allows 1"),
        ({"max_wall_time_s": 60}, "600 s, it allows 60"),
        ({"max_accelerator_seconds": 1199}, "1200 accelerator-seconds, it allows 1199"),
        ({"machine": "leonardo-booster"}, "machine leonardo-booster"),
        ({"attempt_id": "att-other"}, "attempt att-other"),
        ({"spec_hash": "0" * 64}, "another train.yaml"),
        ({"code_sha256": "1" * 64}, "other code"),
    ],
)
def test_a_ticket_that_covers_less_than_the_job_asks_is_refused(changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(TicketError, match=complaint):
        check(signed(**changes))


def test_a_ticket_of_another_key_or_out_of_date_is_refused() -> None:
    with pytest.raises(TicketError, match="signed with key"):
        check(signed(), ticket_key=public_key_b64(new_private_key()))
    with pytest.raises(TicketError, match="expired"):
        check(signed(), at=TICKET.expires_at + timedelta(seconds=1))


def test_a_prepared_folder_holds_all_that_a_job_reads(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path / "run-7h3k9q")
    for _ in range(2):  # an agent killed half-way begins again
        place.prepare(ASSIGNMENT, run_dir, lambda _: b"")
    assert load_spec(run_dir.spec) == SPEC
    assert run_dir.plan.exists() and run_dir.machine.exists()
    assert run_dir.attempt(1).job.exists() and run_dir.attempt(1).ticket.exists()
    assert not list(run_dir.root.rglob(".*"))


def bundle(**files: str) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name.replace("__", "/"))
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return raw.getvalue()


def test_a_code_bundle_is_unpacked_once_and_whole(tmp_path: Path) -> None:
    assignment = ASSIGNMENT.model_copy(update={"code_sha256": "1" * 64})
    fetched: list[str] = []

    def fetch(sha256: str) -> bytes:
        fetched.append(sha256)
        return bundle(**{"mymodel.py": "x = 1\n"})

    run_dir = RunDir(tmp_path / "run")
    place.prepare(assignment, run_dir, fetch)
    place.prepare(assignment, run_dir, fetch)
    assert (run_dir.code / "mymodel.py").read_text() == "x = 1\n"
    assert fetched == ["1" * 64]


@pytest.mark.parametrize("name", ["..__outside.py", "__etc__passwd"])
def test_a_bundle_that_points_outside_its_folder_writes_nothing_there(tmp_path: Path, name: str) -> None:
    target = tmp_path / "run" / "code"
    try:
        place.unpack(bundle(**{name: "evil"}), target)
    except SiteError:
        assert not target.exists()
    assert not (tmp_path / "run" / "outside.py").exists()
    assert {p.name for p in tmp_path.rglob("*") if p.is_file()} <= {"passwd"}, "kept below the folder if at all"


def test_a_bundle_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="cannot be unpacked"):
        place.unpack(gzip.compress(b"no tar"), tmp_path / "code")
    assert not list(tmp_path.iterdir())


@given(st.integers(0, 10_000), st.booleans(), st.integers(1, 255))
def test_a_damaged_bundle_is_refused_or_whole_and_never_ends_the_agent(tmp_path_factory, at, cut, flip) -> None:
    whole = bundle(**{"a.bin": random.Random(1).randbytes(4000).hex()})
    at %= len(whole)
    damaged = whole[:at] if cut else whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :]
    folder = tmp_path_factory.mktemp("code")
    try:
        place.unpack(damaged, folder / "code")
    except SiteError:
        assert not list(folder.iterdir())


def rows(*seconds: float) -> str:
    return "".join(
        STEP.model_copy(update={"step": n, "at": AT + timedelta(seconds=s)}).model_dump_json() + "\n"
        for n, s in enumerate(seconds, 1)
    )


def prepared(tmp_path: Path) -> RunDir:
    run_dir = RunDir(tmp_path)
    run_dir.attempt(1).root.mkdir(parents=True)
    return run_dir


def test_of_the_steps_one_in_five_seconds_travels_and_the_last_at_the_end(tmp_path: Path) -> None:
    run_dir = prepared(tmp_path)
    run_dir.attempt(1).steps.write_text(rows(0, 1, 2, 5, 6, 7, 10, 11) + '{"cut": ')
    first = tails.news(Record(assignment=ASSIGNMENT), run_dir, ended=False)
    assert first.telemetry and [row.step for row in first.telemetry.rows] == [1, 4, 7]
    further = Record(assignment=ASSIGNMENT, steps_offset=first.steps_offset, steps_sent_at=first.steps_sent_at)
    assert tails.news(further, run_dir, ended=False).telemetry is None
    last = tails.news(further, run_dir, ended=True)
    assert last.telemetry and [row.step for row in last.telemetry.rows] == [8]


def test_the_result_travels_once_the_attempt_has_ended(tmp_path: Path) -> None:
    run_dir = prepared(tmp_path)
    run_dir.result.write_text(RESULT.to_json())
    assert tails.news(Record(assignment=ASSIGNMENT), run_dir, ended=False).result is None
    assert tails.news(Record(assignment=ASSIGNMENT), run_dir, ended=True).result == RESULT
    assert tails.news(Record(assignment=ASSIGNMENT, result_sent=True), run_dir, ended=True).result is None


def test_a_legs_audit_trail_travels_line_by_line_over_all_its_attempts(tmp_path: Path) -> None:
    run_dir = prepared(tmp_path)
    where = SPEC.where.model_copy(update={"machines": ("local", "second")})
    spec = SPEC.model_copy(update={"across": AcrossSpec(), "where": where})
    leg = ASSIGNMENT.model_copy(update={"spec": spec})
    notes = Trail(run_dir.outer_rows, "local", 1)
    notes.note("sent", outer_step=0, fragment=0, sent_bytes=100)
    with run_dir.outer_rows.open("a") as file:
        file.write('{"cut": ')
    store = Store(tmp_path / "agent.sqlite3")
    store.take((leg,))
    store.saw(Observation(attempt_id=leg.attempt_id, epoch=1, sequence=1, at=AT, state=AttemptState.RUNNING))
    telling = Telling(store, lambda record: run_dir, 1)

    def told() -> list[tuple[int, str]]:
        letter = telling.letter()
        telling.arrived(letter)
        batches = [news.trail for news in letter.news.values() if news.trail]
        return [(line.offset, line.row.what) for batch in batches for line in batch.lines]

    assert told() == [(0, "sent")]
    assert told() == [], "nothing twice"
    with run_dir.outer_rows.open("a") as file:
        file.write("\n")
    begins = run_dir.outer_rows.stat().st_size
    notes.note("applied", outer_step=0, fragment=0)
    follower = leg.model_copy(update={"attempt_id": "att-next", "number": 2})
    store.take((follower,))
    store.saw(Observation(attempt_id="att-next", epoch=1, sequence=2, at=AT, state=AttemptState.RUNNING))
    assert told() == [(begins, "applied")], "the next attempt goes on where the first had come to"
    ordinary = Record(assignment=ASSIGNMENT)
    assert tails.news(ordinary, run_dir, ended=False).trail is None
    store.close()


def test_a_store_of_an_earlier_release_is_read(tmp_path: Path) -> None:
    path = tmp_path / "agent.sqlite3"
    store = Store(path)
    store.take((ASSIGNMENT,))
    store.close()
    with sqlite3.connect(path) as older:
        older.execute("ALTER TABLE attempts DROP COLUMN trail_offset")
    again = Store(path)
    assert again.open()[0].trail_offset == 0
    again.close()


@given(st.lists(st.binary(max_size=200), max_size=40), st.integers(10, 500))
def test_the_pieces_of_a_log_join_to_the_log_whatever_bytes_it_holds(tmp_path_factory, lines, size) -> None:
    run_dir = prepared(tmp_path_factory.mktemp("log"))
    raw = b"\n".join(lines)
    run_dir.attempt(1).log.write_bytes(raw)
    before, tails.CHUNK_BYTES = tails.CHUNK_BYTES, size
    try:
        offset, joined = 0, b""
        while True:
            chunk, more = tails.log_chunk(Record(assignment=ASSIGNMENT, log_offset=offset), run_dir.attempt(1))
            if chunk is None:
                break
            assert chunk.offset == offset == len(joined)
            joined += chunk.text.encode()
            offset = len(joined)
            assert more == (offset < len(raw))
    finally:
        tails.CHUNK_BYTES = before
    assert len(joined) == len(raw)
    assert all(got == want or got == ord("?") for got, want in zip(joined, raw, strict=True))


def test_of_a_huge_log_the_end_travels(tmp_path: Path) -> None:
    run_dir = prepared(tmp_path)
    run_dir.attempt(1).log.write_bytes(b"x" * 99 + b"\n" + b"y" * 99 + b"\n" * tails.BACKLOG_BYTES)
    chunk, more = tails.log_chunk(Record(assignment=ASSIGNMENT), run_dir.attempt(1))
    assert chunk and chunk.offset == 199 and more


def test_the_telling_lines_of_a_failed_log_are_its_errors_not_the_scaffold(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    log.write_text("step 1\nMemoryError: 12 GB asked\n-----\ntorch.distributed.elastic.multiprocessing: failed\nbye\n")
    assert tails.telling_lines(log) == "MemoryError: 12 GB asked"
    log.write_text("one\ntwo\n")
    assert tails.telling_lines(log) == "one\ntwo"


def test_what_was_written_down_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "agent.sqlite3"
    store = Store(path)
    store.take((ASSIGNMENT,))
    store.intend(ASSIGNMENT.attempt_id, AT)
    store.close()
    again = Store(path)
    assert again.open()[0].intent_at == AT
    again.submitted(ASSIGNMENT.attempt_id, "17", AT)
    again.take((ASSIGNMENT,))
    assert again.open()[0].job_id == "17"
    again.take(())
    assert again.open() == ()
    again.close()


def exchange(**changes: object) -> Exchange:
    """Of the leg that signs with 32 ones."""
    legs = tuple(
        OuterLeg(name=name, public_key=public_key_b64(bytes([number]) * 32))
        for number, name in enumerate(("local", "other"), start=1)
    )  # fmt: skip
    terms = OuterTerms(run_id=TICKET.run_id, legs=legs, inner_steps=5)
    given_ = {"launch": OuterLaunch(leg="local", terms=terms), "key": base64.b64encode(bytes([1]) * 32).decode()}
    return Exchange.model_validate(given_ | changes)


def test_the_key_of_a_leg_is_for_its_owner_alone_and_the_boxes_are_there(tmp_path: Path) -> None:
    run, told = RunDir(tmp_path), exchange()
    ticket = TICKET.model_copy(update={"outer_sha256": told.launch.terms.digest()})
    for _ in range(2):
        legs.write(told, ticket, run)
    assert stat.S_IMODE(run.exchange_key.stat().st_mode) == 0o600
    assert run.exchange_key.read_bytes() == bytes([1]) * 32
    assert OuterLaunch.from_json(run.outer.read_bytes()) == told.launch
    assert run.inbox.is_dir() and run.outbox.is_dir()


def test_in_a_folder_shared_with_the_jobs_user_their_group_may_read_the_key(tmp_path: Path) -> None:
    run, told = RunDir(tmp_path / "run"), exchange()
    run.root.mkdir()
    run.root.chmod(0o2770)
    legs.write(told, TICKET.model_copy(update={"outer_sha256": told.launch.terms.digest()}), run)
    assert stat.S_IMODE(run.exchange_key.stat().st_mode) == 0o640


def test_terms_that_the_ticket_does_not_name_and_anothers_key_are_refused_before_anything_is_written(
    tmp_path: Path,
) -> None:
    run, told = RunDir(tmp_path), exchange()
    named = TICKET.model_copy(update={"outer_sha256": told.launch.terms.digest()})
    with pytest.raises(TicketError, match="not those that the ticket names"):
        legs.write(told, TICKET.model_copy(update={"outer_sha256": "0" * 64}), run)
    with pytest.raises(TicketError, match="not that of leg local"):
        legs.write(exchange(key=base64.b64encode(bytes([2]) * 32).decode()), named, run)
    assert list(tmp_path.iterdir()) == []


def test_the_jobs_of_a_machine_are_told_which_other_legs_were_given_up_and_when_one_is_back(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    told = legs.Absences(lambda _: run)
    told.tell((LostLegs(run_id="run-1", names=("other",)),))
    assert not run.root.exists(), "nothing was prepared there yet"
    run.root.mkdir()
    assert not run.absent.exists()
    told.tell((LostLegs(run_id="run-1", names=("other",)),))
    assert json.loads(run.absent.read_text()) == ["other"]
    run.absent.unlink()
    told.tell((LostLegs(run_id="run-1", names=("other",)),))
    assert not run.absent.exists(), "what was told is not written again"
    told.tell(())
    assert json.loads(run.absent.read_text()) == []
