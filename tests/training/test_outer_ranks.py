"""A leg within the trainer: over several ranks, in its checkpoints, in its ledger, and only as its ticket says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from hanse.contracts.errors import TicketError
from hanse.contracts.layout import Layout
from hanse.contracts.outer import OuterLaunch, OuterLeg, OuterTerms
from hanse.contracts.rundir import RunDir
from hanse.contracts.telemetry import TrainResult
from hanse.contracts.ticket import SignedTicket
from hanse.tickets import keys, signing
from hanse.training import ledger, permit
from hanse.training.job import Job
from hanse.training.outer import trail
from tests.training.federation import courier
from tests.training.gang import Trained, together, with_layout
from tests.training.hands import PRIVATE_KEY, make_job, make_run, make_spec, variables, write_texts, write_ticket

pytestmark = pytest.mark.torch

KEY = bytes([7]) * 32


def leg_of(tmp_path: Path, name: str, texts: Path, **terms: object) -> Job:
    """The one leg of a run of its own: its data are prepared, its launch lies there."""
    run = make_run(tmp_path / name, make_spec(texts, tokens=8 * 16 * 12))
    alone = OuterLeg(name="lumi", public_key=keys.public_key_b64(KEY))
    agreed = OuterTerms.model_validate({"run_id": "run-1", "legs": [alone], "inner_steps": 4, **terms})
    run.outer.write_text(OuterLaunch(leg="lumi", terms=agreed).to_json())
    run.exchange_key.write_bytes(KEY)
    return replace(make_job(run, tmp_path / "data"), outer=OuterLaunch(leg="lumi", terms=agreed))


def weights_of(run: RunDir) -> dict[str, np.ndarray]:
    return load_file(run.export / "model.safetensors")


def test_a_leg_comes_to_the_same_weights_on_one_rank_and_sharded_over_two_also_when_stopped(tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "texts")
    one = with_layout(leg_of(tmp_path, "one", texts, fragments=2, codec="int8"), Layout(nodes=1, micro_batch=8))
    together(1, Trained(one))
    sharded = Layout(nodes=1, fsdp=2, micro_batch=4)
    two = with_layout(leg_of(tmp_path, "two", texts, fragments=2, codec="int8"), sharded)
    together(2, Trained(two, stop_after=7))
    assert not two.run.finished.exists()
    together(2, Trained(with_layout(two, sharded, attempt=2)))

    expected, found = weights_of(one.run), weights_of(two.run)
    assert all(np.allclose(found[name], expected[name], atol=2e-4) for name in expected)
    rows = trail.read(two.run.outer_rows)
    assert [(row.outer_step, row.fragment) for row in rows if row.what == "applied"] == [
        (step, fragment) for step in range(3) for fragment in range(2)
    ]
    assert {row.attempt for row in rows} == {1, 2} and all(row.received_bytes == 0 for row in rows)
    result = TrainResult.from_json(two.run.result.read_bytes())
    assert (result.steps, result.tokens) == (12, 8 * 16 * 12)
    assert sum(each.samples for each in ledger.read(two.run.ledger)) == 8 * 12


def test_a_leg_whose_products_are_split_over_ranks_comes_to_the_weights_of_one_rank(tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "texts")
    one = with_layout(leg_of(tmp_path, "one", texts, fragments=2), Layout(nodes=1, micro_batch=8))
    together(1, Trained(one))
    layout = Layout(nodes=1, fsdp=2, tp=2, micro_batch=4)
    split = with_layout(leg_of(tmp_path, "split", texts, fragments=2), layout)
    together(layout.world_size, Trained(split))
    expected, found = weights_of(one.run), weights_of(split.run)
    assert expected.keys() == found.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-5, err_msg=name)
    ours, theirs = ([row.norm for row in trail.read(each.run.outer_rows) if row.norm] for each in (one, split))
    assert theirs == pytest.approx(ours, rel=1e-4) and len(ours) > 6


def test_a_leg_trains_only_under_the_terms_that_its_ticket_names(tmp_path: Path) -> None:
    job = leg_of(tmp_path, "run", write_texts(tmp_path / "texts"))
    environment = variables(job.run, tmp_path / "data")
    found = Job.from_environment(environment)
    assert found.outer == job.outer and found.steps == 12

    write_ticket(job.run, 1, found.spec)
    with pytest.raises(TicketError, match="does not allow the terms"):
        permit.require(found, environment=environment)
    assert found.outer is not None
    ticket = SignedTicket.from_json(job.run.attempt(1).ticket.read_bytes()).ticket
    named = ticket.model_copy(update={"outer_sha256": found.outer.terms.digest()})
    job.run.attempt(1).ticket.write_text(signing.sign(named, PRIVATE_KEY).to_json())
    assert permit.require(found, environment=environment) == named
    with pytest.raises(TicketError, match=r"outer.json is missing"):
        permit.require(replace(found, outer=None), environment=environment)


def test_a_ticket_signed_before_legs_were_known_is_still_genuine(tmp_path: Path) -> None:
    job = make_job(make_run(tmp_path / "run", make_spec(write_texts(tmp_path / "texts"))), tmp_path / "data")
    write_ticket(job.run, 1, job.spec)
    ticket = SignedTicket.from_json(job.run.attempt(1).ticket.read_bytes()).ticket
    assert b"outer_sha256" not in ticket.canonical()
    assert b"outer_sha256" in ticket.model_copy(update={"outer_sha256": "0" * 64}).canonical()


SCRIPT = """
import torch
from hanse.training.session import Session, run

def main():
    session = Session(steps=12, batch=4, checkpoint_every=3)
    torch.manual_seed(5)
    module = session.spread(torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)))
    data = torch.linspace(-1, 1, 300).view(100, 3)
    for step in session.steps(torch.optim.AdamW(module.parameters(), lr=0.01)):
        rows = torch.from_numpy(step.rows(100))
        step.learn((module(data[rows]).squeeze(-1) - data[rows].sum(1)).square().mean())
        session.say(f"rows {sorted(rows.tolist())}")
    session.finish()

run(main, ranks=1)
"""


def test_a_loop_of_ones_own_is_a_leg_without_a_line_changed(tmp_path: Path) -> None:
    names = ("lumi", "leonardo")
    legs = (OuterLeg(name=name, public_key=keys.public_key_b64(bytes([n]) * 32)) for n, name in enumerate(names))
    agreed = OuterTerms(run_id="run-1", inner_steps=3, legs=tuple(legs))
    processes = []
    for number, name in enumerate(names):
        home = tmp_path / name
        run = RunDir(home / "run")
        run.root.mkdir(parents=True)
        (home / "train.py").write_text(SCRIPT)
        run.outer.write_text(OuterLaunch(leg=name, terms=agreed).to_json())
        run.exchange_key.write_bytes(bytes([number]) * 32)
        environment = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "OMP_NUM_THREADS": "1"}
        with (home / "log").open("wb") as log:
            processes.append(
                subprocess.Popen(
                    [sys.executable, str(home / "train.py")], env={**os.environ, **environment}, stdout=log, stderr=log
                )
            )
    try:
        with courier(tmp_path, inside="run"):
            codes = [each.wait(180) for each in processes]
    finally:
        for each in processes:
            each.kill()
    said = [(tmp_path / name / "log").read_text() for name in names]
    assert codes == [0, 0], "\n\n".join(said)
    first, second = (weights_of(RunDir(tmp_path / name / "run")) for name in names)
    assert all(np.array_equal(first[name], second[name]) for name in first)
    # Together they train the twelve steps of four samples: six steps each, and no sample is read twice.
    rows = [row for text in said for line in re.findall(r"rows \[(.*)\]", text) for row in line.split(", ")]
    assert len(rows) == 12 * 4 == len(set(rows))
