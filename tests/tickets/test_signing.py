from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.contracts.errors import TicketError
from hanse.contracts.ticket import SignedTicket, Ticket, TicketDataset
from hanse.tickets import keys, signing

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
PRIVATE = keys.new_private_key()
PUBLIC = keys.public_key_b64(PRIVATE)


def a_ticket(**changes: object) -> Ticket:
    return Ticket(
        run_id="run-1",
        attempt_id="att-1",
        machine="local",
        spec_hash="0" * 64,
        max_nodes=2,
        max_wall_time_s=3600,
        max_accelerator_seconds=7200,
        datasets=(TicketDataset(name="stdlib", source="python-stdlib", licence="PSF-2.0"),),
        conditions=("name the programme in publications",),
        issued_at=NOW,
        expires_at=NOW + timedelta(days=1),
    ).model_copy(update=changes)


@given(
    nodes=st.integers(1, 10_000),
    conditions=st.lists(st.text(max_size=40), max_size=4).map(tuple),
    seconds=st.integers(0, 10**12),
)
def test_every_ticket_signed_verifies_and_comes_back_unchanged_through_its_file(
    nodes: int, conditions: tuple[str, ...], seconds: int
) -> None:
    ticket = a_ticket(max_nodes=nodes, conditions=conditions, max_accelerator_seconds=seconds)
    lying_beside_the_job = signing.sign(ticket, PRIVATE).to_json()
    assert signing.verify(SignedTicket.from_json(lying_beside_the_job), PUBLIC, at=NOW) == ticket


@pytest.mark.parametrize(
    "change",
    [{"max_nodes": 3}, {"max_accelerator_seconds": 7201}, {"expires_at": NOW + timedelta(days=9)}, {"conditions": ()}],
)
def test_a_ticket_altered_in_any_field_is_refused(change: dict[str, object]) -> None:
    signed = signing.sign(a_ticket(), PRIVATE)
    forged = signed.model_copy(update={"ticket": a_ticket(**change)})
    with pytest.raises(TicketError, match="signature does not match"):
        signing.verify(forged, PUBLIC, at=NOW)


def test_a_ticket_of_another_service_is_refused_by_its_key() -> None:
    signed = signing.sign(a_ticket(), keys.new_private_key())
    with pytest.raises(TicketError, match="signed with key"):
        signing.verify(signed, PUBLIC, at=NOW)


def test_a_ticket_claiming_our_key_without_having_it_is_refused() -> None:
    signed = signing.sign(a_ticket(), keys.new_private_key())
    with pytest.raises(TicketError, match="signature does not match"):
        signing.verify(signed.model_copy(update={"key_id": signing.key_id(PUBLIC)}), PUBLIC, at=NOW)


def test_an_expired_ticket_is_refused_to_the_second() -> None:
    signed = signing.sign(a_ticket(), PRIVATE)
    assert signing.verify(signed, PUBLIC, at=NOW + timedelta(days=1, seconds=-1))
    with pytest.raises(TicketError, match="expired"):
        signing.verify(signed, PUBLIC, at=NOW + timedelta(days=1))


def test_a_clock_a_little_behind_is_forgiven_and_one_far_behind_is_named() -> None:
    signed = signing.sign(a_ticket(), PRIVATE)
    assert signing.verify(signed, PUBLIC, at=NOW - timedelta(minutes=4))
    with pytest.raises(TicketError, match="not valid before"):
        signing.verify(signed, PUBLIC, at=NOW - timedelta(minutes=6))


@pytest.mark.parametrize("nonsense", ["", "not base64!", "c2hvcnQ="])
def test_a_public_key_that_is_none_is_named_as_such(nonsense: str) -> None:
    with pytest.raises(TicketError, match="32 bytes in base64"):
        signing.verify(signing.sign(a_ticket(), PRIVATE), nonsense, at=NOW)


@pytest.mark.parametrize("signature", ["", "%%%", "AAAA"])
def test_a_signature_that_is_no_signature_is_refused(signature: str) -> None:
    signed = signing.sign(a_ticket(), PRIVATE).model_copy(update={"signature": signature})
    with pytest.raises(TicketError, match="signature does not match"):
        signing.verify(signed, PUBLIC, at=NOW)


def test_a_truncated_private_key_is_refused_before_it_signs() -> None:
    with pytest.raises(TicketError, match="31 bytes"):
        signing.sign(a_ticket(), PRIVATE[:31])
