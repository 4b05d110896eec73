"""Review as pure functions: laws of assignment and ranking, conflicts that records show, a lane's clock."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.contracts.errors import UsageError
from hanse.programme import calls
from hanse.programme.review import names, rules
from hanse.programme.review.assignment import propose
from hanse.programme.review.conflicts import Entry, Reviewer, found, marks, possible
from hanse.programme.review.lanes import Arrival, key, lane, overtaken, record
from hanse.programme.review.ranking import Scored, rank

RULES = rules.default()
NAMES = [one.id for one in RULES.criteria]
START = datetime(2026, 11, 2, 9, tzinfo=UTC)
sheets = st.fixed_dictionaries({name: st.integers(0, 5) for name in NAMES})
houses = st.sets(st.sampled_from("ABCDE"), max_size=2).map(lambda found: tuple(sorted(found)))


def scored(number: int, *points: dict[str, int]) -> Scored:
    return Scored(id=f"app-{number:03}", sent_at=START + timedelta(hours=number), sheets=points)


@given(st.lists(houses, max_size=12), st.lists(houses, max_size=6), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_no_proposal_has_a_conflict_or_a_pair_twice_and_what_is_missing_is_told(
    teams: list[tuple[str, ...]], homes: list[tuple[str, ...]], each: int
) -> None:
    entries = {f"app-{n}": Entry(id=f"app-{n}", organisations=team) for n, team in enumerate(teams)}
    people = {f"rev-{n}": Reviewer(id=f"rev-{n}", name=f"R{n}", organisations=home) for n, home in enumerate(homes)}
    proposal = propose(entries.values(), people.values(), each=each)
    assert len(set(proposal.pairs)) == len(proposal.pairs)
    assert not [pair for pair in proposal.pairs if found(people[pair[1]], entries[pair[0]])]
    assert len(proposal.pairs) + sum(missing for _, missing in proposal.short) == each * len(entries)


@given(st.integers(0, 20), st.integers(3, 7), st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_without_conflicts_nobody_has_two_reviews_more_than_another(entries: int, people: int, each: int) -> None:
    proposal = propose(
        [Entry(id=f"app-{n:02}", organisations=()) for n in range(entries)],
        [Reviewer(id=f"rev-{n}", name=f"R{n}") for n in range(people)],
        each=each,
    )
    load = Counter(reviewer for _, reviewer in proposal.pairs)
    loads = [load[f"rev-{n}"] for n in range(people)]
    assert max(loads) - min(loads) <= 1


def test_a_large_scale_round_of_12_goes_to_5_reviewers_around_a_conflict() -> None:
    entries = [Entry(id=f"app-{n:02}", organisations=(f"Firm {n}",)) for n in range(12)]
    people = [Reviewer(id=f"rev-{n}", name=f"R{n}", organisations=(f"University {n}",)) for n in range(4)]
    people.append(Reviewer(id="rev-4", name="R4", organisations=("FIRM 3",)))
    proposal = propose(entries, people, each=RULES.reviewers_each)
    assert proposal.short == ()
    assert ("app-03", "rev-4") not in proposal.pairs
    assert sorted(Counter(reviewer for _, reviewer in proposal.pairs).values()) == [4, 5, 5, 5, 5]


def test_expertise_decides_between_those_with_as_much_to_do() -> None:
    people = [
        Reviewer(id="rev-0", name="A", keywords=frozenset({"speech"})),
        Reviewer(id="rev-1", name="B", keywords=frozenset({"climate"})),
    ]
    entry = Entry(id="app-0", organisations=(), keywords=frozenset({"climate"}))
    assert propose([entry], people, each=1).pairs == (("app-0", "rev-1"),)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (Entry(id="app-0", organisations=("universite de liege",)), "same organisation"),
        (Entry(id="app-0", organisations=(), team=("ANNE MÜLLER",)), "member of the team"),
        (Entry(id="app-0", organisations=(), team=("anne@uliege.example",)), "member of the team"),
        (Entry(id="app-0", organisations=(), excluded=("Prof. Anne Müller, Liège",)), "excluded by the applicant"),
        (Entry(id="app-0", organisations=(), excluded=("all of Université de Liège",)), "excluded by the applicant"),
    ],
)
def test_a_conflict_is_found_whatever_the_case_and_accents(entry: Entry, reason: str) -> None:
    anne = Reviewer(id="r", name="Anne Müller", email="anne@uliege.example", organisations=("Université de Liège",))
    assert found(anne, entry) == (reason,)


def test_part_of_a_word_is_no_conflict() -> None:
    ann = Reviewer(id="r", name="Ann Berg")
    assert found(ann, Entry(id="app-0", organisations=(), excluded=("Joann Bergström",))) == ()


@given(st.lists(sheets, max_size=20), st.integers(0, 6), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_a_ranking_does_not_hang_on_the_order_and_nobody_is_passed_over(
    points: list[dict[str, int]], places: int, random: object
) -> None:
    free = tuple(one.model_copy(update={"threshold": 0}) for one in RULES.criteria)
    strict = RULES.model_copy(update={"threshold": 0.6, "threshold_points": 0, "criteria": free})
    entries = [scored(n, sheet) for n, sheet in enumerate(points)]
    ranked = rank(strict, entries, places=places)
    random.shuffle(entries)  # type: ignore[attr-defined]
    assert rank(strict, entries, places=places) == ranked
    assert [one.place for one in ranked] == list(range(1, len(points) + 1))
    passing = [one for one in ranked if one.standing != "below"]
    assert [one.total for one in passing] == sorted((one.total for one in passing), reverse=True)
    assert sum(one.standing == "grant" for one in ranked) == min(places, len(passing))
    assert [one.reserve for one in ranked if one.reserve] == list(range(1, len(passing) - places + 1))
    assert all((one.total >= 0.6) == (one.standing != "below") for one in ranked)


def test_a_grand_challenge_of_94_has_4_winners_and_the_others_in_reserve() -> None:
    entries = [scored(n, dict.fromkeys(NAMES, n % 6), dict.fromkeys(NAMES, 5 if n < 10 else 2)) for n in range(94)]
    rules_here = RULES.model_copy(update={"threshold": 0.5})
    ranked = rank(rules_here, entries, places=4)
    assert [one.id for one in ranked[:4]] == ["app-005", "app-004", "app-003", "app-009"]
    assert [one.reserve for one in ranked[4:7]] == [1, 2, 3]
    assert {one.standing for one in ranked if one.total < 0.5} == {"below"}


def test_ties_go_to_the_first_criterion_then_to_the_earlier_sent() -> None:
    even, better = dict.fromkeys(NAMES, 3), {NAMES[0]: 4, NAMES[1]: 3, NAMES[2]: 2}
    ranked = rank(RULES, [scored(2, even), scored(1, even), scored(3, better)], places=1)
    assert [one.id for one in ranked] == ["app-003", "app-001", "app-002"]


def test_the_panels_consensus_takes_the_place_of_the_reviewers_points() -> None:
    panel = Scored(id="app-9", sent_at=START, sheets=(dict.fromkeys(NAMES, 5),), consensus=dict.fromkeys(NAMES, 1))
    assert float(rank(RULES, [panel], places=1)[0].total) == pytest.approx(0.2)


def test_an_entry_nobody_scored_is_not_ranked() -> None:
    with pytest.raises(ValueError, match="nobody has scored app-001"):
        rank(RULES, [scored(1)], places=1)


@pytest.mark.parametrize(
    ("points", "comment"), [(6, "good"), (-1, "good"), (3, " "), (3, "x" * 1001)], ids=["over", "under", "none", "long"]
)
def test_a_sheet_outside_the_rules_is_refused_at_its_criterion(points: int, comment: str) -> None:
    good = dict.fromkeys(NAMES, "good")
    rules.check(RULES, dict.fromkeys(NAMES, 3), good)
    with pytest.raises(UsageError) as refused:
        rules.check(RULES, {**dict.fromkeys(NAMES, 3), "impact": points}, {**good, "impact": comment})
    assert refused.value.where == "impact"


def test_a_lane_shows_who_is_next_and_how_the_promise_was_kept() -> None:
    terms = calls.load("playground")
    monday = datetime(2026, 11, 2, 9, tzinfo=UTC)
    due = monday + timedelta(days=4)
    arrivals = [
        Arrival(id="app-b", sent_at=monday + timedelta(hours=1), decide_by=due),
        Arrival(id="app-a", sent_at=monday, decide_by=due),
        Arrival(id="app-c", sent_at=monday, decide_by=due, decided_at=monday + timedelta(days=2)),
        Arrival(id="app-d", sent_at=monday, decide_by=due, decided_at=monday + timedelta(days=7)),
    ]
    shown = lane(terms, arrivals, monday + timedelta(days=1))
    assert [one.id for one, _ in shown.waiting] == ["app-a", "app-b"]
    assert [standing.working_days for _, standing in shown.waiting] == [3, 3]
    assert (shown.share_in_time, shown.median_working_days) == (0.5, 3.5)


NAME_PAIRS = [
    ("Anna Müller", "Müller, Anna", "same"),
    ("Anna Müller", "Anna M. Müller", "same"),
    ("Anna Müller", "Dr. Anna Mueller", "same"),
    ("Anna Müller", "Prof. Dr.-Ing. ANNA MULLER", "same"),
    ("Søren Ørsted", "Soeren Oersted", "same"),
    ("Jean-Luc O’Neill", "jean luc oneill", "same"),
    ("Anna Müller", "A. Müller", "like"),
    ("Anna Müller", "Müller", "like"),
    ("Anna Mueller", "Anna Muller", "like"),
    ("Anna Müller", "Anna Maria Müller", "like"),
    ("Anna Bauer", "Anna Baur", "like"),
    ("Anna Müller", "B. Müller", ""),
    ("Anna Müller", "Bernd Müller", ""),
    ("Anna Müller", "Anna Schmidt", ""),
    ("Ann Berg", "Joann Bergström", ""),
]


@pytest.mark.parametrize(("reviewer", "written", "comes_to"), NAME_PAIRS)
def test_a_name_is_found_however_it_is_written_and_a_near_one_is_for_a_person(
    reviewer: str, written: str, comes_to: str
) -> None:
    assert ("same" if names.same(reviewer, written) else "like" if names.like(reviewer, written) else "") == comes_to
    who = Reviewer(id="r", name=reviewer)
    for entry in (
        Entry(id="app-0", organisations=(), excluded=(written,)),
        Entry(id="app-0", organisations=(), team=(written,)),
    ):
        assert bool(found(who, entry)) is (comes_to == "same")
        assert bool(possible(who, entry)) is (comes_to == "like")


def test_an_excluded_name_is_found_inside_a_sentence_and_by_its_address() -> None:
    anna = Reviewer(id="r", name="Anna Müller", email="a.mueller@uni.example", organisations=("Firm Three GmbH",))

    def of(text: str) -> tuple[bool, bool]:
        entry = Entry(id="app-0", organisations=(), excluded=(text,))
        return bool(found(anna, entry)), bool(possible(anna, entry))

    assert of("Please not Müller, Anna, of the university of Liège") == (True, False)
    assert of("please do not ask anna mueller about our work again") == (True, False)
    assert of("write to A.Mueller@Uni.Example") == (True, False)
    assert of("anybody at all who works with Müller in Liège") == (False, True)
    assert of("anna.muller@elsewhere.example") == (True, False)
    assert of("anna.m.mueller-weber@elsewhere.example") == (False, True)
    assert of("all of Firm Three") == (False, True)
    assert of("nobody but the usual suspects of this field") == (False, False)


def test_who_could_have_a_conflict_is_asked_only_once_a_person_cleared_it() -> None:
    entry, who = Entry(id="app-0", organisations=(), excluded=("Müller",)), Reviewer(id="rev-0", name="Anna Müller")
    assert propose([entry], [who], each=1).short == (("app-0", 1),)
    assert propose([entry], [who], each=1, cleared={("app-0", "rev-0")}).pairs == (("app-0", "rev-0"),)


def test_the_rules_are_the_calls_own_and_places_are_never_nought_by_themselves() -> None:
    terms, contest = calls.load("large-scale"), calls.load("large-ai-grand-challenge")
    assert rules.of(terms) == RULES and rules.places(terms) is None and rules.places(contest) == 4
    own = RULES.model_copy(update={"places": 7, "reserve": 2})
    assert rules.places(terms.model_copy(update={"scoring": own})) == 7
    assert rules.reserve(terms.model_copy(update={"scoring": own})) == 2
    assert rules.reserve(terms.model_copy(update={"reserve": False})) == 0
    ranked = rank(RULES, [scored(n, dict.fromkeys(NAMES, 4)) for n in range(6)], places=1, reserve=2)
    assert [one.standing for one in ranked] == ["grant", "reserve", "reserve", "below", "below", "below"]


def test_without_rules_of_its_own_three_points_in_each_and_ten_together_pass() -> None:
    points = {"app-000": (3, 3, 4), "app-001": (3, 3, 3), "app-002": (5, 5, 2)}
    entries = [scored(n, dict(zip(NAMES, each, strict=True))) for n, each in enumerate(points.values())]
    standing = {one.id: one.standing for one in rank(RULES, entries, places=3)}
    assert standing == {"app-000": "grant", "app-001": "below", "app-002": "below"}


@given(st.lists(st.integers(0, 5), max_size=8), st.integers(0, 8))
@settings(max_examples=60, deadline=None)
def test_a_lane_lists_who_waits_by_arrival_and_counts_who_was_passed_over(hours: list[int], served: int) -> None:
    every = [
        Arrival(id=f"app-{n}", sent_at=START + timedelta(hours=hour), decide_by=None) for n, hour in enumerate(hours)
    ]
    queue = sorted(every, key=lambda one: (one.sent_at, one.id))
    decided = {one.id: START + timedelta(days=1, hours=n) for n, one in enumerate(queue[:served])}
    arrivals = [replace(one, decided_at=decided.get(one.id)) for one in every]
    shown = lane(calls.load("playground"), arrivals, START + timedelta(days=9))
    assert [one.id for one, _ in shown.waiting] == [one.id for one in queue[served:]]
    assert overtaken(arrivals) == 0
    if len(queue) > served + 1:
        late = {queue[-1].id: START + timedelta(days=2)}
        assert overtaken([replace(one, decided_at=decided.get(one.id) or late.get(one.id)) for one in every]) == 1


WORDS = ("Müller", "mueller", "Muller", "Jana", "J.", "Nováková", "Dr.", "O'Brien", "GmbH", "Acme", "AG", "of", "Åse")
said = st.lists(st.sampled_from((*WORDS, "jana.muller@acme.eu", "Jana@x.eu", ",", "(")), max_size=6).map(" ".join)
many = st.lists(said, max_size=3).map(tuple)


@given(said, st.sampled_from(("", "Jana@X.eu", "jana.muller@acme.eu")), many, many, many, many)
@settings(max_examples=400, deadline=None)
def test_of_two_that_share_no_mark_no_conflict_is_found(
    name: str, email: str, works_at: tuple[str, ...], houses: tuple[str, ...], team: tuple[str, ...],
    excluded: tuple[str, ...],
) -> None:  # fmt: skip
    reviewer = Reviewer(id="r", name=name, email=email, organisations=works_at)
    entry = Entry(id="e", organisations=houses, team=team, excluded=excluded)
    if found(reviewer, entry) or possible(reviewer, entry):
        assert marks(reviewer) & marks(entry)


@given(st.lists(st.tuples(st.integers(0, 9), st.none() | st.integers(0, 30), st.booleans()), max_size=14))
@settings(max_examples=200, deadline=None)
def test_what_is_kept_of_the_answered_counts_who_was_overtaken_as_the_whole_lane_does(
    told: list[tuple[int, int | None, bool]],
) -> None:
    rounds: dict[datetime | None, list[Arrival]] = {None: [], START: []}
    for number, (sent, decided, in_round) in enumerate(told):
        rounds[START if in_round else None].append(Arrival(
            id=f"app-{number}", sent_at=START + timedelta(hours=sent), decide_by=None,
            decided_at=None if decided is None else START + timedelta(hours=sent + decided),
        ))  # fmt: skip
    decided = [(cut_off, one) for cut_off, each in rounds.items() for one in each if one.decided_at is not None]
    waits = {cut_off: [key(one) for one in each if one.decided_at is None] for cut_off, each in rounds.items()}
    first = {cut_off: min(each) for cut_off, each in waits.items() if each}
    so_far = record(calls.load("playground"), decided)
    assert so_far.overtaken(first) == sum(overtaken(each) for each in rounds.values())
