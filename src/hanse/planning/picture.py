"""A layout drawn as text: a brick is an accelerator, brackets are a node, stages go from left to right."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hanse.contracts.layout import Layout
from hanse.contracts.workload import ModelShape
from hanse.planning.placement import layers_of_ranks, nodes_a_stage, on_node, teams

BRICK: Final = "■"
_ARROW: Final = " → "
_MOST_BRICKS: Final = 16
"""A node of more is written as a number."""
_ROWS: Final = 2


def picture(layout: Layout, *, shape: ModelShape | None = None, width: int = 80) -> tuple[str, ...]:
    """Lines of at most `width` columns: the nodes, then what stands beside what."""
    drawn = _stages(layout, shape, width) if layout.pp > 1 and nodes_a_stage(layout) else _grid(layout, width)
    return (*drawn, *legend(layout, shape=shape, width=width))


def _stages(layout: Layout, shape: ModelShape | None, width: int) -> list[str]:
    held = nodes_a_stage(layout)
    heads = [f"stage {stage + 1}" for stage in range(layout.pp)]
    cells = [[_node(layout, stage * held + row) for stage in range(layout.pp)] for row in range(min(_ROWS, held))]
    layers = (layers_of_ranks(layout, shape) if shape else None) or ()
    uneven = [f"{count} layers" for count in layers] if len(set(layers)) > 1 else []
    wide = max(len(text) for text in (*heads, *uneven, *cells[0]))
    shown = _ends(layout.pp, (width + len(_ARROW)) // (wide + len(_ARROW)))

    def line(texts: list[str], between: str, gap: str) -> str:
        return between.join(gap if stage is None else f"{texts[stage]:{wide}}" for stage in shown).rstrip()

    lines = [line(texts, "   ", " ") for texts in (heads, uneven) if texts]
    lines += [line(row, _ARROW, "…") for row in cells]
    if held > _ROWS:
        lines.append(f"⋮ and {held - _ROWS:,} more node{'s' * (held > _ROWS + 1)} a stage")
    return lines


def _ends(count: int, room: int) -> list[int | None]:
    """All of them, or the first and the last with a gap (None) between."""
    if count <= room:
        return list(range(count))
    return [*range(max(1, room - 2)), None, count - 1]


def _grid(layout: Layout, width: int) -> list[str]:
    first = _node(layout, 0)
    room = max(1, (width + 1) // (len(first) + 1))
    shown = min(layout.nodes, room * _ROWS)
    drawn = [_node(layout, node) for node in range(shown)]
    lines = [" ".join(drawn[start : start + room]) for start in range(0, shown, room)]
    if layout.nodes > shown:
        lines.append(f"⋮ and {layout.nodes - shown:,} more node{'s' * (layout.nodes > shown + 1)}")
    return lines


def _node(layout: Layout, node: int) -> str:
    if layout.ranks_per_node > _MOST_BRICKS:
        return f"[{BRICK} × {layout.ranks_per_node}]"
    text, last = "", None
    for team in teams(on_node(layout, node)):
        stage = team[0].stage
        text += ("" if last is None else " " if last == stage else "→") + BRICK * len(team)
        last = stage
    return f"[{text}]"


def legend(layout: Layout, *, shape: ModelShape | None = None, width: int = 80) -> tuple[str, ...]:
    """What the picture shows and what it cannot, one fact after the other."""
    held = layout.ranks_per_node
    facts = [f"{BRICK} one accelerator", f"[ ] a node of {held}" if held > 1 else "[ ] a node"]
    if layout.tp > 1:
        spans = f"over {-(-layout.tp // held)} nodes" if layout.tp > held else "side by side"
        facts.append(f"{BRICK * min(layout.tp, 4)} {spans}: split each matrix (tp {layout.tp})")
    if layout.pp > 1:
        layers = (layers_of_ranks(layout, shape) if shape else None) or ()
        each = f" of {layers[0]} layer{'s' * (layers[0] > 1)}" if len(set(layers)) == 1 else ""
        facts.append(f"→ next stage{each} (pp {layout.pp})")
    if layout.cp > 1:
        facts.append(f"cp {layout.cp}: share a sequence")
    if layout.fsdp > 1:
        what = {1: "optimiser state", 2: "gradients and optimiser state", 3: "parameters and all state"}[layout.zero]
        facts.append(f"fsdp {layout.fsdp}: share {what}")
    if layout.dp > 1:
        facts.append(f"dp {layout.dp}: copies that add gradients")
    if layout.ep > 1:
        facts.append(f"ep {layout.ep}: share the experts")
    return folded(facts, width, " · ")


def folded(facts: Iterable[str], width: int, between: str) -> tuple[str, ...]:
    """Facts one after the other, on as few lines as they fit on."""
    lines: list[str] = []
    for fact in facts:
        longer = f"{lines[-1]}{between}{fact}" if lines else fact
        if lines and len(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(fact)
    return tuple(lines)
