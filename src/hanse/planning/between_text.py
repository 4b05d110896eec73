"""The ways of `hanse.planning.between` in words: each figure's arithmetic, and which is proposed and why."""

from __future__ import annotations

from hanse.contracts.plan import Interval
from hanse.contracts.units import NBSP, format_bytes, format_count, format_percent, format_seconds, significant
from hanse.planning import legs_loss
from hanse.planning.between import BYTES_PER_VALUE, WAITING, exchange_s
from hanse.planning.ways import Between, Link, Way

NAMES = {"one machine": "one machine", "apart": "apart, few exchanges", "together": "together in every step"}


def format_speed(bytes_per_s: float) -> str:
    """As links are sold: bits a second, of 1,000."""
    bits = bytes_per_s * 8
    for unit, size in (("Tbit/s", 1e12), ("Gbit/s", 1e9), ("Mbit/s", 1e6)):
        if bits >= size:
            return f"{significant(bits / size)}{NBSP}{unit}"
    return f"{significant(bits / 1e3)}{NBSP}kbit/s"


def link(shown: Link) -> str:
    """The link that is reckoned with and where it comes from."""
    speed = shown.bytes_per_s
    if shown.known:
        return f"Link between machines: {format_speed(speed.expected)}, as given."
    return (
        f"Link between machines: {format_speed(speed.expected)} ({format_speed(speed.low)} to "
        f"{format_speed(speed.high)}), an estimate: nobody measured it; --link says what you have."
    )


def arithmetic(made: Between, way: Way) -> tuple[str, ...]:
    """How the figures of a way came about, a sentence each."""
    if way.kind == "apart":
        return _apart(made, way)
    if way.kind == "together":
        return _together(made, way)
    return ()


def _apart(made: Between, way: Way) -> tuple[str, ...]:
    terms, count, work = way.terms, len(way.legs), made.workload
    assert terms is not None, "legs apart agree on terms"
    sent = way.legs[0].sent_bytes
    speed, courier_s = made.link.bytes_per_s.expected, made.link.courier_s.expected
    took_s = exchange_s(sent, count, terms.fragments, speed, courier_s)
    each = way.legs[0]
    round_s = max(leg.inner_steps * leg.step_time_s.expected for leg in way.legs)
    read = " + ".join(f"{leg.inner_steps} × {leg.batch}" for leg in way.legs)
    said = [
        f"A part: {format_count(work.trainable)} values × {BYTES_PER_VALUE[terms.codec]:.4g} bytes ({terms.codec}) = "
        f"{format_bytes(sent)}; up once and down from {count - 1} other{'s' * (count > 2)}: "
        f"{format_bytes(way.bytes_each)} each outer step.",
        f"Exchange: {format_bytes(way.bytes_each)} / {terms.fragments} fragment{'s' * (terms.fragments > 1)} / "
        f"{format_speed(speed)} + {format_seconds(courier_s)} for the courier = {format_seconds(took_s)}; behind it "
        f"{terms.overlap_steps} inner steps of {format_seconds(each.step_time_s.expected)} go on.",
        "Round: "
        + ", ".join(
            f"{leg.inner_steps} × {format_seconds(leg.step_time_s.expected)} on {leg.machine}" for leg in way.legs
        )
        + f" = {format_seconds(round_s)} at the slowest; {format_percent(_waiting(way).expected)} of it waits.",
        f"Tokens: {way.exchanges:,} round{'s' * (way.exchanges > 1)} × ({read}) sequences × {work.context:,} = "
        f"{format_count(_tokens(made, way))}.",
        *_loss(way),
    ]
    return tuple(said)


def _tokens(made: Between, way: Way) -> int:
    return way.exchanges * sum(leg.inner_steps * leg.batch for leg in way.legs) * made.workload.context


def _loss(way: Way) -> tuple[str, ...]:
    found = way.loss
    if found is None:
        return (f"Loss: nobody has published figures of more than {legs_loss.MOST_LEGS} legs.",)
    return (f"Loss on the same tokens: {format_loss(found.share)}, tuned ({legs_loss.SOURCE}).", *found.outside)


def format_loss(share: Interval) -> str:
    low, expected, high = (f"{each * 100:+.1f}".replace("-", "−") for each in (share.low, share.expected, share.high))
    return f"{expected}{NBSP}% ({low} to {high})"


def _together(made: Between, way: Way) -> tuple[str, ...]:
    count, moved = len(way.legs), way.legs[0].sent_bytes
    speed = made.link.bytes_per_s.expected
    computes_s = max(leg.step_time_s.expected for leg in way.legs)
    return (
        f"Gradients: 2 × {count - 1}/{count} × {format_count(made.workload.trainable)} × 2 bytes = "
        f"{format_bytes(moved)} through each machine's link, each direction, in every step.",
        f"Step: {format_seconds(computes_s)} of computing + {format_bytes(moved)} / {format_speed(speed)} + latency; "
        f"{format_percent(_waiting(way).expected)} of it waits.",
    )


def _waiting(way: Way) -> Interval:
    assert way.waiting is not None, "only one machine alone waits for no other"
    return way.waiting


def proposal(made: Between) -> str:
    """Which way and why, in one sentence."""
    best = made.best
    if best is None:
        soonest = min(made.ways, key=lambda each: each.wall_time_s.expected)
        return (
            f"None of them can be proposed as asked; the soonest would be {NAMES[soonest.kind]} on {_listed(soonest)}."
        )
    where = _listed(best)
    if best.kind == "one machine":
        others = [each for each in made.ways if each.kind == "one machine" and each.against]
        left = f"; {', '.join(each.machines[0] for each in others)} does not" if others else ""
        return f"Train on {where} alone: one machine keeps what was asked{left}, and is the least that can go wrong."
    single = [each for each in made.ways if each.kind == "one machine"]
    gain = 1 - best.wall_time_s.expected / min(each.wall_time_s.expected for each in single)
    because = f"{format_percent(gain)} sooner than the soonest machine alone"
    if all(each.against for each in single):
        because = f"no machine alone keeps what was asked ({single[0].machines[0]} {single[0].against[0]})"
    if best.kind == "apart":
        return f"Train on {where}, apart: {because}. Compare the loss with a short run on one machine first."
    return f"Train on {where} together: {because}, if they can be held at the same time."


def _listed(way: Way) -> str:
    *first, last = way.machines
    return f"{', '.join(first)} and {last}" if first else last


def needed(way: Way) -> str:
    """The link speed a way needs for little waiting."""
    if way.kind == "one machine":
        return "–"
    return format_speed(way.needs_bytes_per_s) if way.needs_bytes_per_s is not None else "none is enough"


def footnote() -> str:
    return f"Link needed: with it {format_percent(WAITING)} of the time waits. Queues are in none of these times."
