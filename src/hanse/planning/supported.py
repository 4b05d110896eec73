"""What Hanse's trainer can execute today. The planner proposes nothing else unless asked."""

from __future__ import annotations

from hanse.contracts.layout import Layout


def refusal(layout: Layout) -> str | None:
    """Why the trainer cannot execute `layout`, as a sentence; None if it can."""
    degrees = [name for name in ("tp", "pp", "cp", "ep") if getattr(layout, name) > 1]
    if degrees:
        return f"Hanse's trainer does not split a model by {', '.join(degrees)} yet; it can by dp and fsdp."
    if layout.recompute == "selective":
        return "Hanse's trainer recomputes none or full; its attention keeps no scores to save selectively."
    return None
