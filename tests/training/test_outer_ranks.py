"""A leg within the trainer: over several ranks, in its checkpoints, in its ledger, and only as its ticket says."""

from __future__ import annotations

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
