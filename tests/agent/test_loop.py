"""The agent's loop between a service that may be away and a scheduler that may forget."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hanse.agent import cycle, tails
from hanse.agent.main import run
from hanse.contracts.agentapi import SyncResponse, Welcome
from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, SchedulerUnknown, ServiceError, SiteError, UsageError
from hanse.contracts.job import JobReport
from hanse.contracts.run import AttemptState
from hanse.contracts.rundir import RunDir
from hanse.contracts.spec import CommandSpec, TrainSpec
from hanse.tickets.keys import public_key_b64
from tests.agent.hands import KEY, Cluster, Service, agent_of, states, wanted
from tests.contracts.examples import ASSIGNMENT, AT, MACHINE, SPEC, STEP

CODE = "1" * 64


def test_while_the_service_is_away_an_attempt_whose_code_is_missing_waits_and_the_others_go_on(tmp_path: Path) -> None:
    service, cluster = Service(wanted("needs-code", code=CODE), wanted("needs-none")), Cluster()
    with agent_of(tmp_path, service, cluster) as agent:
        agent.sync()
        service.away = True
        agent.pursue()
        agent.pursue()
    assert cluster.submissions == ["hanse-att-needs-none"]


def test_what_is_told_while_the_service_was_away_is_told_when_it_is_back(tmp_path: Path) -> None:
    service, cluster = Service(wanted("one")), Cluster()
    with agent_of(tmp_path, service, cluster) as agent:
        agent.cycle()
        service.away = True
        cluster.become("hanse-att-one", "running")
        with pytest.raises(ServiceError):
            agent.cycle()
        agent.pursue()
        service.away = False
        agent.cycle()
    assert states(service) == [("att-one", AttemptState.RUNNING)]


def test_nothing_new_is_submitted_while_the_machine_drains(tmp_path: Path) -> None:
    service, cluster = Service(wanted("one")), Cluster()
    service.drain = True
    with agent_of(tmp_path, service, cluster) as agent:
        agent.cycle()
        assert cluster.submissions == []
        service.drain = False
        agent.cycle()
    assert cluster.submissions == ["hanse-att-one"]


@pytest.mark.parametrize("wish", [{"desired": "stop"}, {"stop": "The hours are nearly used up."}])
def test_a_training_asked_to_stop_finds_its_stop_file_and_is_not_killed(tmp_path: Path, wish: dict[str, str]) -> None:
    service, cluster = Service(wanted("one")), Cluster()
    with agent_of(tmp_path, service, cluster) as agent:
        agent.cycle()
        cluster.become("hanse-att-one", "running")
        agent.cycle()
        (record,) = agent._store.open()
        stop = agent.run_dir(record).attempt(record.assignment.number).stop
        assert not stop.exists()
        service.wish(wanted("one").model_copy(update=wish))
        agent.cycle()
        assert stop.exists() and cluster.cancelled == []
        cluster.become("hanse-att-one", "completed", exit_code=0)
        agent.cycle()
        agent.sync()
    assert states(service)[-1] == ("att-one", AttemptState.STOPPED)


def test_an_agent_that_only_observes_asks_nobody_to_stop(tmp_path: Path) -> None:
    service, cluster = Service(wanted("one")), Cluster()
    with agent_of(tmp_path, service, cluster) as agent:
        agent.cycle()
        cluster.become("hanse-att-one", "running")
        service.wish(wanted("one").model_copy(update={"desired": "stop"}))
        agent._setting.observe = True
        agent.cycle()
        assert not agent.run_dir(agent._store.open()[0]).attempt(ASSIGNMENT.number).stop.exists()


def test_a_program_that_knows_no_stop_file_is_ended_once(tmp_path: Path) -> None:
    spec = TrainSpec(name="program", command=CommandSpec(run="sleep 60"), where=SPEC.where)
    one = wanted("one", spec=spec)
    service, cluster = Service(one), Cluster()
    with agent_of(tmp_path, service, cluster) as agent:
        agent.cycle()
        cluster.jobs["hanse-att-one"] = (JobReport(job_id="7", name="hanse-att-one", state="running", raw_state="R"),)
        agent.cycle()
        service.wish(one.model_copy(update={"desired": "stop"}))
        agent.cycle()
        agent.cycle()
        assert cluster.cancelled == ["7"]
        cluster.become("hanse-att-one", "cancelled")
        agent.cycle()
        agent.sync()
    assert states(service)[-1] == ("att-one", AttemptState.STOPPED), "not cancelled by somebody at the machine"


@pytest.mark.parametrize("signals", [True, False])
def test_a_program_that_resumes_is_asked_by_signal_and_ended_where_there_is_none(tmp_path: Path, signals: bool) -> None:
    spec = TrainSpec(name="program", command=CommandSpec(run="./train", resumes=True), where=SPEC.where)
    one = wanted("one", spec=spec)
    service, cluster = Service(one), Cluster()
    cluster.signals = signals
    with agent_of(tmp_path, service, cluster) as agent:
        agent.cycle()
        cluster.become("hanse-att-one", "running")
        agent.cycle()
        service.wish(one.model_copy(update={"desired": "stop"}))
        agent.cycle()
        agent.cycle()
        (job,) = cluster.jobs["hanse-att-one"]
        assert (cluster.signalled, cluster.cancelled) == (([job.job_id], []) if signals else ([], [job.job_id]))
        if signals:
            cluster.become("hanse-att-one", "failed", exit_code=138)
        agent.cycle()
        agent.sync()
    assert states(service)[-1] == ("att-one", AttemptState.STOPPED)


def test_a_folder_that_takes_no_stop_file_holds_up_nobody_else(tmp_path: Path) -> None:
    service, cluster = Service(wanted("one"), wanted("two")), Cluster()
    with agent_of(tmp_path, service, cluster) as agent:
        agent.cycle()
        cluster.become("hanse-att-one", "running")
        agent.cycle()
        folder = agent.run_dir(agent._store.open()[0]).attempt(ASSIGNMENT.number).root
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        service.wish(wanted("one").model_copy(update={"desired": "stop"}))
        cluster.become("hanse-att-two", "running")
        agent.cycle()
        agent.sync()
    assert ("att-two", AttemptState.RUNNING) in states(service)


def test_a_job_the_scheduler_refuses_fails_with_its_words_and_costs_nothing(tmp_path: Path) -> None:
    service, cluster = Service(wanted("one")), Cluster()
    cluster.refusal = SiteError("Invalid account or account/partition combination specified")
    with agent_of(tmp_path, service, cluster) as agent:
        agent.cycle()
        agent.cycle()
    (seen,) = service.requests[-1].observations
    assert (seen.state, seen.accelerator_seconds) == (AttemptState.FAILED, 0)
    assert "Invalid account" in seen.reason


def test_a_submission_without_an_answer_is_not_repeated_at_once(tmp_path: Path) -> None:
    service, cluster = Service(wanted("one")), Cluster()
    cluster.refusal = SchedulerUnknown("timed out")
    with agent_of(tmp_path, service, cluster) as agent:
        for _ in range(3):
            agent.cycle()
    assert cluster.submissions == ["hanse-att-one"]
    assert states(service) == []


def test_while_the_scheduler_is_silent_nothing_is_done_and_nothing_is_claimed(tmp_path: Path) -> None:
    service, cluster = Service(wanted("one")), Cluster()
    cluster.answers = False
    with agent_of(tmp_path, service, cluster) as agent:
        agent.cycle()
        agent.cycle()
    assert (cluster.submissions, states(service)) == ([], [])


def test_an_end_is_told_only_when_all_steps_and_the_log_have_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tails, "BACKLOG_BYTES", 2000)
    monkeypatch.setattr(tails, "CHUNK_BYTES", 500)
    service, cluster = Service(wanted("one")), Cluster()
    with agent_of(tmp_path, service, cluster) as agent:
        agent.cycle()
        attempt = RunDir(tmp_path / "work" / "runs" / "run-one").attempt(1)
        times = [AT + timedelta(seconds=10 * n) for n in range(1, 31)]
        rows = [STEP.model_copy(update={"step": n, "at": at}).model_dump_json() for n, at in enumerate(times, 1)]
        attempt.steps.write_text("\n".join(rows) + "\n")
        attempt.log.write_text("line\n" * 380)
        cluster.become("hanse-att-one", "completed", elapsed_s=12.0, accelerators=2)
        for _ in range(40):
            agent.cycle()
    told = [row.step for request in service.requests for batch in request.telemetry for row in batch.rows]
    assert told == list(range(1, 31))
    ends = [n for n, request in enumerate(service.requests) if any(o.state == "stopped" for o in request.observations)]
    others = [n for n, request in enumerate(service.requests) if request.logs or request.telemetry]
    assert len(ends) == 1
    assert ends[0] >= max(others)


def test_a_finished_run_whose_job_the_scheduler_forgot_is_finished_after_an_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, cluster = Service(wanted("one")), Cluster()
    with agent_of(tmp_path, service, cluster) as agent:
        agent.cycle()
        RunDir(tmp_path / "work" / "runs" / "run-one").finished.touch()
        cluster.jobs.clear()
        began, told = now(), []
        for minutes in (2, 30, 61, 64):
            monkeypatch.setattr(cycle, "now", lambda later=timedelta(minutes=minutes): began + later)
            agent.cycle()
            agent.sync()
            told.append(states(service)[-1][1])
    assert told == [AttemptState.UNKNOWN] * 3 + [AttemptState.FINISHED]


class Answers(BaseHTTPRequestHandler):
    """Away twice, then a welcome and a round, then taken over by a newer agent."""

    script: list[tuple[int, object]]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        status, body = self.script.pop(0)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, format: str, *args: object) -> None:
        return None


@contextmanager
def answering(*script: tuple[int, object]) -> Iterator[str]:
    handler = type("Scripted", (Answers,), {"script": list(script)})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


WELCOME = (200, Welcome(epoch=3, ticket_key=public_key_b64(KEY)).model_dump(mode="json"))
ROUND = (200, SyncResponse(acknowledged=0).model_dump(mode="json"))


def test_an_agent_waits_for_its_service_and_stops_when_a_newer_agent_takes_over(tmp_path: Path) -> None:
    taken_over = (409, {"what": "a newer agent speaks for local", "where": "local", "fix": ""})
    away = (503, {"what": "down for an hour", "where": "", "fix": ""})
    with (
        answering(away, away, WELCOME, ROUND, away, ROUND, taken_over) as url,
        pytest.raises(Conflict, match="newer agent"),
    ):
        run(url, "token", MACHINE, Cluster(), tmp_path, every_s=0.01)


def test_one_round_against_a_service_that_is_away_says_so(tmp_path: Path) -> None:
    with answering() as url:
        gone = url
    with pytest.raises(ServiceError, match="does not answer"):
        run(gone, "token", MACHINE, Cluster(), tmp_path, once=True)


def test_a_second_agent_of_the_same_machine_and_home_is_refused(tmp_path: Path) -> None:
    class Second(Cluster):
        def observe(self, jobs: Mapping[str, str | None]) -> dict[str, tuple[JobReport, ...]]:
            with pytest.raises(UsageError, match="another agent"):
                run("http://127.0.0.1:9", "token", MACHINE, Cluster(), tmp_path, once=True)
            self.submissions.append("was refused")
            return super().observe(jobs)

    cluster = Second()
    offered = (200, SyncResponse(acknowledged=0, assignments=(wanted("one"),)).model_dump(mode="json"))
    with answering(WELCOME, offered, ROUND) as url:
        run(url, "token", MACHINE, cluster, tmp_path, once=True)
    assert cluster.submissions[0] == "was refused"


def test_a_terminated_agent_ends_and_leaves_its_jobs(tmp_path: Path) -> None:
    class Terminated(Cluster):
        cancelled = False

        def observe(self, jobs: Mapping[str, str | None]) -> dict[str, tuple[JobReport, ...]]:
            os.kill(os.getpid(), signal.SIGTERM)
            return super().observe(jobs)

        def cancel(self, job_ids: Sequence[str]) -> None:
            self.cancelled = True

    cluster = Terminated()
    offered = (200, SyncResponse(acknowledged=0, assignments=(wanted("one"),)).model_dump(mode="json"))
    with answering(WELCOME, offered, offered) as url:
        run(url, "token", MACHINE, cluster, tmp_path, every_s=0.01)
    assert not cluster.cancelled
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
