"""What a run waits for, all runs and machines at once, a log over several attempts, and the ways to a shell."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hanse.cli import costing, fleet, shelling, views_run
from hanse.cli.home import Home
from hanse.cli.verbs import logs
from hanse.client.answers import AgentStatus, LogText
from hanse.client.summary import RunSummary
from hanse.client.usage import DayOfUse, UsageReport
from hanse.contracts import jobenv
from hanse.contracts.base import now
from hanse.contracts.errors import ServiceError, UsageError
from hanse.contracts.run import AttemptState, Leg, Run
from hanse.contracts.rundir import RunDir
from hanse.contracts.site import MachineState, PartitionState
from hanse.contracts.units import hours_of
from hanse.machines import catalogue
from tests.reporting import records


def drawn(part: Any, width: int = 140) -> str:
    out = Console(file=io.StringIO(), width=width, force_terminal=True, no_color=True, markup=False, highlight=False)
    out.print(part)
    return re.sub("\x1b\\[[0-9;]*m", "", out.file.getvalue())  # type: ignore[attr-defined]


def changed(run: Run, **attempt: Any) -> Run:
    """The run with its last attempt changed."""
    leg = run.legs[-1]
    last = leg.attempts[-1].model_copy(update=attempt)
    legs = (*run.legs[:-1], leg.model_copy(update={"attempts": (*leg.attempts[:-1], last)}))
    return run.model_copy(update={"legs": legs})


def queued(**attempt: Any) -> Run:
    return changed(records.waiting().run, state=AttemptState.QUEUED, job_id="4711", **attempt)


def test_a_waiting_run_says_why_when_it_is_expected_and_that_one_need_do_nothing() -> None:
    at = now()
    said = drawn(views_run.run(queued(reason="Priority", expected_start_at=at + timedelta(hours=3)), at))
    assert "Jobs of higher priority are before it in the queue." in said
    assert "about 3 hours" in views_run.in_words(
        queued(reason="Priority", expected_start_at=at + timedelta(hours=3)), at
    )
    assert "(Priority)" in said
    assert "Expected start" in said
    assert "You need do nothing." in said


def test_a_wait_that_somebody_can_end_says_how() -> None:
    said = drawn(views_run.run(queued(reason="PartitionTimeLimit"), now()))
    assert "a smaller where.wall_time_s" in said
    assert "You need do nothing" not in said


def test_a_run_shows_each_leg_with_machine_and_each_attempt_with_job_nodes_and_reason() -> None:
    run = records.interrupted().run
    first = (
        run.legs[0]
        .attempts[0]
        .model_copy(
            update={"nodes": tuple(f"lrdn{i:04}" for i in range(8)), "job_id": "77", "reason": "The node failed."}
        )
    )
    legs = (
        run.legs[0].model_copy(update={"attempts": (first,), "machine": "leonardo-booster"}),
        Leg(id="leg-2", run_id=run.id, machine="lumi-g", allocation_id="alc-2", attempts=run.legs[0].attempts[1:]),
    )
    said = drawn(views_run.run(run.model_copy(update={"legs": legs}), now()))
    assert "Leg 1: leonardo-booster" in said
    assert "Leg 2: lumi-g, charged to alc-2" in said
    assert "lrdn0000, lrdn0001, lrdn0002 and 5 more" in said
    assert "77" in said and "The node failed." in said


class Service:
    """Answers what the table asks; an exception is an outage."""

    def __init__(self, run: Run, *, state: MachineState | None = None, away: bool = False) -> None:
        self.shown, self.state, self.away, self.outage = run, state, away, False

    def run(self, id: str) -> Run:
        if self.outage:
            raise ServiceError("no route")
        return self.shown

    def machines(self) -> tuple[Any, ...]:
        return (records.machine(),)

    def agent_status(self, machine: str) -> AgentStatus:
        heard = now() - timedelta(seconds=40)
        return AgentStatus(machine=machine, site="here", epoch=1, software="hanse", last_heard_at=heard, away=self.away,
                           draining=False, open_attempts=1)  # fmt: skip

    def machine_state(self, machine: str) -> MachineState:
        if self.state is None:
            raise UsageError("not told")
        return self.state


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> Run:
    run = queued(reason="Resources")
    summary = RunSummary(
        id=run.id, name=run.name, state="queued", step=0, steps=240, used_accelerator_seconds=7200,
        machines=("local",), created_at=run.created_at,
    )  # fmt: skip
    monkeypatch.setattr(fleet, "run_summaries", lambda _: (summary,))
    return run


def test_the_table_shows_runs_with_their_waits_and_machines_with_their_load(listed: Run) -> None:
    at = now()
    parts = (PartitionState(name="boost", up=True, nodes=120, nodes_idle=14, pending_jobs=230),)
    said = drawn(fleet.Fleet(Service(listed, state=MachineState(at=at, partitions=parts))).look())  # type: ignore[arg-type]
    for expected in ("0/240", "2.00\N{NO-BREAK SPACE}GPU-hours", "It is next in line", "14 of 120", "230", "ago"):
        assert expected in said, expected


def test_a_machine_that_is_away_or_tells_nothing_is_no_error(listed: Run) -> None:
    said = drawn(fleet.Fleet(Service(listed, away=True)).look())  # type: ignore[arg-type]
    assert "away" in said and "–" in said


def test_an_outage_leaves_what_was_known(listed: Run) -> None:
    service = Service(listed)
    table = fleet.Fleet(service).look()  # type: ignore[arg-type]
    service.outage = True
    said = drawn(table.look())
    assert "no route; trying again" in said and listed.id in said


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_table_fits_its_terminal(listed: Run, width: int) -> None:
    assert all(len(line) <= width for line in drawn(fleet.Fleet(Service(listed)).look(), width).splitlines())  # type: ignore[arg-type]


class Log:
    """A log in pieces, each of an attempt."""

    def __init__(self, *pieces: tuple[str, int, str]) -> None:
        self.pieces = pieces

    def log(self, _run: str, offset: int = 0) -> LogText:
        if offset >= len(self.pieces):
            return LogText(offset=offset, next_offset=offset, text="", attempt=0)
        machine, attempt, text = self.pieces[offset]
        return LogText(offset=offset, next_offset=offset + 1, text=text, attempt=attempt, machine=machine)


def test_a_log_names_attempt_and_machine_where_another_begins(capsys: pytest.CaptureFixture[str]) -> None:
    service = Log(("lumi-g", 1, "one\n"), ("lumi-g", 1, "two"), ("lumi-g", 2, "three\n"), ("leonardo", 1, "four\n"))
    logs.Printer(service, "run-1").more()  # type: ignore[arg-type]
    assert capsys.readouterr().out == (
        "one\ntwo\n──── attempt 2 on lumi-g ────\nthree\n──── attempt 1 on leonardo ────\nfour\n"
    )


def test_a_log_of_one_attempt_has_no_line_that_the_job_did_not_write(capsys: pytest.CaptureFixture[str]) -> None:
    logs.Printer(Log(("local", 1, "one\n"), ("local", 1, "two\n")), "run-1").more()  # type: ignore[arg-type]
    assert capsys.readouterr().out == "one\ntwo\n"


def running(machine: str = "local") -> Run:
    run = changed(records.under_way().run, job_id="12", state=AttemptState.RUNNING)
    return run.model_copy(update={"legs": (run.legs[0].model_copy(update={"machine": machine}),)})


def test_a_shell_of_a_local_run_stands_in_its_folder_with_its_jobs_variables(tmp_path: Path) -> None:
    from hanse.planning.jobs import job_of, shape_of

    run, machine, here = running(), records.machine(), Home(tmp_path)
    number = run.legs[0].attempts[-1].number
    job = job_of(run.spec, machine, shape_of(run.spec, run.plan, machine), run_id=run.id, attempt_id="att-1",
                 number=number, wall_time_s=600, account="")  # fmt: skip
    attempt = RunDir(here.work / "runs" / run.id).attempt(number)
    attempt.root.mkdir(parents=True)
    attempt.job.write_text(job.to_json())
    way = shelling.into_run(run, {"local": machine}, here)
    code = "import os; print(os.getcwd()); print(os.environ['HANSE_RUN_DIR'], os.environ['HANSE_JOB_ID'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=way.cwd, env=dict(way.environment), text=True,
                          capture_output=True, check=True)  # fmt: skip
    assert done.stdout.split() == [str(attempt.root), str(here.work / "runs" / run.id), "12"]
    assert way.environment[jobenv.NODES] == str(job.nodes)
    assert shelling.onto_machine(machine, here).cwd == here.work / "runs"


def a_slurm(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for command, text in (("squeue", f"echo {name}"), ("srun", "exit 0")):
        (folder / command).write_text(f"#!/bin/sh\n{text}\n")
        (folder / command).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_a_shell_inside_a_slurm_job_is_opened_only_in_the_runs_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, machines = running("lumi-g"), {"lumi-g": catalogue.load("lumi-g")}
    a_slurm(tmp_path, monkeypatch, f"hanse-{run.legs[0].attempts[-1].id}")
    way = shelling.into_run(run, machines, Home(tmp_path))
    assert way.argv == ("srun", "--overlap", "--jobid=12", "--nodes=1", "--ntasks=1", "--pty", "bash")
    a_slurm(tmp_path, monkeypatch, "somebody-elses")
    with pytest.raises(UsageError, match="somebody-elses"):
        shelling.into_run(run, machines, Home(tmp_path))


def test_where_no_shell_can_be_had_it_is_said_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machines, here = {"lumi-g": catalogue.load("lumi-g"), "local": records.machine()}, Home(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="are not here"):
        shelling.into_run(running("lumi-g"), machines, here)
    with pytest.raises(UsageError, match="is not on this machine"):
        shelling.into_run(running(), machines, here)
    with pytest.raises(UsageError, match="Nothing of run-7f3a has been submitted"):
        shelling.into_run(changed(records.waiting().run, job_id=None), machines, here)
    with pytest.raises(UsageError, match="keeps no connection"):
        shelling.onto_machine(machines["lumi-g"], here)
    a_slurm(tmp_path, monkeypatch, "x")
    waits = queued(reason="Priority")
    waits = waits.model_copy(update={"legs": (waits.legs[0].model_copy(update={"machine": "lumi-g"}),)})
    with pytest.raises(UsageError, match="it has no nodes"):
        shelling.into_run(waits, machines, here)


def test_what_a_run_costs_is_said_in_the_sites_unit_too() -> None:
    plan, lumi = records.under_way().run.plan, catalogue.load("lumi-g")
    assert lumi.billing is not None
    said = " ".join(costing.without_service(plan, lumi))
    assert "GPU-hours" in said and hours_of(lumi.billing.unit) in said
    assert costing.without_service(None, lumi) == ()


def test_before_a_launch_the_share_of_the_months_quota_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    at, leonardo, record = now(), catalogue.load("leonardo-booster"), records.under_way()
    charged = record.allocations[0].model_copy(update={"machine": leonardo.id})
    today = DayOfUse(day=at.date(), accelerator_seconds=36_000)
    before = DayOfUse(day=at.date().replace(day=1) - timedelta(days=1), accelerator_seconds=999_999)
    told = UsageReport(allocation=charged, items=(), count=0, by_kind={}, by_day=(before, today))
    monkeypatch.setattr("hanse.client.usage.usage", lambda _client, _id: told)

    class Asked:
        def machine(self, id: str) -> Any:
            return {leonardo.id: leonardo}[id]

    said = " ".join(costing.before_launch(Asked(), record.run.plan, charged))  # type: ignore[arg-type]
    assert "core-hours" in said and "free" in said
    assert "10.0\N{NO-BREAK SPACE}GPU-hours are used this month" in said
    assert costing.before_launch(Asked(), None, charged) == ()  # type: ignore[arg-type]
