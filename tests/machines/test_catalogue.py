"""The catalogue is read by its own contract, and says where each fact comes from."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from hanse.contracts.errors import SpecError, UsageError
from hanse.machines import catalogue

ASKED_FOR = {"lumi-g", "leonardo-booster", "marenostrum5-acc", "jupiter-booster", "dgx-a100", "dgx-h100", "mi300x-node"}


def test_the_catalogue_holds_the_big_machines_and_the_reference_nodes() -> None:
    assert set(catalogue.ids()) >= ASKED_FOR


@pytest.mark.parametrize("machine_id", catalogue.ids())
def test_every_machine_has_sources_with_dates_and_links_between_its_ranks(machine_id: str) -> None:
    machine = catalogue.load(machine_id)
    assert machine.sources
    for source in machine.sources:
        assert date.fromisoformat(source.read_on) <= date(2026, 12, 31)
        assert source.url.startswith("https://") or source.confidence in ("estimate", "observed")
    assert machine.between_nodes is not None
    assert machine.in_node is not None
    assert machine.in_node.bytes_per_s >= machine.between_nodes.bytes_per_s
    assert "bf16" in machine.accelerator.peak_flops
    if machine.status == "operational":
        assert machine.unknown, "no machine is known in full; say what was looked for and not found"
        assert machine.nodes


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
    text = (Path(catalogue.__file__).parent / "catalogue" / "dgx-a100.yaml").read_text()
    path.write_text(text)
    with pytest.raises(SpecError, match='must be "our-cluster"') as caught:
        catalogue.check(path)
    assert caught.value.where.endswith("our-cluster.yaml:2")
    text = text.replace("id: dgx-a100", "id: our-cluster")
    path.write_text(text)
    assert catalogue.check(path).id == "our-cluster"
    path.write_text(text.replace("memory_bytes: 80 GiB", "memory_bytes: plenty"))
    with pytest.raises(SpecError, match=r'accelerator.memory_bytes: must be a whole number, not "plenty"'):
        catalogue.check(path)
    path.write_text(text.replace("kind: cuda", "kind: cuba"))
    with pytest.raises(SpecError, match='did you mean "cuda"'):
        catalogue.check(path)
