"""The table of accelerators: every name people write finds its row, and every row is whole."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.contracts.errors import UsageError
from hanse.machines import accelerators

SAID = {
    "A100-SXM": "a100-sxm-80gb",
    "A100-80GB-SXM": "a100-sxm-80gb",
    "A100-40GB-SXM": "a100-sxm-40gb",
    "NVIDIA A100 80GB PCIe": "a100-pcie-80gb",
    "H100-96GB-HBM2e-500W": "h100-sxm-96gb-500w",
    "NVIDIA H100 80GB HBM3": "h100-sxm-80gb",
    "H100_80GB_SXM5": "h100-sxm-80gb",
    "H200-141GB-SXM": "h200-sxm-141gb",
    "NVIDIA GH200 480GB": "gh200-96gb",
    "MI250X-GCD-64GB": "mi250x-gcd",
    "MI300X": "mi300x-192gb",
    "TPU-v5p": "tpu-v5p",
    "tpu v4": "tpu-v4",
    "RTX4090": "rtx-4090-24gb",
    "gaudi 2": "gaudi2-96gb",
    "GB200": "gb200-186gb",
    "nvidia gb300 nvl72": "gb300-279gb",
}


@pytest.mark.parametrize(("said", "meant"), SAID.items())
def test_names_are_found_however_people_write_them(said: str, meant: str) -> None:
    assert accelerators.key(said) == meant


@settings(deadline=None)
@given(
    name=st.sampled_from(accelerators.names()),
    upper=st.booleans(),
    dash=st.sampled_from("- _/"),
    backwards=st.booleans(),
)
def test_case_dashes_and_order_do_not_count(name: str, upper: bool, dash: str, backwards: bool) -> None:
    words = name.split("-")
    said = dash.join(reversed(words) if backwards else words)
    assert accelerators.key(said.upper() if upper else said) == name


def test_no_two_rows_answer_to_one_name() -> None:
    for name in accelerators.names():
        assert accelerators.key(accelerators.load(name).name) == name


@pytest.mark.parametrize("name", accelerators.names())
def test_every_row_has_peaks_memory_a_node_and_dated_sources(name: str) -> None:
    device, node = accelerators.load(name), accelerators.usual_node(name)
    assert 1e13 < device.peak_flops["bf16"] < 1e16
    assert device.peak_flops.get("fp8", 1e99) >= device.peak_flops["bf16"]
    assert set(device.best_matmul) <= set(device.peak_flops)
    assert all(0.4 < share < 1 for share in device.best_matmul.values())
    assert 1e11 < device.memory_bytes_per_s < 2e13 and device.architecture
    assert node.in_node.bytes_per_s >= node.between_nodes.bytes_per_s
    parts = " ".join(source.part for source in accelerators.sources(name))
    assert all(word in parts for word in ("peak", "memory")) and accelerators.node_sources(name)
    for source in (*accelerators.sources(name), *accelerators.node_sources(name)):
        assert source.url.startswith(("https://", "http://")) or source.confidence == "estimate"
        assert date.fromisoformat(source.read_on).year == 2026


def test_an_unknown_name_lists_its_family_first() -> None:
    with pytest.raises(UsageError, match="near it: h100-sxm-80gb, h100-sxm-96gb-500w, h100-pcie-80gb") as caught:
        accelerators.load("H100-120GB")
    assert caught.value.exit_code == 2
    assert not accelerators.known("H100-120GB") and accelerators.known("h100")
    with pytest.raises(UsageError, match="Known: v100"):
        accelerators.load("abacus")
