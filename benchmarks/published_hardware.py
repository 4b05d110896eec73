"""Accelerators and links of published runs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from itertools import combinations

from hanse.machines import accelerators, rates
from hanse.planning import stacks
from hanse.planning.inputs import BF16, FP8, FP32, NVFP4

_LINE_RATES = {"edr": 100.0, "hdr": 200.0, "ndr": 400.0, "xdr": 800.0, "fdr": 56.0, "cx-7": 400.0, "cx7": 400.0}


def name(said: str) -> str | None:
    """The table's name of an accelerator as a file says it, with words of its own (a node, a power limit) left out."""
    words = [word for word in re.split(r"[^a-z0-9.]+", said.lower()) if word]
    for size in range(len(words), 0, -1):
        for kept in combinations(words, size):
            if accelerators.known(" ".join(kept)):
                return accelerators.key(" ".join(kept))
    return None


def find(
    row: Mapping[str, str], accelerator: str, width: int | None, traits: stacks.Traits, *, fitted: bool
) -> dict[str, float]:
    """The kernel's hardware for a row: the accelerator in its usual node, and what the row says of links."""
    chip, node = accelerators.load(accelerator), accelerators.usual_node(accelerator)
    peaks = chip.peak_flops
    newer = rates.newer(chip)
    used = traits.precision_of(newer, "fp8" in peaks) if width is None else width
    if used >= FP8 and "fp8" not in peaks:
        used = BF16
    peak16 = peaks["bf16"]
    peak8 = peaks.get("fp8", peak16)
    peak = {FP32: peaks.get("fp32", peak16 / 2), BF16: peak16, NVFP4: peaks.get("fp4", peak8)}.get(used, peak8)
    per_node = _number(row.get("gpus_per_node", "")) or float(node.accelerators_per_node)
    text = row.get("interconnect", "")
    domain = per_node * node.domain_nodes if node.domain_nodes > 1 else per_node
    if node.domain_nodes > 1 and text and not re.search(r"nvl ?\d\d|ici|torus", text.lower()):
        domain = per_node
    factors = rates.training_factors(chip) if fitted else rates.TrainingFactors()
    return {
        "peak": peak, "peak16": peak16, "ceiling": rates.ceiling(chip)[0] * factors.products, "width": float(used),
        "memory_bytes_per_s": chip.memory_bytes_per_s, "node_bytes_per_s": node.in_node.bytes_per_s,
        "domain": float(domain),
        "nic_bytes_per_s": network_bytes_per_s(text, per_node) or node.between_nodes.bytes_per_s,
        "node_latency_s": 3e-6, "latency_s": 1e-5, "newer": float(newer), "units": float(rates.units(chip)),
        "host_bytes_per_s": node.host_bytes_per_s or 2.5e10, "launch": factors.host,
    }  # fmt: skip


def network_bytes_per_s(text: str, per_node: float) -> float | None:
    """'8x HDR200 InfiniBand/node', 'RoCE 1600 Gbps/node', '400Gb/s RDMA per GPU': bytes/s per rank; None if untold."""
    lower = text.lower()
    if not lower or "single node" in lower or "nvl72" in lower.replace(" ", ""):
        return None
    count = re.search(r"(\d+)\s*[x×]\s*(?=[a-z0-9])", lower)
    times = float(count.group(1)) if count else 1.0
    rate = re.search(r"(\d+(?:\.\d+)?)\s*(t|g)(b|bit|bps|bits|byte|bytes)?(ps|/s)?\b", lower)
    bits: float | None = None
    if rate:
        bits = float(rate.group(1)) * (1000 if rate.group(2) == "t" else 1)
        if re.search(rate.group(1) + r"\s*[TG]B/?p?s", text):
            bits *= 8
    else:
        named = next((value for key, value in _LINE_RATES.items() if key in lower), None)
        bits = named
    if bits is None:
        return None
    total = times * bits / 8 * 1e9
    if re.search(r"per[ -]?(gpu|accelerator|gcd|device|rank|chip)|/gpu", lower):
        return total
    if re.search(r"(per|/)[ -]?(node|host|server)", lower) or count:
        return total / per_node
    # A bare line rate is a card's: one a rank is usual in nodes of that class.
    return total


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 1 else None
