"""Machines as a person reads them on a terminal: the catalogue as one table, one machine with all its figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from hanse.cli.views import sentences, table, when
from hanse.contracts.units import NBSP, format_bytes, format_percent, format_seconds, hours_of, significant

if TYPE_CHECKING:
    from hanse.contracts.machine import Calibration, Curve, Link, Machine, Partition
    from hanse.machines.catalogue import Announced

_GROUPS = (("operational", "In operation"), ("planned", "Planned"), ("reference", "Reference"))


def machines(listed: Sequence[Machine]) -> RenderableType:
    """Grouped by status; this machine stands first."""
    shown = table("Id", "Nodes", "GPUs", "Accelerator", "Site", right=("Nodes", "GPUs"), whole=("Id",))
    shown.padding = (0, 1, 0, 0)
    for one in listed:
        if one.scheduler.kind == "local":
            _row(shown, one)
    for status, title in _GROUPS:
        group = [one for one in listed if one.status == status and one.scheduler.kind != "local"]
        if group:
            shown.add_row(Text(title, style="bold"))
        for one in group:
            _row(shown, one)
    return shown


def _row(shown: Table, one: Machine) -> None:
    shown.add_row(
        Text(f"  {one.id}"),
        f"{one.nodes:,}" if one.nodes else "–",
        f"{one.accelerators(one.nodes):,}" if one.nodes else f"{one.accelerators_per_node} a node",
        one.accelerator.name,
        _site(one),
    )


def _site(one: Machine) -> str:
    if one.site == "reference":
        return ""
    return f"{one.site}, {one.country}" if one.country else one.site


def announced(systems: Sequence[Announced]) -> RenderableType:
    names = ", ".join(f"{one.name} ({one.country})" for one in systems)
    return Group(
        "",
        Text(f"Announced, but too little is published to plan on: {names}.", style="dim"),
        Text("A factory of any size is made on the spot: factory-25000-gb200, factory-100000-b200.", style="dim"),
    )


def machine(shown: Machine) -> RenderableType:
    """Every figure with its unit and how sure it is, then what is not known, notes and sources."""
    from hanse.machines import facts, launch_facts

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    grid.add_column(style="dim", no_wrap=True)
    for name, value, key in _figures(shown):
        source = facts.source_of(shown, key) if key else None
        grid.add_row(name, value, source.confidence if source else "")
    parts: list[RenderableType] = [
        Text(f"{shown.name} ({shown.id})", style="bold"),
        Padding(grid, (0, 0, 0, 2)),
    ]
    cannot = [f"{launch_facts.in_words(one)} ({one.confidence})" for one in shown.scheduler.cannot]
    for title, lines in (("Cannot", cannot), ("Not known", shown.unknown), ("Notes", shown.notes)):
        if lines:
            parts += ["", Text(title, style="bold"), sentences(lines)]
    if shown.sources:
        parts += ["", Text("Sources", style="bold")]
        parts.append(
            sentences(
                f"{facts.in_words(s.part)}{f': {s.url}' if s.url else ''} ({s.confidence}, read {s.read_on})"
                for s in shown.sources
            )
        )
    return Group(*parts)


def doubts(found: Sequence[str]) -> RenderableType:
    """What `machines check` would ask about."""
    title = Text("Worth a second look" if found else "Nothing odd was found.", style="bold" if found else "")
    return Group("", title, sentences(found)) if found else Group("", title)


_Figure = tuple[str, RenderableType, str]


def _figures(shown: Machine) -> Iterator[_Figure]:
    nodes = f"{shown.nodes:,}" if shown.nodes else "unknown"
    yield "Site", f"{_site(shown) or 'none'} ({shown.status})", ""
    yield "Nodes", f"{nodes} with {shown.accelerators_per_node} accelerators each", "nodes"
    yield from _device(shown)
    yield from _network(shown)
    yield from _node(shown)
    yield from _running(shown)
    if shown.calibration:
        yield "Measured", _measured(shown.calibration), ""


def _device(shown: Machine) -> Iterator[_Figure]:
    device = shown.accelerator
    architecture = f" ({device.architecture})" if device.architecture else ""
    yield "Accelerator", f"{device.name}{architecture}, {device.kind}", "accelerator"
    peaks = ", ".join(f"{significant(rate / 1e12)} TFLOP/s {name}" for name, rate in device.peak_flops.items())
    yield "Peak, dense", peaks or "unknown", "accelerator.peak_flops"
    if device.best_matmul:
        best = ", ".join(f"{format_percent(share)} {name}" for name, share in device.best_matmul.items())
        yield "Best product", f"{best} of the peak", "accelerator.best_matmul"
    memory = f"{_gib(device.memory_bytes)} at {format_bytes(device.memory_bytes_per_s)}/s"
    yield "Memory", memory, "accelerator.memory_bytes"
    if device.watts:
        yield "Power", f"{significant(device.watts)} W an accelerator at most", "accelerator.watts"


def _gib(size: int) -> str:
    """Memory as it is sold: '80 GiB'."""
    return f"{significant(size / 2**30)}{NBSP}GiB"


def _network(shown: Machine) -> Iterator[_Figure]:
    if shown.in_node:
        yield "In the node", _link(shown.in_node), "in_node.bytes_per_s"
    if shown.domain_nodes > 1:
        together = shown.domain_nodes * shown.accelerators_per_node
        yield "", f"{shown.domain_nodes:,} nodes ({together:,} accelerators) share it", "domain_nodes"
    if shown.between_nodes:
        yield "Between nodes", _link(shown.between_nodes), "between_nodes.bytes_per_s"
    if shown.island:
        taper = f", {format_percent(shown.island.taper)} of it between islands"
        yield "Islands", f"{shown.island.nodes:,} nodes at full bandwidth{taper}", "island.taper"


def _link(link: Link) -> str:
    return f"{link.name}, {format_bytes(link.bytes_per_s)}/s a direction, {format_seconds(link.latency_s)} latency"


def _node(shown: Machine) -> Iterator[_Figure]:
    if shown.host_memory_bytes:
        yield "Main memory", f"{_gib(shown.host_memory_bytes)} a node", "host_memory_bytes"
    if shown.host_bytes_per_s:
        yield "Link to it", f"{format_bytes(shown.host_bytes_per_s)}/s a direction", "host_bytes_per_s"
    if shown.storage_bytes_per_s:
        yield "File system", f"{format_bytes(shown.storage_bytes_per_s)}/s written in all", "storage_bytes_per_s"
    if shown.node_watts:
        yield "Node's power", f"{significant(shown.node_watts / 1e3)} kW", "node_watts"
    if shown.pue:
        yield "PUE", significant(shown.pue), "pue"
    if shown.grid_gco2_per_kwh is not None:
        yield "Electricity", f"{significant(shown.grid_gco2_per_kwh)} g CO2 a kWh", "grid_gco2_per_kwh"
    if shown.reliability:
        low, high = (significant(1e3 * rate, 2) for rate in shown.reliability.failures_per_node_day)
        restart = format_seconds(shown.reliability.restart_s)
        yield "Failures", f"{low} to {high} in a thousand node-days, {restart} to restart", "reliability"


def _running(shown: Machine) -> Iterator[_Figure]:
    for index, part in enumerate(shown.partitions):
        yield "Partitions" if not index else "", _partition(part), "partitions" if not index else ""
    yield "Scheduler", shown.scheduler.kind, ""
    yield from _starting(shown)
    if shown.billing:
        yield (
            "Billing",
            f"{significant(shown.billing.units_per_node_hour)} {hours_of(shown.billing.unit)} a node-hour",
            "billing",
        )
    if shown.internet_on_compute is not None:
        yield (
            "Internet",
            "on compute nodes" if shown.internet_on_compute else "not on compute nodes",
            ("internet_on_compute"),
        )


def _starting(shown: Machine) -> Iterator[_Figure]:
    """How jobs are started: what the job scripts are made of."""
    from hanse.machines.launch_facts import launch_facts

    if shown.scheduler.kind != "local":
        for one in launch_facts(shown):
            yield f"  {one.name}", one.value, one.key


def _partition(part: Partition) -> str:
    limits = []
    if part.max_nodes:
        limits.append(f"{part.max_nodes:,} nodes")
    if part.max_wall_time_s:
        limits.append(format_seconds(part.max_wall_time_s))
    return part.name + (f" ({part.qos})" if part.qos else "") + (f": at most {', '.join(limits)}" if limits else "")


def _measured(calibration: Calibration) -> str:
    busy = "one rank" if calibration.ranks == 1 else f"{calibration.ranks} ranks at once"
    lines = [
        f"{when(calibration.measured_at)} with {busy}, {calibration.software}",
        f"products {significant(max(calibration.matmul.y) / 1e9)}{NBSP}GFLOP/s, "
        f"memory {format_bytes(calibration.memory_bytes_per_s)}/s a rank",
    ]
    named: tuple[tuple[str, Curve | None], ...] = (
        ("all-reduce", calibration.all_reduce),
        ("all-gather", calibration.all_gather),
        ("reduce-scatter", calibration.reduce_scatter),
        ("all-to-all", calibration.all_to_all),
        ("p2p", calibration.p2p),
    )
    lines += [
        f"products in {name} {significant(max(curve.y) / 1e12)}{NBSP}TFLOP/s"
        for name, curve in calibration.products.items()
    ]
    lines.append(_best(named))
    if across := calibration.between_nodes:
        lines.append(f"between {calibration.nodes} nodes: " + _best((
            ("all-reduce", across.all_reduce), ("all-gather", across.all_gather),
            ("reduce-scatter", across.reduce_scatter), ("all-to-all", across.all_to_all), ("p2p", across.p2p),
        )))  # fmt: skip
    return "\n".join(filter(None, lines))


def _best(named: Sequence[tuple[str, Curve | None]]) -> str:
    return ", ".join(f"{name} {format_bytes(max(curve.y))}/s" for name, curve in named if curve)
