"""Slurm's reasons in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.machines.pending import _EXACT, NOTHING, explain

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("reason", sorted(_EXACT))
def test_each_reason_says_what_it_means_and_what_to_do(reason: str) -> None:
    told = explain(reason, now=NOW)
    assert told.known and told.words.endswith(".") and told.what_you_can_do.endswith(".")


@pytest.mark.parametrize(
    ("reason", "word", "nothing"),
    [
        ("AssocGrpGRESMinutes", "accelerator time", False),
        ("AssocGrpBillingMinutes", "billed time", False),
        ("AssocGrpCPURunMinutesLimit", "core time of running jobs", True),
        ("QOSMaxWallDurationPerJobLimit", "wall time of one job", False),
        ("AssocMaxJobsLimit", "jobs", True),
        ("QOSGrpNodeLimit", "nodes", True),
        ("QOSMaxGRESPerUser", "accelerators for one person", True),
        ("QOSMaxNodePerJobLimit", "nodes in one job", False),
        ("QOSMaxJobsPerUserLimit", "jobs", True),
        ("QOSMinGRES", "accelerators", False),
    ],
)
def test_limits_of_account_and_qos_are_read_from_their_names(reason: str, word: str, nothing: bool) -> None:
    told = explain(reason, now=NOW)
    assert told.known and word in told.words
    assert (told.what_you_can_do == NOTHING) is nothing


def test_what_follows_a_comma_or_stands_in_brackets_does_not_hide_the_reason() -> None:
    told = explain("(ReqNodeNotAvail, UnavailableNodes:node[01-04])", now=NOW)
    assert told.known and "node[01-04]" in told.reason and "drained" in told.words


def test_the_schedulers_own_estimate_is_said_beside_the_reason() -> None:
    assert "in about 3 hours, at 1 March 15:00 UTC" in explain(
        "Priority", expected_start_at=NOW + timedelta(hours=3), now=NOW
    ).words  # fmt: skip
    assert "any moment" in explain("Resources", expected_start_at=NOW - timedelta(days=1), now=NOW).words


@given(st.text(max_size=60))
def test_a_reason_nobody_knows_is_shown_as_it_stands(reason: str) -> None:
    told = explain(reason, now=NOW)
    assert told.known or told.reason in told.words or not told.reason
