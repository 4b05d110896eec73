"""Attempts along time: waits dashed, jobs solid, one lane a leg; the table beside it holds the same facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from hanse.contracts.run import Attempt, AttemptState, Leg
from hanse.reporting.charts import SIZES
from hanse.reporting.markup import Html, h, join
from hanse.reporting.scale import Scale
from hanse.reporting.words import ZONE

_LANE, _BAR = 58, 28
_STEPS_S = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
_TONES = {
    AttemptState.RUNNING: "a-run",
    AttemptState.UNKNOWN: "a-run",
    AttemptState.FINISHED: "a-done",
    AttemptState.STOPPED: "a-done",
    AttemptState.FAILED: "a-fail",
    AttemptState.CANCELLED: "a-off",
}
_MARKS = {AttemptState.FAILED: " ✕", AttemptState.RUNNING: " ▸"}


class _Lane(NamedTuple):
    name: str
    note: str
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spans:
    """`made_at` ends what still goes on; `names` are the machines', by id; `finding` is read out."""

    legs: tuple[Leg, ...]
    names: dict[str, str]
    notes: dict[str, str]
    made_at: datetime
    running: bool
    finding: str


def attempts_chart(spans: Spans) -> Html:
    """Both sizes, or nothing where no attempt was planned."""
    lanes = [
        _Lane(spans.names.get(leg.machine, leg.machine), spans.notes.get(leg.machine, ""), leg.attempts)
        for leg in spans.legs
        if leg.attempts
    ]
    if not lanes:
        return Html("")
    return join([_draw(spans, lanes, size.class_, 1070 if size.width > 400 else size.width) for size in SIZES])


def _draw(spans: Spans, lanes: Sequence[_Lane], class_: str, width: int) -> Html:
    start, end = _extent(spans, lanes)
    to_x = Scale(0.0, (end - start).total_seconds(), 0.0, width - 16.0)
    top = 26 if spans.running else 4
    floor = top + _LANE * len(lanes)
    body = [_lane(lane, top + index * _LANE, start, to_x, spans.made_at) for index, lane in enumerate(lanes)]
    return h(
        "svg",
        _grid(start, end, to_x, (top, floor), 7 if width > 400 else 3),
        body,
        _now(spans, start, to_x, floor),
        class_=f"chart {class_}",
        viewBox=f"0 0 {width} {floor + 22}",
        role="img",
        aria_label=spans.finding,
    )


def _extent(spans: Spans, lanes: Sequence[_Lane]) -> tuple[datetime, datetime]:
    attempts = [attempt for lane in lanes for attempt in lane.attempts]
    start = min(attempt.planned_at for attempt in attempts)
    ends = [moment for a in attempts for moment in (a.started_at, a.ended_at) if moment is not None]
    if spans.running or not ends:
        ends.append(spans.made_at)
    return start, max(max(ends), start + timedelta(seconds=1))


def _lane(lane: _Lane, top: int, start: datetime, to_x: Scale, at: datetime) -> Html:
    def place(moment: datetime) -> float:
        return to_x((moment - start).total_seconds())

    bars = []
    for attempt in lane.attempts:
        begun = attempt.started_at or attempt.ended_at or max(at, attempt.planned_at)
        if (waited := place(begun) - place(attempt.planned_at)) > 1:
            inside = None if attempt.started_at else str(attempt.number)
            bars.append(_bar("a-wait", "a-tw", place(attempt.planned_at), waited, top, inside))
        if attempt.started_at:
            held = max(2.0, place(attempt.ended_at or max(at, begun)) - place(begun))
            label = f"{attempt.number}{_MARKS.get(attempt.state, '')}"
            bars.append(_bar(_TONES.get(attempt.state, "a-done"), "a-t", place(begun), held, top, label))
    room = int(to_x.end / 6.6) - len(lane.note)
    shown = lane.name if len(lane.name) <= room else f"{lane.name[: max(1, room - 1)]}…"
    name = h("text", h("tspan", shown, class_="strong"), h("tspan", lane.note, dx=8), x=0, y=top + 9)
    return join(name, bars)


def _bar(class_: str, text_class: str, x: float, width: float, top: int, label: str | None) -> Html:
    fits = label is not None and width > 8 * len(label) + 4
    return join(
        h("rect", class_=class_, x=x, y=top + 16, width=width, height=_BAR, rx=2),
        h("text", label, class_=text_class, x=x + width / 2, y=top + 35, text_anchor="middle") if fits else None,
    )


def _grid(start: datetime, end: datetime, to_x: Scale, edges: tuple[int, int], count: int) -> Html:
    """Upright lines at round clock times, with at most `count` of them."""
    top, floor = edges
    span_s = (end - start).total_seconds()
    step_s = next((s for s in _STEPS_S if span_s / s <= count), 86400 * max(1, round(span_s / 86400 / count + 0.5)))
    local = start.astimezone(ZONE)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    passed_s = (local - midnight).total_seconds()
    offset_s = -passed_s % step_s
    shapes = []
    while offset_s <= span_s:
        moment = (start + timedelta(seconds=offset_s)).astimezone(ZONE)
        x = to_x(offset_s)
        label = (
            f"{moment.day} {moment:%b}"
            if step_s >= 86400
            else f"{moment:%H:%M}"
            if step_s >= 60
            else f"{moment:%H:%M:%S}"
        )
        shapes.append(h("line", class_="grid", x1=x, x2=x, y1=top, y2=floor + 4))
        if x < to_x.end - 7 * len(label):
            shapes.append(h("text", label, x=x + (3 if x > 0 else 0), y=floor + 18))
        offset_s += step_s
    return join(shapes)


def _now(spans: Spans, start: datetime, to_x: Scale, floor: int) -> Html | None:
    if not spans.running:
        return None
    x = to_x((spans.made_at - start).total_seconds())
    label = f"now, {spans.made_at.astimezone(ZONE):%H:%M}"
    anchor = "end" if x > to_x.end - 40 else "start" if x < 40 else "middle"
    return join(
        h("line", class_="now", x1=x, x2=x, y1=20, y2=floor + 4),
        h("text", label, class_="now-t", x=x, y=14, text_anchor=anchor),
    )
