"""Which enterprises are linked to an applicant, which are partners, and what public bodies hold in it.

The rules are Article 3 of the annex to Recommendation 2003/361/EC. Shares are exact fractions: 25 % is 25 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from hanse.contracts.enterprise import EnterpriseKind, Group, Tie

PARTNER_FROM = Fraction(1, 4)
MAJORITY = Fraction(1, 2)
INVESTORS: frozenset[EnterpriseKind] = frozenset(
    {
        "public-investment", "venture-capital", "business-angel", "university", "institutional-investor",
        "small-local-authority",
    }
)  # fmt: skip
"""They may hold up to half without becoming partners (Article 3(2), second subparagraph)."""
NO_ENTERPRISES: frozenset[EnterpriseKind] = frozenset({"person", "public-body"})
"""They have no staff or turnover that would be added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """What the ties make of the group. Ids are sorted."""

    linked: tuple[str, ...]
    """The applicant and all that is linked to it, directly or through others."""
    partners: tuple[tuple[Fraction, tuple[str, ...]], ...]
    """The share that counts, and the partner with what is linked to it."""
    spared: tuple[str, ...]
    """Investors who hold a quarter or more and are no partners."""
    public_share: Fraction
    """Held in the applicant by public bodies, directly or through what they control."""


def structure(group: Group) -> Structure:
    """The group's linked enterprises and partners."""
    parts = _components(group)
    own = next(part for part in parts if group.applicant in part)
    partners = []
    spared: set[str] = set()
    for part in parts:
        if part is own:
            continue
        share, passed_over = _between(group, own, part)
        spared |= passed_over
        if share >= PARTNER_FROM:
            partners.append((share, tuple(sorted(part))))
    return Structure(
        linked=tuple(sorted(own)),
        partners=tuple(sorted(partners, key=lambda one: one[1])),
        spared=tuple(sorted(spared)),
        public_share=_public_share(group),
    )


def share(tie: Tie) -> Fraction:
    """Of capital or of votes, whichever is greater (Article 6(2))."""
    return Fraction(str(max(tie.capital, tie.votes)))


def _links(group: Group, id: str) -> bool:
    """Whether ties through this owner link what it owns."""
    one = next(each for each in group.enterprises if each.id == id)
    return one.kind not in NO_ENTERPRISES or (one.kind == "person" and one.same_market)


def _components(group: Group) -> list[set[str]]:
    """The enterprises, those linked to one another together.

    A majority that linked owners hold only jointly links too, so joining goes on until nothing joins any more.
    """
    parts = [{one.id} for one in group.enterprises]
    while True:
        found = _next_join(group, parts)
        if found is None:
            return parts
        first, second = found
        first |= second
        parts.remove(second)


def _next_join(group: Group, parts: list[set[str]]) -> tuple[set[str], set[str]] | None:
    for owners in parts:
        for owned in parts:
            if owners is not owned and any(_controlled(group, owners, id) for id in owned):
                return owners, owned
    return None


def _controlled(group: Group, owners: set[str], owned: str) -> bool:
    ties = [tie for tie in group.ties if tie.owned == owned and tie.owner in owners and _links(group, tie.owner)]
    return any(tie.controls for tie in ties) or sum(Fraction(str(tie.votes)) for tie in ties) > MAJORITY


def _between(group: Group, own: set[str], other: set[str]) -> tuple[Fraction, set[str]]:
    """The greatest share that one side holds in a member of the other, and investors it was not counted of."""
    kinds = {one.id: one.kind for one in group.enterprises}
    held: dict[tuple[str, bool], Fraction] = {}
    spared: dict[tuple[str, str], Fraction] = {}
    for tie in group.ties:
        upstream = tie.owner in other and tie.owned in own
        if not upstream and not (tie.owner in own and tie.owned in other):
            continue
        if kinds[tie.owner] in NO_ENTERPRISES:
            continue
        if kinds[tie.owner] in INVESTORS:
            spared[tie.owner, tie.owned] = spared.get((tie.owner, tie.owned), Fraction()) + share(tie)
            continue
        key = (tie.owned, upstream)
        held[key] = held.get(key, Fraction()) + share(tie)
    passed_over = {owner for (owner, _), part in spared.items() if part >= PARTNER_FROM}
    return min(max(held.values(), default=Fraction()), Fraction(1)), passed_over


def _public_share(group: Group) -> Fraction:
    """Of the applicant, by public bodies and what they control; investors of Article 3(2) do not count."""
    public = {one.id for one in group.enterprises if one.kind == "public-body"}
    kinds = {one.id: one.kind for one in group.enterprises}
    while True:
        more = {
            one.id
            for one in group.enterprises
            if one.id not in public and kinds[one.id] not in INVESTORS and one.id != group.applicant
            and _held_by(group, public, one.id)
        }  # fmt: skip
        if not more:
            break
        public |= more
    return sum((share(tie) for tie in group.ties if tie.owned == group.applicant and tie.owner in public), Fraction())


def _held_by(group: Group, owners: set[str], owned: str) -> bool:
    ties = [tie for tie in group.ties if tie.owned == owned and tie.owner in owners]
    return any(tie.controls for tie in ties) or sum(Fraction(str(tie.votes)) for tie in ties) > MAJORITY
