"""The verbs against a real embedded service and a real agent, with a program that takes a moment.

One service for the whole module: starting it takes seconds, and every verb after the first finds it, as for users.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import SOURCE
from tests.waiting import until

COMMAND = """\
name: hello
command: {run: "echo node $HANSE_NODE_RANK says hello; sleep 0.2"}
where: {machines: [local], nodes: 2, max_gpu_hours: 0.1, wall_time_s: 120}
"""

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("walk")
    (folder / "train.yaml").write_text(COMMAND)
    return folder


@pytest.fixture(scope="module")
def home(place: Path) -> Path:
    return place.parent / f"{place.name}-home"


@pytest.fixture(scope="module")
def cli(place: Path, home: Path) -> Iterator[Cli]:
    """Run the command line as a user does: a process of its own, in the folder of train.yaml."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "HANSE_")) and k != "COLUMNS"}
    environment = {**kept, "HANSE_HOME": str(home), "PYTHONPATH": str(SOURCE)}

    def run(*arguments: str, python: tuple[str, ...] = (), **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *python, "-m", "hanse", *arguments],
            capture_output=True, text=True, check=False, cwd=place, env=environment | more, timeout=120,
        )  # fmt: skip

    yield run
    run("serve", "--stop")


@pytest.fixture(scope="module")
def allocation(cli: Cli, home: Path) -> str:
    """Hours on this machine: applied for by the command line, granted over the API as the officer one is here."""
    from hanse.client.answers import DecisionRequest
    from hanse.client.api import Client

    sent = cli(
        "apply", "--call", "playground", "--organisation", "Kontor 17", "--kind", "start-up", "--country", "DE",
        "--title", "A walk", "--purpose", "Try the command line.", "--machine", "local", "--gpu-hours", "10",
        "--months", "1", "--email", "ada@kontor17.example", "--json", *answers(),
    )  # fmt: skip
    assert sent.returncode == 0, sent.stderr
    application = json.loads(sent.stdout)
    assert application["state"] == "sent"
    endpoint = json.loads((home / "service" / "endpoint.json").read_text())
    with Client(endpoint["url"], endpoint["token"]) as client:
        granted = client.decide(application["id"], DecisionRequest(decision="grant", reason="A test."))
    assert granted.allocation_id
    return granted.allocation_id


def answers() -> list[str]:
    from hanse.cli import compute

    return [part for key, value in compute.answers().items() for part in ("--answer", f"{key}={value}")]


def test_without_hours_a_launch_says_how_to_apply(cli: Cli) -> None:
    refused = cli("launch")
    assert refused.returncode == 2
    assert "hanse apply --call playground --machine local" in refused.stderr


def test_a_command_is_launched_watched_and_reported(cli: Cli, place: Path, allocation: str) -> None:
    launched = cli("launch", "--watch")
    assert launched.returncode == 0, launched.stderr + launched.stdout
    assert f"charged to {allocation}" in launched.stdout
    assert "finished" in launched.stdout.splitlines()[-3]
    assert "\x1b" not in launched.stdout

    listed = json.loads(cli("status", "--json").stdout)
    assert [run["state"] for run in listed] == ["finished"]
    assert listed[0]["used_accelerator_seconds"] > 0

    said = cli("logs").stdout
    assert "node 0 says hello" in said
    assert "node 1 says hello" in said

    assert cli("status", "hello").stdout.startswith(listed[0]["id"])
    everything = cli("status", "--watch").stdout  # into a pipe it ends when nothing is under way
    assert listed[0]["id"] in everything and "2 of 2" in everything and "ago" in everything
    (place / "look").write_text("#!/bin/sh\npwd; env | grep ^HANSE_\n")
    (place / "look").chmod(0o755)
    seen = cli("shell", "hello", SHELL=str(place / "look")).stdout
    assert f"/runs/{listed[0]['id']}/code\n" in seen
    assert "HANSE_NODES=2\n" in seen and "HANSE_TICKET_KEY=" in seen and "HANSE_DATA_DIR=" in seen
    written = cli("report", "--out", "mine.html")
    assert written.returncode == 0
    assert "<svg" in (place / "mine.html").read_text() or "<html" in (place / "mine.html").read_text()
    record = json.loads(cli("report", "--json").stdout)
    assert record["run"]["id"] == listed[0]["id"]
    assert [entry["allocation_id"] for entry in record["usage"]] == [allocation]


def test_runs_are_listed_without_importing_contracts_or_what_speaks_to_services_elsewhere(
    cli: Cli, allocation: str
) -> None:
    listed = cli("status", python=("-X", "importtime"))
    imported = {line.rpartition("|")[2].strip() for line in listed.stderr.splitlines()}
    assert "hello" in listed.stdout and "hanse.client.summary" in imported
    assert imported & {"pydantic", "httpx", "numpy", "yaml", "hanse.client.api", "hanse.contracts.run"} == set()


def test_a_failing_command_is_one_message_with_the_end_of_its_log(cli: Cli, place: Path, allocation: str) -> None:
    (place / "bad.yaml").write_text(COMMAND.replace("echo node", "echo no such thing >&2; exit 3; echo"))
    failed = cli("launch", "bad.yaml", "--watch")
    assert failed.returncode == 1
    assert "no such thing" in failed.stderr
    assert "hanse logs run-" in failed.stderr


def test_a_run_is_cancelled_and_cannot_be_cancelled_twice(cli: Cli, place: Path, allocation: str) -> None:
    (place / "long.yaml").write_text(COMMAND.replace("sleep 0.2", "sleep 600").replace("hello", "long"))
    run = json.loads(cli("launch", "long.yaml", "--json").stdout)
    assert cli("cancel", run["id"], "--reason", "a test").returncode == 0
    state = until(
        lambda: (found := json.loads(cli("status", run["id"], "--json").stdout)["state"]) == "cancelled" and found,
        within_s=30,
        what="the cancelled run",
        every_s=0.3,
    )
    assert state == "cancelled"
    again = cli("cancel", run["id"])
    assert again.returncode == 2
    assert "cancelled already" in again.stderr


TWO = """\
name: choose
model: {shape: {layers: 2, hidden: 64, heads: 4, kv_heads: 2, ffn: 128, vocab: 512, context: 64}}
tokenizer: {vocab: 512}
data: [{name: python-stdlib, source: python-stdlib, licence: PSF-2.0}]
batch: 8
tokens: 500000
precision: fp32
where: {machines: [slow, swift, nowhere], nodes: 2, max_gpu_hours: 5, wall_time_s: 3600, ahead: 0}
"""


@pytest.fixture(scope="module")
def two(cli: Cli, home: Path, place: Path, allocation: str) -> Path:
    """Two machines beside this one, by the real protocol: one of a tenth of the other's pace, with hours on both."""
    from hanse.client.agent import AgentClient
    from hanse.client.answers import DecisionRequest
    from hanse.client.api import Client
    from hanse.contracts.agentapi import Hello
    from tests.planning.worlds import calibrated

    (place / "two.yaml").write_text(TWO)
    endpoint = json.loads((home / "service" / "endpoint.json").read_text())
    with Client(endpoint["url"], endpoint["token"]) as client:
        form = client.applications()[0].form
        for name, pace, hours in (("slow", 4e9, 10), ("swift", 4e10, 2)):
            facts = calibrated(flops_per_s=pace).model_copy(update={"id": name, "name": name, "nodes": 4})
            token = client.enrol_agent(name, "this-machine").token
            with AgentClient(endpoint["url"], token) as agent:
                agent.hello(Hello(machine=facts, software="test"))
            sent = client.apply(form.model_copy(update={"machine": name, "gpu_hours": hours, "title": f"On {name}"}))
            client.decide(sent.id, DecisionRequest(decision="grant", reason="A test."))
    return place / "two.yaml"


def test_of_two_machines_the_one_that_ends_it_sooner_is_taken_until_its_hours_are_gone_and_a_user_may_pin(
    cli: Cli, two: Path
) -> None:
    def launched(*arguments: str) -> dict[str, Any]:
        answer = cli("launch", two.name, "--json", *arguments)
        assert answer.returncode == 0, answer.stderr
        said[:] = [answer.stderr]
        run: dict[str, Any] = json.loads(answer.stdout)
        runs.append(run["id"])
        return run

    said: list[str] = []
    runs: list[str] = []
    before = cli("launch", two.name, "--dry-run")
    assert before.returncode == 0, before.stderr
    assert "swift is expected to finish it first." in before.stdout and "# The job for swift" in before.stdout
    assert "Not nowhere: No agent of it has ever reported" in " ".join(before.stdout.split())
    launched_before = [each["name"] for each in json.loads(cli("status", "--json").stdout)]
    assert "choose" not in launched_before, "a dry run launches nothing"

    first = launched()
    assert first["legs"][0]["machine"] == "swift" and "→ swift" in said[0] and "slow, 2 nodes" in said[0]
    shown = cli("status", first["id"]).stdout
    assert "Why this machine" in shown and "swift is expected to finish it first." in shown
    assert "→ swift" in shown and "Data there" in shown and "nowhere" in shown

    second = launched()  # what the first has set aside is not free any more
    assert second["legs"][0]["machine"] == "slow", second["placement"]
    [out] = [each["reason"] for each in second["placement"]["unusable"] if each["machine"] == "swift"]
    assert "are free" in out

    pinned = launched("-m", "slow")
    assert pinned["placement"]["pinned"] and pinned["placement"]["why"] == "You chose slow."
    refused = cli("launch", two.name, "-m", "swift")
    assert refused.returncode == 2 and "is used up" in refused.stderr and "Traceback" not in refused.stderr
    for run in runs:
        assert cli("cancel", run, "--reason", "a test").returncode == 0


def test_what_died_is_started_again_by_the_next_command(cli: Cli, home: Path, allocation: str) -> None:
    before = json.loads(cli("serve", "--status", "--json").stdout)
    assert before["service"]["answers"]
    for part in ("service", "agent"):
        os.kill(before[part]["pid"], signal.SIGKILL)
    assert cli("status").returncode == 0
    after = json.loads(cli("serve", "--status", "--json").stdout)
    assert after["service"]["answers"]
    assert after["service"]["pid"] != before["service"]["pid"]
    assert after["agent"]["pid"] != before["agent"]["pid"]


def test_stopping_stops_both_and_says_so(cli: Cli, home: Path, allocation: str) -> None:
    assert "agent and service" in cli("serve", "--stop").stdout
    stopped = cli("serve", "--status", "--json")
    assert stopped.returncode == 1
    assert json.loads(stopped.stdout) == {"service": None, "agent": None}
    assert "Nothing was running" in cli("serve", "--stop").stdout


def test_use_is_told_once_where_the_site_counts_gpu_hours_too(cli: Cli, allocation: str) -> None:
    said = cli("usage", allocation)
    assert said.returncode == 0, said.stderr
    assert "Granted" in said.stdout and "GPU-hour\n" not in said.stdout and " = " not in said.stdout


def test_only_a_slurm_machine_is_provisioned(cli: Cli, allocation: str) -> None:
    said = cli("site", "provision", allocation)
    assert said.returncode == 2 and said.stdout == ""
    assert "Machine local keeps no accounts" in said.stderr and "Traceback" not in said.stderr
