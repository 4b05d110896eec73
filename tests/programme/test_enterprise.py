"""The size test: cases worked out by hand from the articles, and laws."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hanse.contracts.enterprise import Accounts, Enterprise, Group, SizeResult, Tie
from hanse.contracts.errors import UsageError
from hanse.programme.enterprise import assess

M = 1_000_000


def firm(id: str, staff: float = 0, turnover: int = 0, balance: int = 0, **more: Any) -> Enterprise:
    accounts = (Accounts(year=2025, staff=staff, turnover_eur=turnover, balance_sheet_eur=balance),)
    return Enterprise(id=id, **{"accounts": accounts, **more})


def owner(id: str, kind: str) -> Enterprise:
    return Enterprise(id=id, kind=kind)


def holds(a: str, b: str, share: float, votes: float | None = None, **more: Any) -> Tie:
    return Tie(owner=a, owned=b, capital=share, votes=share if votes is None else votes, **more)


def sized(*enterprises: Enterprise, ties: tuple[Tie, ...] = ()) -> SizeResult:
    return assess(Group(applicant="us", enterprises=enterprises, ties=ties))


US = firm("us", 40, 8 * M, 6 * M)


@pytest.mark.parametrize(
    ("staff", "turnover", "balance", "size"),
    [
        (9.9, 2 * M, 50 * M, "micro"),
        (10, 2 * M, 2 * M, "small"),
        (49, 10 * M + 1, 10 * M, "small"),
        (49, 10 * M + 1, 10 * M + 1, "medium"),
        (249, 50 * M, 900 * M, "medium"),
        (249, 50 * M + 1, 43 * M + 1, "small mid-cap"),
        (250, 1 * M, 1 * M, "small mid-cap"),
        (749, 150 * M, 900 * M, "small mid-cap"),
        (750, 1 * M, 1 * M, "large"),
        (10, 151 * M, 130 * M, "large"),
    ],
)
def test_the_ceilings_of_an_autonomous_enterprise(staff: float, turnover: int, balance: int, size: str) -> None:
    said = sized(firm("us", staff, turnover, balance))
    assert said.size == size
    assert said.steps[0].text.startswith("It is autonomous")


def test_a_linked_parent_counts_in_full_and_the_small_daughter_is_no_sme() -> None:
    said = sized(US, firm("parent", 300, 60 * M, 55 * M), ties=(holds("parent", "us", 0.6),))
    assert said.size == "small mid-cap"
    assert not said.is_sme
    assert said.linked == ("parent",)
    last = said.steps[-2]
    assert (last.staff, last.turnover_eur, last.balance_sheet_eur) == (340, 68 * M, 61 * M)
    assert any("parent is linked to it and counts in full" in step.text for step in said.steps)


def test_a_partner_counts_by_the_greater_of_capital_and_votes() -> None:
    said = sized(US, firm("partner", 100, 20 * M, 10 * M), ties=(holds("partner", "us", 0.25, votes=0.33),))
    assert said.partners == {"partner": 0.33}
    assert said.size == "medium"
    assert said.steps[-2].staff == pytest.approx(40 + 33)
    assert said.steps[-2].turnover_eur == pytest.approx(8 * M + 6_600_000)


def test_less_than_a_quarter_makes_no_partner() -> None:
    said = sized(US, firm("other", 9000, 900 * M, 900 * M), ties=(holds("other", "us", 0.2499),))
    assert (said.size, said.partners, said.linked) == ("small", {}, ())


def test_a_partners_linked_enterprises_count_with_it_and_its_own_partners_do_not() -> None:
    said = sized(
        US, firm("partner", 100), firm("its-daughter", 100), firm("its-partner", 9000),
        ties=(holds("partner", "us", 0.3), holds("partner", "its-daughter", 1.0), holds("its-partner", "partner", 0.3)),
    )  # fmt: skip
    assert said.partners == {"partner": 0.3, "its-daughter": 0.3}
    assert said.steps[-2].staff == pytest.approx(40 + 60)


def test_a_linked_enterprises_partner_counts_by_its_share() -> None:
    said = sized(
        US,
        firm("daughter", 20),
        firm("its-partner", 200),
        ties=(holds("us", "daughter", 0.7), holds("daughter", "its-partner", 0.4)),
    )
    assert said.linked == ("daughter",)
    assert said.steps[-2].staff == pytest.approx(40 + 20 + 80)


def test_sisters_are_linked_through_their_parent() -> None:
    said = sized(
        US, firm("parent", 1), firm("sister", 800), ties=(holds("parent", "us", 0.51), holds("parent", "sister", 1.0))
    )
    assert said.linked == ("parent", "sister")
    assert said.size == "large"


def test_half_of_the_votes_is_a_partner_and_a_vote_more_is_linked() -> None:
    assert sized(US, firm("other", 10), ties=(holds("other", "us", 0.5),)).partners == {"other": 0.5}
    assert sized(US, firm("other", 10), ties=(holds("other", "us", 0.501),)).linked == ("other",)


def test_control_without_a_majority_links() -> None:
    assert sized(US, firm("other", 10), ties=(holds("other", "us", 0.1, controls=True),)).linked == ("other",)


def test_a_venture_capital_company_may_hold_half() -> None:
    fund = firm("fund", 900, 900 * M, 900 * M, kind="venture-capital")
    said = sized(US, fund, ties=(holds("fund", "us", 0.5),))
    assert said.size == "small"
    assert any("no partner" in step.text for step in said.steps)
    assert sized(US, fund, ties=(holds("fund", "us", 0.51),)).size == "large"


def test_investors_linked_to_one_another_are_counted_once_they_hold_more_than_half_together() -> None:
    """The Commission's user guide has such an example: 25 % and 30 % of two that are linked."""
    said = sized(
        US, firm("b", 10, kind="university"), firm("d", 20, kind="public-investment"), firm("c", 100),
        ties=(holds("b", "us", 0.25), holds("d", "us", 0.30), holds("d", "b", 0.9), holds("c", "us", 0.25)),
    )  # fmt: skip
    assert said.linked == ("b", "d")
    assert said.partners == {"c": 0.25}
    assert said.steps[-2].staff == pytest.approx(40 + 10 + 20 + 25)


def test_linked_owners_below_a_quarter_each_are_a_partner_together() -> None:
    said = sized(
        US, firm("a", 100), firm("b", 100), ties=(holds("a", "us", 0.15), holds("b", "us", 0.15), holds("a", "b", 1.0))
    )
    assert said.partners == {"a": 0.3, "b": 0.3}


def test_a_person_links_enterprises_in_the_same_market_only() -> None:
    ties = (holds("ada", "us", 0.6), holds("ada", "sister", 0.6))
    assert sized(US, owner("ada", "person"), firm("sister", 500), ties=ties).size == "small mid-cap"
    apart = Enterprise(id="ada", kind="person", same_market=False)
    assert sized(US, apart, firm("sister", 500), ties=ties).size == "small"


def test_a_founder_with_a_third_is_no_partner_with_figures_to_count() -> None:
    said = sized(US, owner("ada", "person"), ties=(holds("ada", "us", 0.34),))
    assert (said.size, said.partners, said.open_questions) == ("small", {}, ())


@pytest.mark.parametrize(("share", "size"), [(0.24, "small"), (0.25, "large")])
def test_a_quarter_in_public_hands_makes_it_no_sme(share: float, size: str) -> None:
    said = sized(US, owner("city", "public-body"), ties=(holds("city", "us", share),))
    assert said.size == size
    assert bool(said.open_questions) == (size == "large")


def test_public_hands_reach_through_what_they_control() -> None:
    said = sized(
        US, owner("city", "public-body"), firm("works", 5),
        ties=(holds("city", "works", 1.0), holds("works", "us", 0.3)),
    )  # fmt: skip
    assert not said.is_sme
    assert any(step.rule == "Article 3(4)" for step in said.steps)


def test_what_is_consolidated_is_not_counted_twice() -> None:
    said = sized(
        US, firm("parent", 100, 20 * M, 20 * M), firm("sister", 100, consolidated_in="parent"),
        ties=(holds("parent", "us", 1.0), holds("parent", "sister", 1.0)),
    )  # fmt: skip
    assert said.steps[-2].staff == 140


def over_years(*staff: float, first: int = 2022) -> SizeResult:
    accounts = tuple(
        Accounts(year=first + n, staff=one, turnover_eur=M, balance_sheet_eur=M) for n, one in enumerate(staff)
    )
    return sized(Enterprise(id="us", accounts=accounts))


@pytest.mark.parametrize(
    ("staff", "size"),
    [
        ((240, 260), "medium"),
        ((240, 260, 260), "small mid-cap"),
        ((240, 260, 240), "medium"),
        ((240, 260, 240, 260, 240), "medium"),
        ((260, 240), "small mid-cap"),
        ((260, 240, 240), "medium"),
        ((9, 11, 60), "small"),  # twice above micro, once above small
        ((9, 60, 60, 9), "medium"),
    ],
)
def test_a_ceiling_has_to_be_passed_in_two_periods_in_a_row(staff: tuple[float, ...], size: str) -> None:
    said = over_years(*staff)
    assert said.size == size


def test_a_gap_between_accounts_is_no_row() -> None:
    accounts = tuple(
        Accounts(year=y, staff=s, turnover_eur=M, balance_sheet_eur=M)
        for y, s in ((2020, 240), (2022, 260), (2024, 260))
    )
    assert sized(Enterprise(id="us", accounts=accounts)).size == "medium"


def test_a_partner_without_accounts_is_a_question_for_a_person() -> None:
    said = sized(US, Enterprise(id="dark", name="Dark Ltd"), ties=(holds("dark", "us", 0.4),))
    assert said.open_questions == ("Of Dark Ltd there are no accounts up to 2025; it counts as nothing.",)


def test_without_own_accounts_there_is_no_assessment() -> None:
    with pytest.raises(UsageError, match="no accounts"):
        sized(Enterprise(id="us"))


@pytest.mark.parametrize("ties", [(holds("us", "us", 0.3),), (holds("nobody", "us", 0.3),)])
def test_a_tie_to_nobody_or_to_itself_is_refused(ties: tuple[Tie, ...]) -> None:
    with pytest.raises(ValidationError, match=r"hold itself|not described"):
        sized(US, ties=ties)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 5000), st.floats(0, 200))
@settings(max_examples=60, deadline=None)
def test_a_greater_share_of_an_owner_never_makes_smaller(low: float, high: float, theirs: float, ours: float) -> None:
    order = ["micro", "small", "medium", "small mid-cap", "large"]
    a, b = sorted((round(low, 4), round(high, 4)))
    small, great = (
        sized(firm("us", ours, M, M), firm("owner", theirs, M, M), ties=(holds("owner", "us", one),)) for one in (a, b)
    )
    assert order.index(small.size) <= order.index(great.size)


@given(st.permutations(["a", "b", "c", "d"]))
@settings(max_examples=24, deadline=None)
def test_the_order_in_which_they_are_written_does_not_matter(order: list[str]) -> None:
    firms = {one: firm(one, 30) for one in "abcd"}
    ties = (holds("a", "us", 0.3), holds("a", "b", 0.8), holds("us", "c", 0.9), holds("d", "c", 0.26))
    said = sized(*(firms[one] for one in order), US, ties=ties)
    assert (said.linked, said.partners) == (("c",), {"a": 0.3, "b": 0.3, "d": 0.26})
    assert said.steps[-2].staff == pytest.approx(40 + 30 + 9 + 9 + 7.8)


def test_the_example_of_the_how_to_page_is_no_sme_because_of_its_parent() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "apply.md").read_text()
    block = re.search(r"```yaml\ngroup:\n(.*?)```", page, re.DOTALL)
    assert block is not None
    said = assess(Group.model_validate(yaml.safe_load(block[1])))
    assert (said.size, said.linked, said.partners) == ("small mid-cap", ("parent",), {})
    assert any("fund is an investor who may hold up to half" in step.text for step in said.steps)
