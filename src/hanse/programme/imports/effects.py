"""What each row would do here, from what is here: make an award, change one, nothing, wait for a word, or be refused.

A row is held against what the same row stated when it was last brought in, not against what the allocation holds now:
hours that were since moved, returned or added here are nobody's mistake there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from hanse.contracts.imports import AwardRow, Candidate, Effect, RowEffect
from hanse.contracts.machine import Machine
from hanse.programme.imports import units
from hanse.programme.imports.faults import faults, vat_of
from hanse.programme.imports.names import Known, Register

SHARED = (
    "mode", "title", "purpose", "organisation", "organisation_id", "pic", "vat_number", "organisation_kind", "country",
    "contact_email", "call", "call_reference", "url", "names_may_be_published", "pays_per_use", "decided_on",
    "conditions", "members",
)  # fmt: skip
"""What rows of one award have to agree on; the first is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """An allocation that an earlier import brought, as it was stated then and as it is. Hours are GPU-hours."""

    allocation: str
    stated_hours: int
    stated_ends: date
    stated_starts: date
    ends: date
    free_hours: float
    """Neither used nor set aside."""
    ended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """What the service knows that the rows are about."""

    today: date
    organisations: Register = field(default_factory=lambda: Register(()))
    machines: Mapping[str, Machine] = field(default_factory=dict)
    """Those joined to the service, with their facts."""
    awards: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """The organisation's id, by source and reference of what was brought in."""
    parts: Mapping[tuple[str, str, str, str, str], Part] = field(default_factory=dict)
    """By `AwardRow.place`."""
    out_of_bounds: Mapping[str, str] = field(default_factory=dict)
    """Organisations whose awards these officers may not bring in, with why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A row with its effect, and what doing it takes. Hours and days are of the change."""

    row: AwardRow
    effect: RowEffect
    organisation: Known | None = None
    """None of a new award: it is new here."""
    part: Part | None = None
    more_hours: int = 0
    """Below nought: fewer."""
    new_end: date | None = None


class _Refused(Exception):  # noqa: N818 - it states what happened
    """The row cannot be brought in."""


def effects(rows: Iterable[AwardRow], here: Here) -> tuple[Done, ...]:
    """Every row, in order. Rows of one award are brought in together or not at all while it is new."""
    every = tuple(rows)
    first: dict[tuple[str, str], AwardRow] = {}
    places: dict[tuple[str, str, str, str, str], AwardRow] = {}
    found: list[Done] = []
    fresh = Register(())
    for row in every:
        before, same = first.setdefault(row.award, row), places.setdefault(row.place, row)
        done = _one(row, before, same, here, fresh)
        if done.effect.effect == "create" and done.organisation is None and row.award not in here.awards:
            fresh.add(Known(id=f"line {row.line}", name=row.organisation, **_numbers(row)))
        found.append(done)
    bad = {one.row.award for one in found if one.effect.effect in ("waits", "refused")}
    return tuple(_with_its_award(one, bad, found) for one in found)


def _with_its_award(one: Done, bad: set[tuple[str, str]], every: Sequence[Done]) -> Done:
    """A new award of several machines is not begun with half of them."""
    if one.effect.effect != "create" or one.row.award not in bad:
        return one
    other = next(e for e in every if e.row.award == one.row.award and e.effect.effect in ("waits", "refused"))
    effect: Effect = other.effect.effect
    reason = f"another row of this award (line {other.row.line}) {'waits' if effect == 'waits' else 'is refused'}"
    changed = one.effect.model_copy(update={"effect": effect, "reason": f"{reason}; mend that one first."})
    return Done(row=one.row, effect=changed)


def _one(row: AwardRow, first: AwardRow, same: AwardRow, here: Here, fresh: Register) -> Done:
    try:
        return _judged(row, first, same, here, fresh)
    except _Refused as refused:
        return Done(row=row, effect=_effect(row, "refused", reason=str(refused)))


def _judged(row: AwardRow, first: AwardRow, same: AwardRow, here: Here, fresh: Register) -> Done:
    if same is not row:
        raise _Refused(
            f"line {same.line} is of the same award, machine and partition; leave one out, or tell them apart by part."
        )
    for name in SHARED:
        if getattr(row, name) != getattr(first, name):
            raise _Refused(f"{name} is another than on line {first.line}, which is of the same award; write one.")
    for fault in faults(row):
        raise _Refused(f"{fault.what}. {fault.fix}")
    machine = here.machines.get(row.machine)
    if machine is None:
        raise _Refused(
            f"no machine {row.machine} is joined to this service, or its agent has not yet said what it is; "
            f"joined: {', '.join(sorted(here.machines)) or 'none'}."
        )
    if row.partition and machine.partitions and row.partition not in {one.name for one in machine.partitions}:
        known = ", ".join(one.name for one in machine.partitions)
        raise _Refused(f"{row.machine} has no partition {row.partition}; it has {known}.")
    try:
        converted = units.to_gpu_hours(row.amount, row.unit, machine)
    except ValueError as error:
        raise _Refused(f"{error}.") from None
    told = [converted.said] if converted.said else []
    part = here.parts.get(row.place)
    if part is not None:
        _require_may(here, here.awards.get(row.award, ""))
        return _changed(row, part, converted.gpu_hours, told, here)
    return _made(row, converted.gpu_hours, told, here, fresh)


def _require_may(here: Here, organisation: str) -> None:
    if organisation in here.out_of_bounds:
        raise _Refused(here.out_of_bounds[organisation])


def _made(row: AwardRow, gpu_hours: int, told: list[str], here: Here, fresh: Register) -> Done:
    if row.ends < here.today:
        raise _Refused(f"it ended on {row.ends:%d %B %Y}; awards that still run are brought in.")
    organisation, near = _organisation(row, here)
    if near:
        named = " or ".join(f"{one.name} ({one.why})" for one in near)
        return Done(row=row, effect=_effect(
            row, "waits", gpu_hours, told, candidates=near,
            reason=f"Does «{row.organisation}» mean {named}? Say which it is, or that it is new.",
        ))  # fmt: skip
    if organisation is not None:
        _require_may(here, organisation.id)
    if row.award in here.awards:
        told.append("The award is here already; this adds an allocation to it.")
        if organisation is None or here.awards[row.award] != organisation.id:
            raise _Refused("the award was brought in for another organisation; an award does not change hands here.")
    elif organisation is None:
        _require_one_name(row, fresh)
        told.append(f"{row.organisation} is new here.")
    elif organisation.name != row.organisation:
        told.append(f"It is {organisation.name} here.")
    span = f"{row.starts:%d %B %Y} to {row.ends:%d %B %Y}"
    told.insert(0, f"Opens {gpu_hours:,} GPU-hours, {span}.")
    return Done(row=row, organisation=organisation, effect=_effect(row, "create", gpu_hours, told))


def _require_one_name(row: AwardRow, fresh: Register) -> None:
    """Two rows that mean one new organisation write it in one way."""
    among = fresh.match(row.organisation, **_numbers_of(row))
    near = among.near[0][0] if among.near else among.found
    if near is not None and near.name != row.organisation and row.organisation_id != "new":
        raise _Refused(f"{near.id} names a new organisation {near.name}; write one name, or new as organisation_id.")


def _numbers(row: AwardRow) -> dict[str, frozenset[str]]:
    return {
        "pics": frozenset({row.pic} - {""}),
        "vat_numbers": frozenset({vat_of(row)} - {""}),
    }


def _numbers_of(row: AwardRow) -> dict[str, str]:
    return {"pic": row.pic, "vat_number": vat_of(row)}


def _organisation(row: AwardRow, here: Here) -> tuple[Known | None, tuple[Candidate, ...]]:
    known = here.organisations
    if row.award in here.awards and row.organisation_id in (None, "new"):
        return known.by_id.get(here.awards[row.award]), ()
    if row.organisation_id == "new":
        taken = known.by_name.get(" ".join(row.organisation.casefold().split()))
        if taken is not None:
            raise _Refused(f"an organisation is called {taken.name} already; name it {taken.id}, or change its name.")
        return None, ()
    if row.organisation_id is not None:
        if row.organisation_id not in known.by_id:
            raise _Refused(f"there is no organisation {row.organisation_id} here.")
        return known.by_id[row.organisation_id], ()
    found = known.match(row.organisation, **_numbers_of(row))
    if found.contradiction:
        raise _Refused(f"{found.contradiction}; correct them, or name it by organisation_id.")
    return found.found, tuple(Candidate(id=one.id, name=one.name, why=why) for one, why in found.near)


def _changed(row: AwardRow, part: Part, gpu_hours: int, told: list[str], here: Here) -> Done:
    more = gpu_hours - part.stated_hours
    later = row.ends if row.ends != part.stated_ends else None
    if row.starts != part.stated_starts:
        told.append(f"Its first day stays {part.stated_starts:%d %B %Y}: a day that was granted is not moved.")
    if later is not None and later > part.stated_ends and later <= part.ends:
        told.append(f"Here it ends on {part.ends:%d %B %Y} already.")
    changes_end = later is not None and not (part.stated_ends < later <= part.ends)
    if not more and not changes_end:
        return Done(row=row, part=part, effect=_effect(row, "same", gpu_hours, told, allocation=part.allocation))
    if part.ended and not (later is not None and later >= here.today):
        raise _Refused(f"it ended here on {part.ends:%d %B %Y}; only a later end changes it.")
    if more < 0 and -more > part.free_hours:
        raise _Refused(
            f"{-more:,} GPU-hours less are stated than before, and only {max(0.0, part.free_hours):,.1f} are neither "
            "used nor set aside: what was used is not taken back."
        )
    if later is not None and later < part.stated_ends and later < here.today:
        raise _Refused(f"its end is moved to {later:%d %B %Y}, which is past; suspend it here if it ended there.")
    if more:
        word = "more" if more > 0 else "fewer"
        told.append(f"{abs(more):,} GPU-hours {word} than before ({part.stated_hours:,}).")
    if later is not None and changes_end:
        told.append(f"It ends on {later:%d %B %Y} instead of {part.ends:%d %B %Y}.")
    return Done(
        row=row, part=part, more_hours=more, new_end=later if changes_end else None,
        effect=_effect(row, "change", gpu_hours, told, allocation=part.allocation),
    )  # fmt: skip


def _effect(
    row: AwardRow, effect: Effect, gpu_hours: int = 0, says: Sequence[str] = (), *, reason: str = "",
    candidates: tuple[Candidate, ...] = (), allocation: str | None = None,
) -> RowEffect:  # fmt: skip
    return RowEffect(
        line=row.line, source=row.source, reference=row.reference, organisation=row.organisation, machine=row.machine,
        partition=row.partition, effect=effect, gpu_hours=gpu_hours, says=tuple(says), reason=_sentence(reason),
        candidates=candidates, allocation=allocation,
    )  # fmt: skip


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"
