"""A plan as one HTML document that stands alone: what it takes, where the time and memory go, what would change it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from hanse.contracts.machine import Machine
from hanse.contracts.plan import Expense, Goodput, Interval, Plan
from hanse.contracts.scaling import Option, ScalingTable
from hanse.contracts.units import (
    NBSP,
    format_bytes,
    format_count,
    format_percent,
    format_seconds,
    gpu_hours,
    hours_of,
    significant,
)
from hanse.planning import explain, scaling_text
from hanse.planning.picture import legend
from hanse.reporting.document import document
from hanse.reporting.layout_figure import layout_figure
from hanse.reporting.markup import Child, Html, h, join
from hanse.reporting.plan_charts import machines_figure, memory_figure, scaling_figure, step_figure
from hanse.reporting.tables import Column, facts, section, table
from hanse.reporting.words import plain_date, plural

_SCALING: Final = ("Step time", "Tokens/s", "Speed-up", "Efficiency", "Wall time", "GPU-hours")


def render(
    plan: Plan,
    machine: Machine,
    *,
    options: Sequence[Option] = (),
    scaling: Sequence[ScalingTable] = (),
    names: Mapping[str, str] | None = None,
) -> str:
    """The whole document. `names` are machines' names by id, for `options`."""
    known = {machine.id: machine.name} | dict(names or {})
    main = article(plan, machine, options=options, scaling=scaling, names=known)
    return document(f"Plan for {plan.workload.name}", "Plan", main)


def article(
    plan: Plan, machine: Machine, *, options: Sequence[Option], scaling: Sequence[ScalingTable], names: dict[str, str]
) -> Html:
    """Head and sections, for pages that bring their own shell too."""
    return h(
        "article",
        _head(plan, machine),
        _answer(plan),
        _layout(plan, machine),
        h(
            "div",
            section("memory", _memory_title(plan), h("div", memory_figure(plan), class_="card")),
            section("step", _step_title(plan), h("div", step_figure(plan), class_="card")),
            class_="block cols cols--pair",
        ),
        _runners_up(plan),
        _levers(plan),
        _machines(options, plan, names),
        [_scaling(each) for each in scaling],
        _rests_on(plan),
    )


def _head(plan: Plan, machine: Machine) -> Html:
    work, layout = plan.workload, plan.layout
    lede = (
        f"{plural(layout.nodes, 'node')} train {format_count(work.total_tokens)} tokens in about "
        f"{format_seconds(plan.wall_time_s.expected)} for about "
        f"{significant(gpu_hours(plan.accelerator_seconds))}{NBSP}GPU-hours. "
        "Every figure is predicted; ranges hold four times in five."
    )
    return h(
        "div",
        h("p", f"Plan · made {plain_date(plan.made_at)}", class_="crumbs"),
        h("h1", f"{work.name} on {machine.name}"),
        h("p", lede, class_="lede"),
        class_="head",
    )


def _range(value: Interval, of: float = 1.0) -> str:
    return f"{significant(value.low / of)} to {significant(value.high / of)}"


def _fact(name: str, value: str, range_: str = "") -> Html:
    return h("div", h("dt", name), h("dd", value, h("small", range_, class_="muted") if range_ else None))


def _answer(plan: Plan) -> Html:
    ranks, wall, step = plan.layout.world_size, plan.wall_time_s, plan.step_time.total_s
    share = plan.goodput.share if plan.goodput else None
    mfu = f"{format_percent(plan.mfu)} MFU" + (f", {_percents(plan.mfu_range)}" if plan.mfu_range else "")
    held = plan.memory_range
    between = f"{format_bytes(held.low)} to {format_bytes(held.high)}" if held else ""
    hours = f"{significant(gpu_hours(wall.low * ranks))} to {significant(gpu_hours(wall.high * ranks))}"
    shown = [
        _fact("Step time", format_seconds(step.expected), f"{format_seconds(step.low)} to {format_seconds(step.high)}"),
        _fact("Throughput", f"{format_count(_rounded(plan.tokens_per_s.expected))} tokens/s", mfu),
        _fact("Memory", f"{significant(plan.memory.total / 1e9)} of {format_bytes(plan.memory.limit)}", between),
        _fact("Goodput", format_percent(share.expected), _percents(share)) if share else None,
        _fact("Wall time", format_seconds(wall.expected), f"{format_seconds(wall.low)} to {format_seconds(wall.high)}"),
        _fact("GPU-hours", significant(gpu_hours(plan.accelerator_seconds)), hours),
    ]
    return h("section", h("dl", shown, class_="facts facts--line"), class_="card", aria_label="What it takes")


def _rounded(value: float) -> float:
    return float(f"{value:.2e}")


def _percents(share: Interval) -> str:
    return f"{significant(share.low * 100, 2)} to {format_percent(share.high)}"


def _layout(plan: Plan, machine: Machine) -> Html:
    layout = plan.layout
    shape = plan.workload.shape
    words = legend(layout, shape=shape, width=1000)[0].split(" · ")[2:]
    splits_work = layout.tp * layout.pp * layout.cp > 1
    hi = "Brick-coloured ranks work on the same sequences." if splits_work else ""
    replicas = hi or (f"Brick-coloured is one of {layout.dp} copies of the model." if layout.dp > 1 else "")
    drawn = h(
        "figure",
        layout_figure(layout, shape),
        h("figcaption", f"A brick is one {machine.accelerator.name}, a frame is a node. {replicas}"),
        class_="card",
    )
    degrees = [
        ("Nodes", f"{layout.nodes:,} of {layout.ranks_per_node} accelerators"),
        *(
            (name, f"{getattr(layout, key):,}")
            for name, key in (("dp", "dp"), ("tp", "tp"), ("pp", "pp"), ("cp", "cp"), ("ep", "ep"))
            if getattr(layout, key) > 1
        ),
        *([("fsdp" if layout.zero == 3 else f"ZeRO-{layout.zero}", f"{layout.fsdp:,}")] if layout.fsdp > 1 else []),
        ("Micro-batch", f"{plural(layout.micro_batch, 'sequence')} of {plan.workload.context:,} tokens"),
        ("Accumulate", f"{plural(layout.accumulate, 'micro-batch', 'micro-batches')} a step"),
        ("Recompute", layout.recompute),
        *([("Pipeline", layout.pipeline)] if layout.pp > 1 else []),
        *([("Optimiser", "in main memory")] if layout.offload else []),
    ]
    said = h("ul", [h("li", each) for each in words], class_="list small") if words else None
    beside = h("div", facts(*degrees), said, class_="stack")
    why = h("ul", [h("li", sentence) for sentence in explain.sentences(plan)], class_="list")
    return join(
        section("layout", f"Layout: {layout.describe()}", h("div", drawn, beside, class_="cols cols--lead")),
        section("why", "Why this one", why),
    )


def _memory_title(plan: Plan) -> str:
    return f"Memory: {significant(plan.memory.total / 1e9)} of {format_bytes(plan.memory.limit)} a rank"


def _step_title(plan: Plan) -> str:
    total = sum(plan.step_time.parts.values()) or 1.0
    computing = sum(plan.step_time.parts.get(part, 0.0) for part in ("matmul", "attention", "memory-bound", "head"))
    step = format_seconds(plan.step_time.total_s.expected)
    return f"One step: {step}, of which {format_percent(computing / total)} computes"


def _runners_up(plan: Plan) -> Html | None:
    if len(plan.considered) < 2:
        return None
    expected = plan.step_time.total_s.expected
    columns = ("Layout", Column("Step time", True), Column("Against it", True), Column("Memory", True), "Why not")
    rows: list[Sequence[Child]] = []
    for one in plan.considered:
        chosen = explain.same(plan.layout, one.layout)
        rows.append(
            (
                one.layout.describe(),
                format_seconds(one.step_time_s),
                "" if chosen else change(one.step_time_s / expected),
                format_bytes(one.memory_bytes),
                h("b", "Chosen") if chosen else one.note,
            )
        )
    weighed = h("p", f"{plan.searched:,} layouts were weighed.", class_="small muted")
    return section("others", "Runners-up and near misses", table(columns, rows), weighed)


def change(ratio: float) -> str:
    """+ 20 %, − 5 %, 'as now'; a large one as a factor."""
    if abs(ratio - 1) < 0.005:
        return "as now"
    if ratio >= 2:
        return f"×{NBSP}{significant(ratio, 2)}"
    return f"{'+' if ratio > 1 else '−'}{NBSP}{format_percent(abs(ratio - 1))}"


def _levers(plan: Plan) -> Html | None:
    if not plan.levers:
        return None
    columns = (
        "Change", "Layout then", Column("Step time", True), Column("Wall time", True), Column("GPU-hours", True),
    )  # fmt: skip
    rows: list[Sequence[Child]] = [
        (
            lever.change[0].upper() + lever.change[1:],
            explain.told(plan.layout, lever.layout),
            change(lever.step_time_s / plan.step_time.total_s.expected),
            change(lever.wall_time_s / plan.wall_time_s.expected),
            change(lever.accelerator_seconds / (plan.accelerator_seconds or 1)),
        )
        for lever in plan.levers
    ]
    return section("levers", "What would change it", table(columns, rows))


def _machines(options: Sequence[Option], plan: Plan, names: dict[str, str]) -> Html | None:
    if not options:
        return None
    columns = (
        "Machine", "Best", Column("Nodes", True), Column("Wall time", True), Column("GPU-hours", True),
        Column("MFU", True), "Layout",
    )  # fmt: skip
    rows: list[Sequence[Child]] = [
        (
            join(names.get(one.machine, one.machine), h("small", h("code", one.machine))),
            h("b", "■") if one.best else None,
            f"{one.nodes:,}",
            format_seconds(one.wall_time_s.expected),
            significant(gpu_hours(one.accelerator_seconds)),
            format_percent(one.mfu),
            one.layout.describe().split(", ", 1)[-1],
        )
        for one in explain.notable(options)
    ]
    said = "Of each machine the cheapest size, and the soonest of those that nothing beats in both (■)."
    note = h("p", said, class_="small muted")
    return section("machines", "Other machines and sizes", machines_figure(options, plan), table(columns, rows), note)


def _scaling(scaling: ScalingTable) -> Html:
    names = ("Nodes", *(["Batch"] if scaling.kind == "weak" else []), *_SCALING)
    cells = [dict(zip(scaling_text.COLUMNS, scaling_text.cells(row), strict=True)) for row in scaling.rows]
    return section(
        f"scaling-{scaling.kind}",
        scaling_text.heading(scaling),
        scaling_figure(scaling),
        table([Column(name, name != "Nodes") for name in names], [[row[name] for name in names] for row in cells]),
        h("p", scaling_text.footnote(scaling), class_="small muted"),
    )


def _rests_on(plan: Plan) -> Html:
    kept, spent = plan.goodput, plan.expense
    listed = facts(
        *_held(kept),
        ("The site charges", _charge(spent)),
        ("Energy", _energy(plan)),
        ("CO₂", f"{_range(spent.co2_grams, 1e6)}{NBSP}t" if spent and spent.co2_grams else None),
        ("Machine", h("code", f"{plan.machine} {plan.machine_digest[:12]}")),
    )
    return section(
        "rests",
        "Failures, energy, and what this rests on",
        listed,
        _listed("Outside what was validated", plan.outside),
        _listed("Estimates", plan.estimates),
    )


def _energy(plan: Plan) -> str | None:
    if plan.expense is None:
        return None
    joules = plan.expense.energy_joules
    return f"{_range(joules, 3.6e9)}{NBSP}MWh" if joules else "unknown: the machine's power is not published"


def _held(kept: Goodput | None) -> list[tuple[str, Child]]:
    """What failures and checkpoints take."""
    if kept is None:
        return []
    every, each = format_seconds(kept.checkpoint_every_s), format_seconds(kept.checkpoint_s)
    rows: list[tuple[str, Child]] = [
        ("Failures", f"{_range(kept.failures_per_day)} a day"),
        ("Checkpoint", f"every {every}, {each} each"),
        ("Restart", f"{format_seconds(kept.restart_s)} after a failure"),
    ]
    if kept.stragglers > 0:  # else the step time holds it
        rows.append(("Slowest node", f"costs {format_percent(kept.stragglers)} of a step"))
    return rows


def _charge(spent: Expense | None) -> str | None:
    if spent is None or spent.amount is None or spent.unit is None:
        return None
    return f"about {format_count(spent.amount.expected)} {hours_of(spent.unit)}"


def _listed(title: str, lines: Sequence[str]) -> Html | None:
    return join(h("h3", title), h("ul", [h("li", each) for each in lines], class_="list small")) if lines else None
