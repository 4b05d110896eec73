"""What the watch compares with: thresholds of computation, datasets really read, days of a permit. Pure.

Thresholds are the gate's own (`ai-act-gpai.yaml`; tests hold the two together): 10^23 FLOP for a general-purpose model,
a third of the original's for who changes one, with what stands in for an unknown original, and 10^25 for systemic risk
with two weeks to notify (Commission guidelines C(2025) 7719, points 17, 60 and 61; AI Act Art. 51(2) and 52(1)).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from hanse.contracts.spec import DatasetSpec, TrainSpec
from hanse.contracts.telemetry import DatasetRead
from hanse.contracts.watch import Difference, Level

NEAR: Final = 0.8
"""Of a threshold: then it is told for the first time."""
NOTIFY_DAYS: Final = 14
WARN_DAYS: Final = (60, 30, 7)
"""Before a permit ends."""
INDICATION, SYSTEMIC = 1e23, 1e25


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """`before` is computation that counts along: the original model's."""

    id: str
    flops: float
    before: float = 0.0
    what: str
    citation: str
    notify_days: int | None = None

    def level(self, flops: float) -> Level | None:
        """How far `flops` of training, with what counts along, have come. The thresholds are exceeded, not reached."""
        total = flops + self.before
        return "crossed" if total > self.flops else "near" if total >= NEAR * self.flops else None


def thresholds(answers: Mapping[str, Any], *, builds_on_model: bool = False) -> tuple[Threshold, ...]:
    """Those that matter for these answers, the smallest first."""
    given = {str(key).lower().replace("_", "-"): value for key, value in answers.items()}
    changes = builds_on_model or _yes(given.get("builds-on-model"))
    original = _number(given.get("original-flops")) if changes else None
    systemic = _yes(given.get("original-systemic"))
    made = [
        Threshold(
            id="systemic", flops=SYSTEMIC, before=original or 0.0, notify_days=NOTIFY_DAYS,
            what="10^25 FLOP: systemic risk is presumed, and the Commission is notified within two weeks",
            citation="AI Act Art. 51(2) and 52(1)",
        )
    ]  # fmt: skip
    if not changes or (original is not None and original <= INDICATION):
        made.append(Threshold(
            id="general-purpose", flops=INDICATION, before=original or 0.0,
            what="10^23 FLOP: a generative model is presumed to be of general purpose, with its provider's documents",
            citation="AI Act Art. 53; Commission guidelines C(2025) 7719, points 17 and 18",
        ))  # fmt: skip
    else:
        said = "the original's" if original is not None else "10^25" if systemic else "10^23"
        base = original if original is not None else SYSTEMIC if systemic else INDICATION
        stands = "" if original is not None else ", which stands in for an original whose computation is not known"
        made.append(Threshold(
            id="modifier", flops=base / 3,
            what=f"a third of {said} ({base / 3:.2g} FLOP){stands}: who changes a model becomes its provider",
            citation="Commission guidelines C(2025) 7719, points 60 and 61",
        ))  # fmt: skip
    return tuple(sorted(made, key=lambda one: one.flops - one.before))


def undeclared(read: Iterable[DatasetRead], declared: Iterable[DatasetSpec]) -> tuple[str, ...]:
    """What was read and was not declared so, one sentence each: another name, source or licence."""
    known = {one.name: one for one in declared}
    found = []
    for one in read:
        said = known.get(one.name)
        if said is None:
            found.append(f"{one.name} was read and is not declared.")
        elif one.licence != said.licence or not _same_source(one.source, said.source):
            found.append(
                f"{one.name} was read from {one.source} under {one.licence}; declared are {said.source} and "
                f"{said.licence}."
            )
    return tuple(found)


def _same_source(read: str, declared: str) -> bool:
    """A path in train.yaml is relative to the run's folder; where it was read it may be written out."""
    return read == declared or ("://" not in declared and read.endswith(f"/{declared.removeprefix('./')}"))


def days_to_warn(valid_until: date, today: date) -> int | None:
    """The tightest of 60, 30 and 7 days that has come; None while the end is further away, and once it has passed."""
    left = (valid_until - today).days
    return None if left < 0 else min((days for days in WARN_DAYS if left <= days), default=None)


def differences(spec: TrainSpec, other: TrainSpec) -> Iterator[Difference]:
    """What `spec` changed against `other`: what it is for, the model, and how it is trained."""
    if not same_words(spec.purpose, other.purpose):
        yield Difference(what="purpose", was=other.purpose or "(not said)", now=spec.purpose or "(not said)")
    if model_of(spec) != model_of(other):
        yield Difference(what="model", was=model_of(other), now=model_of(spec))
    if spec.training != other.training:
        yield Difference(what="training", was=other.training, now=spec.training)


def same_words(one: str, other: str) -> bool:
    """But for case, spaces and a full stop at the end. What the words mean, a person judges."""
    return _folded(one) == _folded(other)


def model_of(spec: TrainSpec) -> str:
    """The model in one line: what its family and size come from; sequence length is none of it."""
    model = spec.model
    if model is None:
        return f"a program of the user's: {spec.command.run if spec.command else ''}"
    shape = model.shape
    if shape is None:
        named = model.preset or model.config or model.entry or ""
    else:
        experts = f", {shape.experts.count} experts" if shape.experts else ""
        named = f"{shape.family}, {shape.layers} layers of {shape.hidden:,} and {shape.ffn:,}{experts}"
    return f"{named}, from {model.weights}" if model.weights else named


def _folded(words: str) -> str:
    return " ".join(words.casefold().split()).rstrip(".")


def _yes(value: object) -> bool:
    return value is True or str(value).strip().lower() in ("yes", "y", "true")


def _number(value: object) -> float | None:
    try:
        return float(str(value)) if value not in (None, "") else None
    except ValueError:
        return None
