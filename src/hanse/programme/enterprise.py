"""Whether an applicant is an SME or a small mid-cap, with a line for each step of the calculation.

Recommendation 2003/361/EC: linked enterprises count in full, partners by their share, with what is linked to them
(Article 6); a ceiling has to be passed in two accounting periods in a row (Article 4(2)). The ceilings of small
mid-caps are those of Recommendation (EU) 2025/1099. A self-assessment: it helps an officer and binds nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from itertools import pairwise

from hanse.contracts.enterprise import Accounts, Enterprise, Group, SizeClass, SizeResult, SizeStep
from hanse.contracts.errors import UsageError
from hanse.contracts.programme import Dated
from hanse.contracts.units import format_percent
from hanse.programme import ties

DEFINITION = Dated(
    url="https://single-market-economy.ec.europa.eu/smes/sme-fundamentals/sme-definition_en",
    confidence="official",
    checked_on=date(2026, 11, 22),
)
MID_CAP = Dated(
    url="https://eur-lex.europa.eu/eli/reco/2025/1099/oj/eng", confidence="secondary", checked_on=date(2026, 11, 22)
)
PUBLIC_FROM = Fraction(1, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """Fewer persons than `staff`, and turnover or balance sheet not above the amounts in euros."""

    size: SizeClass
    staff: int
    turnover_eur: int
    balance_sheet_eur: int


CEILINGS = (
    Ceiling(size="micro", staff=10, turnover_eur=2_000_000, balance_sheet_eur=2_000_000),
    Ceiling(size="small", staff=50, turnover_eur=10_000_000, balance_sheet_eur=10_000_000),
    Ceiling(size="medium", staff=250, turnover_eur=50_000_000, balance_sheet_eur=43_000_000),
    Ceiling(size="small mid-cap", staff=750, turnover_eur=150_000_000, balance_sheet_eur=129_000_000),
)
SPOKEN: Mapping[SizeClass, str] = {
    "micro": "a micro enterprise",
    "small": "a small enterprise",
    "medium": "a medium-sized enterprise",
    "small mid-cap": "a small mid-cap, so no SME",
    "large": "a large enterprise",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Staff in annual work units, amounts in euros; exact."""

    staff: Fraction = Fraction()
    turnover_eur: Fraction = Fraction()
    balance_sheet_eur: Fraction = Fraction()

    def plus(self, other: Figures, part: Fraction = Fraction(1)) -> Figures:
        return Figures(
            staff=self.staff + part * other.staff,
            turnover_eur=self.turnover_eur + part * other.turnover_eur,
            balance_sheet_eur=self.balance_sheet_eur + part * other.balance_sheet_eur,
        )

    def within(self, ceiling: Ceiling) -> bool:
        return self.staff < ceiling.staff and (
            self.turnover_eur <= ceiling.turnover_eur or self.balance_sheet_eur <= ceiling.balance_sheet_eur
        )


def article(size: SizeClass) -> str:
    """'a small enterprise'."""
    return SPOKEN[size]


def assess(group: Group) -> SizeResult:
    """The size class of the group's applicant.

    Raises:
        UsageError: the applicant has no accounts, not even an estimate.
    """
    members = {one.id: one for one in group.enterprises}
    years = sorted(one.year for one in members[group.applicant].accounts)
    if not years:
        raise UsageError(
            f"{group.applicant} has no accounts", where="organisation.group", fix="Add a period, or a fair estimate."
        )
    made = ties.structure(group)
    steps = [*_relations(group, made)]
    questions: list[str] = []
    inside: list[tuple[int, list[bool]]] = []
    for year in years:
        figures = _add_up(members, group.applicant, made, year, steps, questions)
        inside.append((year, [figures.within(ceiling) for ceiling in CEILINGS]))
        size = _class(inside[-1][1])
        steps.append(_step(f"By the figures of {year} alone it is {article(size)}.", figures, year, "Article 2"))
    size = _class(_over_two_years(inside, steps))
    if made.public_share >= PUBLIC_FROM:
        held = format_percent(float(made.public_share))
        steps.append(SizeStep(text=f"Public bodies hold {held} of it, so it is no SME.", rule="Article 3(4)"))
        if size != "large":
            size = "large"
            questions.append("Whether public ownership rules out a small mid-cap too was not read.")
    steps.append(SizeStep(text=f"It is {article(size)}."))
    return SizeResult(
        size=size,
        steps=tuple(steps),
        linked=tuple(one for one in made.linked if one != group.applicant),
        partners={id: float(part) for part, ids in made.partners for id in ids},
        open_questions=tuple(dict.fromkeys(questions)),
    )


def _relations(group: Group, made: ties.Structure) -> list[SizeStep]:
    """What the ties make of each other enterprise."""
    names = {one.id: one.name or one.id for one in group.enterprises}
    lines = [
        SizeStep(text=f"{names[id]} is linked to it and counts in full.", rule="Article 3(3)")
        for id in made.linked
        if id != group.applicant
    ]
    for part, ids in made.partners:
        said = f"{_listed([names[id] for id in ids])} {'is' if len(ids) == 1 else 'are'} its partner"
        with_ = "" if len(ids) == 1 else ", one with those linked to it,"
        lines.append(
            SizeStep(text=f"{said}{with_} and counts for {format_percent(float(part))}.", rule="Articles 3(2), 6(2)")
        )
    lines += [
        SizeStep(text=f"{names[id]} is an investor who may hold up to half: no partner.", rule="Article 3(2)")
        for id in made.spared
    ]
    if len(lines) == 0:
        lines.append(SizeStep(text="It is autonomous: only its own figures count.", rule="Article 3(1)"))
    return lines


def _add_up(
    members: Mapping[str, Enterprise],
    applicant: str,
    made: ties.Structure,
    year: int,
    steps: list[SizeStep],
    questions: list[str],
) -> Figures:
    """The applicant's figures of `year` with those of its linked enterprises and partners."""
    total = _own(members[applicant], year, questions) or Figures()
    steps.append(_step("Its own figures.", total, year, "Article 6(1)"))
    parts = [(Fraction(1), id) for id in made.linked if id != applicant]
    parts += [(part, id) for part, ids in made.partners for id in ids]
    for part, id in parts:
        one = members[id]
        name = one.name or id
        if one.consolidated_in is not None:
            steps.append(SizeStep(text=f"{name} is in the accounts of {one.consolidated_in} already.", year=year))
            continue
        figures = _own(one, year, questions)
        if figures is None:
            continue
        total = total.plus(figures, part)
        how = "all" if part == 1 else format_percent(float(part))
        steps.append(_step(f"With {how} of {name}.", total, year, "Article 6(2)"))
    return total


def _own(one: Enterprise, year: int, questions: list[str]) -> Figures | None:
    """Its last accounts closed by then; None where nothing is to be counted."""
    closed = [accounts for accounts in one.accounts if accounts.year <= year]
    if not closed:
        if one.kind not in ties.NO_ENTERPRISES:
            questions.append(f"Of {one.name or one.id} there are no accounts up to {year}; it counts as nothing.")
        return None
    return _exact(max(closed, key=lambda accounts: accounts.year))


def _exact(accounts: Accounts) -> Figures:
    return Figures(
        staff=Fraction(str(accounts.staff)),
        turnover_eur=Fraction(accounts.turnover_eur),
        balance_sheet_eur=Fraction(accounts.balance_sheet_eur),
    )


def _over_two_years(periods: Sequence[tuple[int, list[bool]]], steps: list[SizeStep]) -> list[bool]:
    """Within which ceilings it counts as being: a side is changed only by two periods in a row on the other."""
    counted = list(periods[0][1])
    for (before, earlier), (year, now) in pairwise(periods):
        size = _class(counted)
        for index, (was, then, today) in enumerate(zip(tuple(counted), earlier, now, strict=True)):
            if today != was and then != was and year == before + 1:
                counted[index] = today
        if _class(now) != _class(counted):
            said = f"It differs in {year}, and not in two periods in a row: it stays {article(_class(counted))}."
            steps.append(SizeStep(text=said, year=year, rule="Article 4(2)"))
        elif _class(counted) != size:
            said = f"Two periods in a row have it so: from {year} on it is {article(_class(counted))}."
            steps.append(SizeStep(text=said, year=year, rule="Article 4(2)"))
    return counted


def _class(inside: Sequence[bool]) -> SizeClass:
    return next((ceiling.size for ceiling, within in zip(CEILINGS, inside, strict=True) if within), "large")


def _step(text: str, figures: Figures, year: int, rule: str) -> SizeStep:
    return SizeStep(
        text=text, year=year, staff=float(figures.staff), turnover_eur=float(figures.turnover_eur),
        balance_sheet_eur=float(figures.balance_sheet_eur), rule=rule,
    )  # fmt: skip


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
