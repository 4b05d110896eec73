"""A layout drawn on its nodes: a brick an accelerator, a frame a node, pipeline stages from left to right.

Ranks that work on the same sequences are brick; where each works alone, one copy of the model is. What does not fit is
counted in words.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from hanse.contracts.layout import Layout
from hanse.contracts.workload import ModelShape
from hanse.planning.placement import Rank, layers_of_ranks, nodes_a_stage, on_node, teams
from hanse.reporting.markup import Html, h, join

_ROWS: Final = 4
_PAD, _GAP, _TEAM_GAP, _BETWEEN, _TOP = 5, 2, 6, 12, 40
_MOST_BRICKS: Final = 16


class Size(NamedTuple):
    class_: str
    width: int
    brick: int
    height: int


_SIZES: Final = (Size("only-wide", 640, 13, 15), Size("only-narrow", 326, 10, 11))


def layout_figure(layout: Layout, shape: ModelShape | None = None) -> Html:
    """The drawing at both sizes; its label says what the legend beside it does."""
    return join([_drawing(layout, shape, size) for size in _SIZES])


def together(layout: Layout, rank: Rank) -> bool:
    """Whether it is one of those drawn in brick: ranks that work on the same sequences, else one copy of the model."""
    splits_work = layout.tp * layout.pp * layout.cp > 1
    return rank.copy == 0 and (rank.shard == 0 or not splits_work)


def _drawing(layout: Layout, shape: ModelShape | None, size: Size) -> Html:
    staged = layout.pp > 1 and nodes_a_stage(layout) > 0
    parts, bottom, hidden = _staged(layout, shape, size) if staged else _grid(layout, size)
    if hidden:
        parts.append(h("text", hidden, x=0, y=bottom + 16))
        bottom += 22
    return h(
        "svg",
        parts,
        class_=f"chart {size.class_}",
        viewBox=f"0 0 {size.width} {bottom + 4}",
        role="img",
        aria_label=f"The layout on its nodes: {layout.describe()}",
    )


def _width(layout: Layout, size: Size) -> int:
    groups = teams(on_node(layout, 0))
    bricks = min(layout.ranks_per_node, _MOST_BRICKS)
    gaps = (bricks - 1) * _GAP + (len(groups) - 1) * _TEAM_GAP * (layout.tp > 1 or layout.pp > layout.nodes)
    return bricks * size.brick + gaps + 2 * _PAD


def _staged(layout: Layout, shape: ModelShape | None, size: Size) -> tuple[list[Html], int, str]:
    held, wide, tall = nodes_a_stage(layout), _width(layout, size), size.height + 2 * _PAD
    arrow = 22
    step = max(wide, 54) + arrow
    room = max(2, (size.width + arrow) // step)
    shown = list(range(layout.pp)) if layout.pp <= room else [*range(room - 1), layout.pp - 1]
    layers = (layers_of_ranks(layout, shape) if shape else None) or ()
    rows = min(_ROWS, held)
    parts: list[Html] = []
    for column, stage in enumerate(shown):
        x = column * step
        parts.append(h("text", f"Stage {stage + 1}", x=x, y=12, class_="strong"))
        if layers:
            parts.append(h("text", f"{layers[stage]} layers", x=x, y=28))
        for row in range(rows):
            y = _TOP + row * (tall + 9)
            parts.append(_node(layout, stage * held + row, x, y, size))
            if column:
                middle, start = y + tall / 2, x - arrow - (step - arrow - wide)
                dashed = "pred l1" if stage - shown[column - 1] > 1 else "axis"
                parts.append(h("path", class_=dashed, d=f"M{start + 4:.1f} {middle:.1f}H{x - 4}"))
                parts.append(h("path", class_="tip", d=f"M{x - 9} {middle - 4:.1f}l6 4l-6 4z"))
    bottom = _TOP + rows * (tall + 9) - 9
    words = []
    if held > rows:
        words.append(f"{held - rows:,} more nodes a stage")
    if len(shown) < layout.pp:
        first, last = shown[-2] + 2, layout.pp - 1
        words.append(f"stages {first} to {last}" if last > first else f"stage {first}")
    return parts, bottom, f"Not drawn: {' and '.join(words)}." if words else ""


def _grid(layout: Layout, size: Size) -> tuple[list[Html], int, str]:
    wide, tall = _width(layout, size), size.height + 2 * _PAD
    across = max(1, (size.width + _BETWEEN) // (wide + _BETWEEN))
    shown = min(layout.nodes, across * _ROWS)
    parts = [
        _node(layout, node, (node % across) * (wide + _BETWEEN), node // across * (tall + 9), size)
        for node in range(shown)
    ]
    bottom = -(-shown // across) * (tall + 9) - 9
    more = layout.nodes - shown
    return parts, bottom, f"Not drawn: {more:,} more node{'s' * (more > 1)}." if more else ""


def _node(layout: Layout, node: int, x: float, y: float, size: Size) -> Html:
    ranks = on_node(layout, node)[:_MOST_BRICKS]
    first = any(together(layout, rank) for rank in ranks)
    apart = layout.tp > 1 or layout.pp > layout.nodes
    bricks, at = [], x + _PAD
    for team in teams(ranks):
        for rank in team:
            bricks.append(
                h(
                    "rect",
                    class_="gpu gpu--hi" if together(layout, rank) else "gpu",
                    x=at,
                    y=y + _PAD,
                    width=size.brick,
                    height=size.height,
                    rx=1,
                )
            )
            at += size.brick + _GAP
        at += _TEAM_GAP if apart else 0
    frame = h(
        "rect",
        class_="node node--hi" if first else "node",
        x=x + 1,
        y=y + 1,
        width=_width(layout, size) - 2,
        height=size.height + 2 * _PAD - 2,
        rx=2,
    )
    return join(frame, bricks)
