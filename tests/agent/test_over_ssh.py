"""A run's folder behind a real sshd: it is prepared, read and asked to stop as one on this machine's own disk."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from hanse.agent import legs, place, tails
from hanse.agent.store import Record
from hanse.contracts.errors import SiteError
from hanse.contracts.job import JobReport
from hanse.contracts.outer import OuterLaunch
from hanse.contracts.run import AttemptState
from hanse.contracts.rundir import RunDir
from hanse.schedulers.host import HostUnreachable
from hanse.schedulers.ssh import SshHost
from hanse.workloads.load import load_spec
from tests import sshd
from tests.agent.hands import Cluster, Service, agent_of, reasons, states, wanted
from tests.agent.test_files import bundle, exchange, rows
from tests.contracts.examples import ASSIGNMENT, RESULT, SPEC, TICKET


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sshd.Sshd]:
    running = sshd.up(tmp_path_factory.mktemp("sshd"))
    yield running
    running.stop()


@pytest.fixture
def behind(server: sshd.Sshd) -> Iterator[SshHost]:
    host = server.host()
    yield host
    host.close()


def test_a_folder_behind_ssh_is_prepared_read_and_stopped_as_one_here(tmp_path: Path, behind: SshHost) -> None:
    assignment = ASSIGNMENT.model_copy(update={"code_sha256": "1" * 64})
    run_dir = RunDir(tmp_path / "over there" / "run")
    for _ in range(2):  # an agent killed half-way begins again
        place.prepare(assignment, run_dir, lambda _: bundle(**{"mymodel.py": "x = 1\n"}), behind)
    assert load_spec(run_dir.spec) == SPEC
    assert (run_dir.code / "mymodel.py").read_text() == "x = 1\n"
    assert not list(run_dir.root.rglob(".*"))

    attempt, record = run_dir.attempt(1), Record(assignment=ASSIGNMENT)
    assert tails.traces(run_dir, 1, behind) == tails.traces(run_dir, 1)
    attempt.claim.write_text("17 node\n")
    attempt.steps.write_text(rows(*range(60)) + '{"cut": ')
    attempt.log.write_bytes(b"x" * tails.CHUNK_BYTES + b"\nwhy\xff\n")
    run_dir.result.write_text(RESULT.to_json())
    run_dir.finished.touch()
    seen = tails.traces(run_dir, 1, behind)
    assert seen == tails.traces(run_dir, 1) and seen.finished and seen.claim_holder == "17" and seen.last_step == 60
    for ended in (False, True):
        assert tails.news(record, run_dir, behind, ended=ended) == tails.news(record, run_dir, ended=ended)
    assert tails.telling_lines(attempt.log, host=behind) == tails.telling_lines(attempt.log)

    assert place.ask_to_stop(attempt, behind) and attempt.stop.exists()
    assert not place.ask_to_stop(attempt, behind)


def test_a_bundle_that_is_not_safe_is_never_sent(tmp_path: Path, behind: SshHost) -> None:
    assignment = ASSIGNMENT.model_copy(update={"code_sha256": "1" * 64})
    run_dir = RunDir(tmp_path / "run")
    with pytest.raises(SiteError, match="cannot be unpacked"):
        place.prepare(assignment, run_dir, lambda _: bundle(**{"..__outside.py": "evil"}), behind)
    assert not run_dir.code.exists() and not (tmp_path / "outside.py").exists()


class _Cut(Cluster):
    """A cluster behind a connection that may be cut."""

    cut = False

    def observe(self, jobs: Mapping[str, str | None]) -> dict[str, tuple[JobReport, ...]]:
        if self.cut:
            raise HostUnreachable("the certificate ended at noon (tried again in 0.5 s)", fix="Run 'renew'.")
        return super().observe(jobs)


def test_behind_a_cut_connection_a_run_is_unknown_with_the_reason_and_is_followed_again_afterwards(
    tmp_path: Path,
) -> None:
    service, cluster = Service(wanted("one")), _Cut()
    with agent_of(tmp_path, service, cluster) as agent:
        agent.cycle()
        cluster.become("hanse-att-one", "running")
        agent.cycle()
        cluster.cut = True
        for _ in range(3):
            agent.cycle()
        cluster.cut = False
        for _ in range(2):
            agent.cycle()
    told = [state for _, state in states(service)]
    assert told[-3:] == [AttemptState.RUNNING, AttemptState.UNKNOWN, AttemptState.RUNNING]
    assert "No connection: the certificate ended at noon. Run 'renew'." in reasons(service)
    assert cluster.submissions == ["hanse-att-one"] and not cluster.cancelled


def test_the_end_of_an_attempt_is_told_with_its_files_or_not_yet(tmp_path: Path, server: sshd.Sshd) -> None:
    """Once the service knows the end it asks no more: log and result would stay behind."""
    host = server.host()
    service, cluster = Service(wanted("one")), Cluster()
    with agent_of(tmp_path, service, cluster, host=host) as agent:
        agent.cycle()
        attempt = RunDir(tmp_path / "work" / "runs" / "run-one").attempt(1)
        attempt.claim.write_text("1\n")
        attempt.log.write_text("all of it\n")
        cluster.become("hanse-att-one", "failed", exit_code=3)
        agent.pursue()
        server.stop()
        try:
            agent.sync()
            assert [state for _, state in states(service)] == []
        finally:
            server.start()
        host.close()
    again = server.host()
    with agent_of(tmp_path, service, cluster, host=again) as agent:
        agent.sync()
    again.close()
    assert [state for _, state in states(service)] == [AttemptState.FAILED]
    assert [chunk.text for request in service.requests for chunk in request.logs] == ["all of it\n"]


def test_the_key_of_a_leg_behind_ssh_is_for_its_owner_alone(tmp_path: Path, behind: SshHost) -> None:
    run, told = RunDir(tmp_path / "over there" / "run"), exchange()
    ticket = TICKET.model_copy(update={"outer_sha256": told.launch.terms.digest()})
    for _ in range(2):
        legs.write(told, ticket, run, behind)
    assert stat.S_IMODE(run.exchange_key.stat().st_mode) == 0o600
    assert run.exchange_key.read_bytes() == bytes([1]) * 32
    assert OuterLaunch.from_json(run.outer.read_bytes()) == told.launch
    assert run.inbox.is_dir() and run.outbox.is_dir() and not list(run.root.glob("*.new"))
