"""How jobs are started on catalogued machines: each fact has its own source, and what is guessed says so."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from hanse.contracts.machine import SchedulerFacts
from hanse.machines import catalogue, facts
from hanse.machines.launch_facts import guesses, in_words, launch_facts
from tools.launch_facts import PAGE, page

REAL = [one for one in catalogue.ids() if catalogue.load(one).status == "operational"]


def test_every_fact_of_starting_jobs_has_words() -> None:
    assert set(facts.SCHEDULER_WORDS) == set(SchedulerFacts.model_fields) - {"kind", "cannot"}


@pytest.mark.parametrize("machine_id", REAL)
def test_every_launch_fact_of_a_running_machine_names_its_own_source(machine_id: str) -> None:
    machine = catalogue.load(machine_id)
    assert [one.key for one in launch_facts(machine) if one.source is None] == []
    assert not guesses(machine) or any("How jobs are started" in one for one in machine.unknown)


@pytest.mark.parametrize("machine_id", REAL)
def test_no_source_names_a_fact_that_is_not_there(machine_id: str) -> None:
    machine = catalogue.load(machine_id)
    there = {one.key for one in launch_facts(machine)} | {"scheduler.rendezvous_host_rule"}
    named = {key for source in machine.sources for key in facts.keys(source.part) if key.startswith("scheduler.")}
    assert named <= there


@pytest.mark.parametrize("machine_id", REAL)
def test_what_a_machine_cannot_do_says_why_and_where_that_stands(machine_id: str) -> None:
    cannot = catalogue.load(machine_id).scheduler.cannot
    for one in cannot:
        assert one.url.startswith("https://") and date.fromisoformat(one.read_on)
        assert one.reason in in_words(one)
    assert len({one.capability for one in cannot}) == len(cannot)


def test_the_reference_page_says_what_the_catalogue_says() -> None:
    assert (Path(__file__).parents[2] / PAGE).read_text() == page(), "run tools/launch_facts.py"
