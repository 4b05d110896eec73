"""The ticket at the door of the data: offline, by signature, name and source."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hanse.contracts import jobenv
from hanse.contracts.errors import TicketError
from hanse.contracts.spec import DatasetSpec
from hanse.contracts.ticket import SignedTicket
from hanse.tickets import keys
from hanse.training import permit
from hanse.training.job import Job
from tests.training.hands import PRIVATE_KEY, make_job, make_run, make_spec, write_texts, write_ticket

KEY = {jobenv.TICKET_KEY: keys.public_key_b64(PRIVATE_KEY)}


@pytest.fixture
def job(tmp_path: Path) -> Job:
    job = make_job(make_run(tmp_path / "run", make_spec(write_texts(tmp_path / "texts"))), tmp_path / "data")
    write_ticket(job.run, 1, job.spec)
    return job


def with_data(job: Job, **changes: str) -> Job:
    (dataset,) = job.spec.data
    return replace(job, spec=job.spec.model_copy(update={"data": (dataset.model_copy(update=changes),)}))


def test_a_genuine_ticket_that_names_the_data_opens_them(job: Job) -> None:
    ticket = permit.require(job, environment=KEY)
    assert ticket is not None and ticket.run_id == "run-1"


def test_a_dataset_the_ticket_does_not_name_is_refused(job: Job) -> None:
    with pytest.raises(TicketError, match=r"does not name the dataset others \(it names: lines\)"):
        permit.require(with_data(job, name="others"), environment=KEY)


def test_a_named_dataset_from_another_source_is_refused(job: Job) -> None:
    with pytest.raises(TicketError, match=r"allows the dataset lines from .*texts, not from /elsewhere"):
        permit.require(with_data(job, source="/elsewhere"), environment=KEY)


def test_a_source_relative_to_train_yaml_is_the_same_source(job: Job) -> None:
    relative = DatasetSpec(name="lines", source="texts/*.txt", licence="CC0-1.0")
    write_ticket(job.run, 1, job.spec.model_copy(update={"data": (relative,)}))
    permit.require(with_data(job, source=str(job.run.root / "texts/*.txt")), environment=KEY)


def test_a_ticket_altered_after_signing_is_refused(job: Job) -> None:
    signed = SignedTicket.from_json(job.attempt.ticket.read_bytes())
    wider = signed.model_copy(update={"ticket": signed.ticket.model_copy(update={"max_nodes": 999})})
    job.attempt.ticket.write_text(wider.to_json())
    with pytest.raises(TicketError, match="signature"):
        permit.require(job, environment=KEY)


def test_a_ticket_of_another_service_is_refused(job: Job) -> None:
    with pytest.raises(TicketError):
        permit.require(job, environment={jobenv.TICKET_KEY: keys.public_key_b64(bytes(32))})


def test_an_expired_ticket_is_refused(job: Job) -> None:
    write_ticket(job.run, 1, job.spec, age_s=7200)
    with pytest.raises(TicketError, match="expired"):
        permit.require(job, environment=KEY)


def test_more_nodes_than_allowed_are_refused(job: Job) -> None:
    with pytest.raises(TicketError, match="allows 8 nodes; the job holds 9"):
        permit.require(replace(job, nodes=9), environment=KEY)


def test_without_key_or_ticket_nothing_opens(job: Job) -> None:
    with pytest.raises(TicketError, match="HANSE_TICKET_KEY is not set"):
        permit.require(job, environment={})
    job.attempt.ticket.unlink()
    with pytest.raises(TicketError, match="has no ticket"):
        permit.require(job, environment=KEY)


def test_training_by_hand_without_a_ticket_is_said_loudly(job: Job, capfd: pytest.CaptureFixture[str]) -> None:
    job.attempt.ticket.unlink()
    assert permit.require(job, no_ticket=True, environment={}) is None
    assert capfd.readouterr().out.startswith("NO TICKET")
