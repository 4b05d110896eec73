"""The catalogue is read by its own contract, and says where each fact comes from."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.contracts.errors import SpecError, UsageError
from hanse.machines import catalogue, doubts, facts

ASKED_FOR = {
    "lumi-g", "leonardo-booster", "marenostrum5-acc", "jupiter-booster", "meluxina-gpu", "karolina-gpu", "vega-gpu",
    "deucalion-gpu", "discoverer-plus", "juwels-booster", "arrhenius", "daedalus", "alice-recoque", "it4lia",
    "dgx-a100", "dgx-h100", "dgx-h200", "dgx-b200", "dgx-b300", "gb200-nvl72", "gb300-nvl72", "gh200-node",
    "mi300x-node", "mi355x-node", "ai-factory-25k", "gigafactory-100k",
}  # fmt: skip
FILES = Path(catalogue.__file__).with_name("catalogue")


def test_the_catalogue_holds_the_big_machines_and_the_reference_nodes() -> None:
    assert set(catalogue.ids()) >= ASKED_FOR
    assert {path.stem for path in FILES.iterdir()} <= set(catalogue.ids())


@pytest.mark.parametrize("machine_id", catalogue.ids())
def test_every_machine_has_a_dated_source_for_every_group_of_values(machine_id: str) -> None:
    machine = catalogue.load(machine_id)
    assert machine.id == machine_id
    assert facts.unsourced(machine) == ()
    for source in machine.sources:
        assert facts.keys(source.part), f"{source.part} names no key"
        assert date.fromisoformat(source.read_on) <= date(2026, 12, 31)
        asked = "factory" in machine_id and "as asked for" in source.part  # its id says so, no page
        assert source.url.startswith("https://") or source.confidence in ("estimate", "observed") or asked


@pytest.mark.parametrize("machine_id", catalogue.ids())
def test_every_machine_can_be_planned_on_or_says_what_is_missing(machine_id: str) -> None:
    machine = catalogue.load(machine_id)
    assert machine.between_nodes is not None
    if machine.status != "reference":
        assert machine.unknown, "no machine is known in full; say what was looked for and not found"
        assert machine.grid_gco2_per_kwh
    if machine.status == "planned":
        return
    assert machine.in_node is not None
    assert machine.in_node.bytes_per_s >= machine.between_nodes.bytes_per_s
    assert "bf16" in machine.accelerator.peak_flops
    assert machine.accelerator.architecture and machine.accelerator.best_matmul
    if machine.status == "operational":
        assert machine.nodes


@pytest.mark.parametrize("machine_id", [one for one in catalogue.ids() if "factory" not in one])
def test_nothing_in_the_catalogue_is_odd_but_what_it_says_of_itself(machine_id: str) -> None:
    machine = catalogue.load(machine_id)
    found = [one for one in doubts.doubts(machine) if " is missing: " not in one]
    if machine_id == "alice-recoque":
        assert "is empty" in found.pop(0)
        assert "not in the table" in found.pop(0)
    assert found == []


@pytest.mark.parametrize("one", catalogue.announced(), ids=lambda one: one.id)
def test_what_is_only_announced_is_refused_with_its_reason(one: catalogue.Announced) -> None:
    with pytest.raises(UsageError, match="cannot be planned with yet: its accelerators are not published"):
        catalogue.load(one.id)


@settings(deadline=None)
@given(nodes=st.integers(0, 10**6), machine_id=st.sampled_from(catalogue.ids()))
def test_accelerators_grow_in_proportion_to_nodes(nodes: int, machine_id: str) -> None:
    machine = catalogue.load(machine_id)
    assert machine.accelerators(nodes) == nodes * machine.accelerators(1)


def test_a_gb200_rack_is_one_network_of_72() -> None:
    machine = catalogue.load("gb200-nvl72")
    assert machine.accelerators(machine.domain_nodes) == 72


def test_a_rank_of_lumi_is_one_gcd_and_shares_the_nodes_cards() -> None:
    lumi = catalogue.load("lumi-g")
    assert lumi.accelerators_per_node == 8
    assert lumi.accelerator.memory_bytes == 64 * 2**30
    assert lumi.between_nodes is not None
    four_cards_of_200_gbit_s = 4 * 200e9 / 8
    assert lumi.between_nodes.bytes_per_s * 8 == four_cards_of_200_gbit_s


def test_an_unknown_machine_names_its_nearest_neighbour() -> None:
    with pytest.raises(UsageError, match='did you mean "leonardo-booster"'):
        catalogue.load("leonardo-boster")


def test_an_operators_own_file_is_told_its_mistakes_by_key_and_line(tmp_path: Path) -> None:
    path = tmp_path / "our-cluster.yaml"
    text = (FILES / "dgx-a100.yaml").read_text()
    path.write_text(text)
    with pytest.raises(SpecError, match='must be "our-cluster"') as caught:
        catalogue.check(path)
    assert caught.value.where.endswith("our-cluster.yaml:2")
    text = text.replace("id: dgx-a100", "id: our-cluster")
    path.write_text(text)
    assert catalogue.check(path).id == "our-cluster"
    path.write_text(text.replace("memory_bytes: 2 TiB", "memory_bytes: plenty"))
    with pytest.raises(SpecError, match=r'host_memory_bytes: must be a whole number, not "plenty"'):
        catalogue.check(path)
    path.write_text(text.replace("kind: slurm", "kind: slum"))
    with pytest.raises(SpecError, match='did you mean "slurm"'):
        catalogue.check(path)
    path.write_text(text.replace("accelerator: A100 SXM 80 GB", "accelerator: A100 SXM 85 GB"))
    with pytest.raises(SpecError, match=r"near it: a100-sxm-40gb, a100-sxm-80gb") as caught:
        catalogue.check(path)
    assert caught.value.where.endswith("our-cluster.yaml:7")
