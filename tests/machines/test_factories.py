"""Factories of any size: at least as large as asked for, whole nodes, every assumption marked."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.contracts.errors import UsageError
from hanse.machines import accelerators, catalogue, factories, facts

counts = st.integers(1, factories.MOST)
kinds = st.sampled_from(accelerators.names())


@settings(deadline=None)
@given(count=counts, name=kinds)
def test_a_factory_of_n_accelerators_has_at_least_n_and_less_than_a_node_more(count: int, name: str) -> None:
    machine = catalogue.load(f"factory-{count}-{name}")
    held = machine.accelerators(machine.nodes or 0)
    assert count <= held < count + machine.accelerators_per_node
    assert machine.accelerator == accelerators.load(name)


@settings(deadline=None)
@given(count=counts, name=kinds)
def test_every_value_has_a_source_and_islands_hold_whole_domains(count: int, name: str) -> None:
    machine = catalogue.load(f"factory-{count}-{name}")
    assert facts.unsourced(machine) == ()
    assert any(source.confidence == "estimate" for source in machine.sources)
    if machine.island is not None:
        assert machine.island.nodes < (machine.nodes or 0)
        assert machine.island.nodes % machine.domain_nodes == 0


@settings(deadline=None)
@given(few=counts, more=counts, name=kinds)
def test_more_accelerators_never_need_fewer_nodes(few: int, more: int, name: str) -> None:
    small, large = (factories.machine(f"factory-{count}-{name}") for count in sorted((few, more)))
    assert (small.nodes or 0) <= (large.nodes or 0)
    assert (small.storage_bytes_per_s or 0) <= (large.storage_bytes_per_s or 0)


@pytest.mark.parametrize("machine_id", factories.READY_MADE)
def test_ready_made_factories_are_those_of_their_size(machine_id: str) -> None:
    made = catalogue.load(machine_id)
    same = catalogue.load(factories.READY_MADE[machine_id])
    assert made.id == machine_id
    assert made.model_copy(update={"id": same.id}) == same


@pytest.mark.parametrize(
    ("machine_id", "said"),
    [
        ("factory-0-b200", "1 to 1,000,000 accelerators, not 0"),
        ("factory-1000001-b200", "1 to 1,000,000 accelerators, not 1,000,001"),
        ("factory-many-b200", "needs a count and an accelerator"),
        ("factory-100", "needs a count and an accelerator"),
        ("factory-100-h1000", "near it: h100-sxm-80gb"),
    ],
)
def test_a_factory_that_cannot_be_gets_one_clear_message(machine_id: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        catalogue.load(machine_id)
    assert caught.value.fix
