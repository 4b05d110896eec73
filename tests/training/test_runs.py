"""Whole runs by launchers and torchrun: killed, stopped, resumed, ended, refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from safetensors import safe_open

from hanse.contracts.layout import Layout
from hanse.contracts.rundir import RunDir
from hanse.contracts.telemetry import RankRow, StepSummary, TrainResult
from hanse.training import ledger
from hanse.training.data.prepare import prepare
from tests.training.gang import Trained, together, with_layout
from tests.training.hands import Launchers, make_job, make_run, make_spec, write_texts, write_ticket
from tests.waiting import until

pytestmark = pytest.mark.torch

STEPS = 300


def prepared_run(tmp_path: Path, name: str, **changes: object) -> RunDir:
    texts = tmp_path / "texts"
    changes = {"tokens": STEPS * 8 * 16, "checkpoint": {"every_steps": 20}} | changes
    run = make_run(tmp_path / name, make_spec(texts if texts.exists() else write_texts(texts), **changes))
    prepare(make_job(run, tmp_path / "data"))
    return run


def start(run: RunDir, *arguments: str, attempt: int = 1, nodes: int = 1) -> Launchers:
    from hanse.workloads.load import load_spec

    write_ticket(run, attempt, load_spec(run.spec, check_files=False))
    return Launchers(run, run.root.parent / "data", *arguments, attempt=attempt, nodes=nodes)


def ranks_of(launcher_pid: int) -> list[psutil.Process]:
    children = psutil.Process(launcher_pid).children(recursive=True)
    lines = [(each, each.cmdline()) for each in children]
    return [each for each, line in lines if "hanse.training.main" in line and "torch.distributed.run" not in line]


def result_of(run: RunDir) -> TrainResult:
    return TrainResult.from_json(run.result.read_text())


class Survivor(NamedTuple):
    """A run of two attempts over two nodes, in the first of which a rank was killed; beside it, an undisturbed one."""

    run: RunDir
    undisturbed: RunDir
    exit_codes: tuple[list[int], list[int]]
    first_said: str


@pytest.fixture(scope="module")
def survivor(tmp_path_factory: pytest.TempPathFactory) -> Survivor:
    place = tmp_path_factory.mktemp("survivor")
    undisturbed = prepared_run(place, "undisturbed")
    two = Layout(nodes=2, dp=2, micro_batch=4)
    together(2, Trained(with_layout(make_job(undisturbed, place / "data"), two)))
    run = prepared_run(place, "killed")
    first = start(run, nodes=2)
    until(lambda: list(run.checkpoints.glob("step-0000004?")), within_s=120, what="a checkpoint", every_s=0.005)
    (rank,) = ranks_of(first.processes[1].pid)
    rank.kill()
    ended = first.wait(within_s=60)
    assert not run.finished.exists()
    return Survivor(run, undisturbed, (ended, start(run, attempt=2, nodes=2).wait()), first.text)


@pytest.mark.crash
def test_a_rank_killed_mid_run_is_resumed_to_the_very_result_of_an_undisturbed_run(survivor: Survivor) -> None:
    killed, undisturbed = survivor.run, survivor.undisturbed
    ended, resumed = survivor.exit_codes
    assert all(ended), f"both nodes fail, neither hangs: {ended}"
    # Which node holds rank 0 is torchrun's choice; the rank that was left says so on one line.
    assert re.search(r"FAILED rank [01] on \S+: lost contact with another rank", survivor.first_said)

    assert resumed == [0, 0] and killed.finished.exists()
    assert result_of(killed).final_loss == result_of(undisturbed).final_loss
    assert result_of(killed).validation_loss == result_of(undisturbed).validation_loss
    assert result_of(killed).sample_text == result_of(undisturbed).sample_text
    entries = ledger.read(killed.ledger)
    assert [each.first_sample for each in entries] == [(each.first_step - 1) * 8 for each in entries]
    assert sum(each.samples for each in entries) == STEPS * 8 and {each.attempt for each in entries} == {1, 2}


@pytest.mark.crash
def test_a_launcher_killed_takes_torchrun_and_its_ranks_with_it(tmp_path: Path) -> None:
    run = prepared_run(tmp_path, "run", tokens=10**7)
    launchers = start(run)
    until(lambda: run.attempt(1).steps.exists(), within_s=120, what="the first step")
    children = psutil.Process(launchers.processes[0].pid).children(recursive=True)
    assert len(children) >= 2
    launchers.kill()
    assert psutil.wait_procs(children, timeout=10)[1] == []


def test_a_run_asked_to_stop_writes_a_checkpoint_ends_with_0_and_goes_on_later(tmp_path: Path) -> None:
    run = prepared_run(tmp_path, "run", tokens=2 * 10**6, checkpoint={"every_steps": 10**6})
    launchers = start(run, nodes=2)
    until(lambda: run.attempt(1).steps.exists(), within_s=120, what="the first step")
    launchers.processes[1].send_signal(signal.SIGUSR1)
    assert launchers.wait(within_s=60) == [0, 0]
    assert not run.finished.exists() and "stopped as asked at step" in launchers.text
    (checkpoint,) = run.checkpoints.iterdir()
    summaries = [StepSummary.from_json(line) for line in run.attempt(1).steps.read_text().splitlines()]
    assert checkpoint.name == f"step-{summaries[-1].step:08d}"

    again = start(run, attempt=2)
    until(lambda: run.attempt(2).steps.exists(), within_s=120, what="a step after it")
    # A scheduler that ends a job signals every process of it, torchrun and the ranks included.
    for process in again.processes:
        for each in psutil.Process(process.pid).children(recursive=True):
            os.kill(each.pid, signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
    assert again.wait(within_s=60) == [0]
    assert f"resumed at step {summaries[-1].step} from" in again.text and len(list(run.checkpoints.iterdir())) == 2


def test_a_finished_run_leaves_what_others_read(survivor: Survivor) -> None:
    run, result = survivor.run, result_of(survivor.run)
    assert (result.steps, result.tokens, result.vocab) == (STEPS, STEPS * 8 * 16, 300)
    assert sum(one.tokens for one in result.datasets) == result.tokens, "the ledger, summed"
    assert result.sample_text and result.validation_loss is not None and result.training_s > 0
    rows = [RankRow.from_json(line) for line in run.attempt(2).rank_rows(1).read_text().splitlines()]
    assert [each.step for each in rows] == list(range(rows[0].step, STEPS + 1)) and {each.rank for each in rows} == {1}
    assert rows[0].memory_bytes > 1e7 and any(each.checkpoint_s for each in rows)
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        assert (run.export / name).is_file()
    with safe_open(run.export / "model.safetensors", "pt") as file:
        assert sum(file.get_tensor(name).numel() for name in file.keys()) == result.parameters  # noqa: SIM118
    assert json.loads((run.export / "config.json").read_text())["num_hidden_layers"] == 2


def test_a_finished_run_is_never_trained_again_and_its_ending_alone_is_done_again(
    survivor: Survivor, tmp_path: Path
) -> None:
    run = RunDir(shutil.copytree(survivor.run.root, tmp_path / "run"))
    result = result_of(run)
    again = start(run, attempt=3, nodes=2)
    assert again.wait() == [0, 0] and "nothing is left to do" in again.text
    # Killed after the export and before FINISHED:
    run.finished.unlink()
    run.result.unlink()
    data = survivor.run.root.parent / "data"
    said = together(1, Trained(with_layout(make_job(run, data), Layout(micro_batch=8), attempt=4)))
    assert f"resumed at step {STEPS}" in said and f"step {STEPS}/{STEPS}" not in said
    redone = result_of(run)
    assert (redone.final_loss, redone.sample_text) == (result.final_loss, result.sample_text)
    assert redone.validation_loss == pytest.approx(result.validation_loss, rel=1e-6)


MODULE = """
import torch
from torch import nn

class Bag(nn.Module):
    def __init__(self, vocab):
        super().__init__()
        self.embed = nn.Embedding(vocab, 16)
        self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(2))
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(16, vocab)

    def forward(self, ids):
        x = self.embed(ids)
        for layer in self.layers:
            x = x + self.drop(torch.tanh(layer(x)))
        return self.head(x)

def build(vocab, context):
    return Bag(vocab)
"""


def test_a_module_of_the_users_is_trained_as_it_is(tmp_path: Path) -> None:
    model = {"entry": "mine:build", "vocab": 300, "context": 16}
    run = prepared_run(tmp_path, "run", model=model, tokens=8 * 16 * 60)
    run.code.mkdir()
    (run.code / "mine.py").write_text(MODULE)
    together(2, Trained(with_layout(make_job(run, tmp_path / "data"), Layout(fsdp=2, micro_batch=4))))
    result = result_of(run)
    assert result.parameters == 300 * 16 * 2 + 300 + 2 * (16 * 16 + 16)
    assert result.final_loss < result.unigram_entropy
    assert json.loads((run.export / "config.json").read_text())["entry"] == "mine:build"


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(tmp_path: Path) -> None:
    run = prepared_run(tmp_path, "run", optimizer={"lr": 1e30, "clip_norm": 1e30})
    launchers = start(run)
    assert launchers.wait() == [1]
    assert "FAILED rank 0 on" in launchers.text and "at step 2 the loss is" in launchers.text
    assert not list(run.checkpoints.glob("step-*"))


def test_without_a_ticket_for_its_data_a_rank_reads_nothing(tmp_path: Path) -> None:
    run = prepared_run(tmp_path, "run")
    others = make_spec(tmp_path / "elsewhere")
    write_ticket(run, 1, others)
    launchers = Launchers(run, tmp_path / "data")
    assert launchers.wait() == [1]
    assert "it allows the dataset lines from" in launchers.text and not run.attempt(1).steps.exists()


def test_data_that_were_never_prepared_are_asked_for(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", make_spec(write_texts(tmp_path / "texts")))
    launchers = start(run)
    assert launchers.wait() == [2]
    assert "not prepared on this machine" in launchers.text and "hanse train --prepare" in launchers.text
