"""Accelerators and links of published runs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from hanse.planning import stacks
from hanse.planning.inputs import BF16, FP8, FP32, NVFP4

# name pattern: (bf16, fp8, fp4 TFLOP/s dense, memory TB/s, node GB/s, NIC GB/s, ranks per node, domain, ceiling, units, newer, host)
TABLE: tuple[tuple[str, tuple[float, ...]], ...] = (
    (r"gb300", (2500, 5000, 15000, 8.0, 900, 100, 4, 72, 0.76, 148, 1)),
    (r"gb200", (2500, 5000, 10000, 8.0, 900, 50, 4, 72, 0.73, 148, 1)),
    (r"b300", (2250, 4500, 14000, 8.0, 900, 100, 8, 8, 0.79, 148, 1)),
    (r"b200", (2250, 4500, 9000, 8.0, 900, 50, 8, 8, 0.78, 148, 1)),
    (r"b100", (1750, 3500, 7000, 8.0, 900, 50, 8, 8, 0.78, 148, 1)),
    (r"gh200", (989.4, 1978.9, 0, 4.0, 450, 25, 4, 4, 0.84, 132, 1)),
    (r"h100.*(500w|hbm2e)", (989.4, 1978.9, 0, 2.4, 450, 50, 8, 8, 0.676, 132, 1)),
    (r"h100.*nvl", (835, 1670, 0, 3.9, 300, 50, 8, 2, 0.70, 132, 1)),
    (r"h100.*pcie", (756, 1513, 0, 2.0, 32, 25, 8, 8, 0.65, 114, 1)),
    (r"h800", (989.4, 1978.9, 0, 3.35, 200, 50, 8, 8, 0.80, 132, 1)),
    (r"h20($|[^0])", (148, 296, 0, 4.0, 450, 50, 8, 8, 0.93, 78, 1)),
    (r"h200", (989.4, 1978.9, 0, 4.8, 450, 50, 8, 8, 0.80, 132, 1)),
    (r"h100", (989.4, 1978.9, 0, 3.35, 450, 50, 8, 8, 0.80, 132, 1)),
    (r"a800.*pcie", (312, 0, 0, 1.935, 32, 12.5, 8, 8, 0.80, 108, 0)),
    (r"a800", (312, 0, 0, 2.039, 200, 25, 8, 8, 0.87, 108, 0)),
    (r"a100.*pcie", (312, 0, 0, 1.935, 32, 12.5, 8, 8, 0.78, 108, 0)),
    (r"a100.*40", (312, 0, 0, 1.555, 300, 25, 8, 8, 0.87, 108, 0)),
    (r"a100", (312, 0, 0, 2.039, 300, 25, 8, 8, 0.87, 108, 0)),
    (r"v100.*pcie", (112, 0, 0, 0.9, 16, 6.25, 4, 4, 0.80, 80, 0)),
    (r"v100", (125, 0, 0, 0.9, 150, 12.5, 8, 8, 0.80, 80, 0)),
    (r"l40", (362, 733, 0, 0.864, 28, 12.5, 8, 8, 0.70, 142, 0)),
    (r"a40($|[^0])", (150, 0, 0, 0.696, 28, 12.5, 8, 8, 0.75, 84, 0)),
    (r"a10($|[^0])|a10g", (125, 0, 0, 0.6, 16, 6.25, 8, 8, 0.6, 72, 0)),
    (r"4090", (165, 330, 0, 1.008, 28, 12.5, 8, 8, 0.9, 128, 0)),
    (r"3090", (71, 0, 0, 0.936, 28, 6.25, 8, 8, 0.9, 82, 0)),
    (r"mi355", (2500, 5000, 10000, 8.0, 480, 50, 8, 8, 0.68, 256, 1)),
    (r"mi350", (2300, 4600, 9200, 8.0, 480, 50, 8, 8, 0.68, 256, 1)),
    (r"mi325", (1307, 2614, 0, 6.0, 400, 50, 8, 8, 0.60, 304, 1)),
    (r"mi300a", (980, 1960, 0, 5.3, 384, 25, 4, 4, 0.55, 228, 1)),
    (r"mi300", (1307, 2614, 0, 5.3, 400, 50, 8, 8, 0.51, 304, 1)),
    (r"mi250.*(gcd|half)", (191.5, 0, 0, 1.6384, 100, 12.5, 8, 8, 0.60, 110, 0)),
    (r"mi250", (383, 0, 0, 3.2768, 200, 25, 4, 4, 0.60, 220, 0)),
    (r"tpu.?v?6e|trillium", (918, 0, 0, 1.64, 200, 12.5, 4, 256, 0.80, 4, 0)),
    (r"tpu.?v?5p", (459, 0, 0, 2.765, 300, 12.5, 4, 8960, 0.90, 8, 0)),
    (r"tpu.?v?5", (197, 0, 0, 0.819, 100, 12.5, 4, 256, 0.90, 4, 0)),
    (r"tpu.?v?4", (275, 0, 0, 1.228, 150, 12.5, 4, 4096, 0.90, 8, 0)),
    (r"tpu.?v?3", (123, 0, 0, 0.9, 80, 12.5, 4, 1024, 0.90, 4, 0)),
    (r"gaudi.?3|hl-?325", (1835, 1835, 0, 3.7, 525, 75, 8, 8, 0.70, 64, 0)),
    (r"gaudi.?2|hl-?225", (432, 865, 0, 2.45, 262, 37.5, 8, 8, 0.85, 24, 0)),
    (r"gaudi", (432, 865, 0, 2.45, 262, 37.5, 8, 8, 0.85, 24, 0)),
    (r"910b", (376, 0, 0, 1.6, 196, 25, 8, 8, 0.75, 24, 0)),
)
_LINE_RATES = {"edr": 100.0, "hdr": 200.0, "ndr": 400.0, "xdr": 800.0, "fdr": 56.0, "cx-7": 400.0, "cx7": 400.0}


def find(row: Mapping[str, str], width: int | None, traits: stacks.Traits, *, fitted: bool) -> dict[str, float] | None:
    """The kernel's hardware for a row; None for an accelerator that is not in the table."""
    name = row.get("accelerator", "").lower()
    values = next((each for pattern, each in TABLE if re.search(pattern, name)), None)
    if values is None:
        return None
    bf16, fp8, fp4, memory, node, nic, per_node, domain, ceiling, units, newer = values
    used = traits.precision_of(newer, fp8) if width is None else width
    if used >= FP8 and not fp8:
        used = BF16
    peak = {FP32: bf16 / 2, BF16: bf16}.get(used, fp4 if used == NVFP4 and fp4 else fp8)
    stated = _number(row.get("gpus_per_node", ""))
    per_node = stated or per_node
    if domain < 64:
        domain = min(domain, per_node) if domain < per_node else per_node
    network = network_bytes_per_s(row.get("interconnect", ""), per_node)
    if domain == 72 and not re.search(r"nvl ?72|^$|nvl ?36", row.get("interconnect", "").lower()):
        domain = per_node
    launch = 1.0
    return {
        "peak": peak * 1e12, "peak16": bf16 * 1e12, "ceiling": ceiling, "width": float(used),
        "memory_bytes_per_s": memory * 1e12, "node_bytes_per_s": node * 1e9, "domain": float(domain),
        "nic_bytes_per_s": network or nic * 1e9, "node_latency_s": 3e-6, "latency_s": 1e-5, "units": float(units), "newer": float(newer),
        "host_bytes_per_s": 2.5e10, "launch": launch,
    }  # fmt: skip


def network_bytes_per_s(text: str, per_node: float) -> float | None:
    """'8x HDR200 InfiniBand/node', 'RoCE 1600 Gbps/node', '400Gb/s RDMA per GPU': bytes/s per rank; None if not told."""
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
