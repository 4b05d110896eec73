"""An enterprise with its partners and linked enterprises, and what the size test says of it.

The words are those of Recommendation 2003/361/EC: ties of 25 % and more make partners, control makes linked ones.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from hanse.contracts.base import Contract, Count, Fraction, Identifier

SizeClass = Literal["micro", "small", "medium", "small mid-cap", "large"]
EnterpriseKind = Literal[
    "enterprise", "person", "public-body", "public-investment", "venture-capital", "business-angel", "university",
    "institutional-investor", "small-local-authority",
]  # fmt: skip
"""business-angel: with less than EUR 1.25 million in the enterprise. small-local-authority: autonomous, with an annual
budget under EUR 10 million and fewer than 5,000 inhabitants (Article 3(2) of the annex)."""


class Accounts(Contract):
    """One closed accounting period, over a year. Newly founded ones write a fair estimate."""

    year: int = Field(ge=1900, le=2200)
    """In which it was closed."""
    staff: float = Field(ge=0, allow_inf_nan=False)
    """Annual work units: a part-time person counts in part (Article 5)."""
    turnover_eur: Count
    """Without VAT."""
    balance_sheet_eur: Count
    """The balance sheet's total."""


class Enterprise(Contract):
    """One enterprise or owner. `accounts` cover it alone, or it with those whose `consolidated_in` names it."""

    id: Identifier
    name: str = ""
    kind: EnterpriseKind = "enterprise"
    accounts: tuple[Accounts, ...] = ()
    consolidated_in: Identifier | None = None
    """Its figures stand in that one's consolidated accounts already."""
    same_market: bool = True
    """Of a person: the enterprises they control work in the same or in neighbouring markets (Article 3(3))."""

    @model_validator(mode="after")
    def _each_year_once(self) -> Enterprise:
        years = [one.year for one in self.accounts]
        if len(years) != len(set(years)):
            raise ValueError(f"{self.id} has two accounts for the same year")
        return self


class Tie(Contract):
    """What one holds in another."""

    owner: Identifier
    owned: Identifier
    capital: Fraction = 0.0
    votes: Fraction = 0.0
    controls: bool = False
    """Without a majority of votes: by appointing the board's majority, by contract, or by an agreement."""


class Group(Contract):
    """The applicant with all it is tied to, as the self-assessment asks for it."""

    applicant: Identifier
    enterprises: tuple[Enterprise, ...] = Field(min_length=1)
    ties: tuple[Tie, ...] = ()

    @model_validator(mode="after")
    def _whole(self) -> Group:
        known = [one.id for one in self.enterprises]
        twice = {one for one in known if known.count(one) > 1}
        if twice:
            raise ValueError(f"enterprises: {min(twice)} stands there twice")
        named = [self.applicant, *(each for tie in self.ties for each in (tie.owner, tie.owned))]
        named += [one.consolidated_in for one in self.enterprises if one.consolidated_in]
        for one in named:
            if one not in known:
                raise ValueError(f"enterprises: {one} is named and not described")
        if any(tie.owner == tie.owned for tie in self.ties):
            raise ValueError("ties: an enterprise cannot hold itself")
        return self


class SizeStep(Contract):
    """One line of the calculation, with the figures as they stand after it, where it changed them."""

    text: str
    year: int | None = None
    staff: float | None = None
    turnover_eur: float | None = None
    balance_sheet_eur: float | None = None
    rule: str = ""
    """The article it rests on."""


class SizeResult(Contract):
    """The class and how it came about. `open_questions` are what a person has to look at."""

    size: SizeClass
    steps: tuple[SizeStep, ...]
    linked: tuple[Identifier, ...] = ()
    partners: dict[Identifier, float] = Field(default_factory=dict)
    """Share with which each partner counts, in [0, 1]."""
    open_questions: tuple[str, ...] = ()

    @property
    def is_sme(self) -> bool:
        return self.size in ("micro", "small", "medium")
