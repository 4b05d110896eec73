"""A panel's places: a permutation beside the computed ranking, with standings drawn anew."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hanse.programme.review.panel import settle
from hanse.programme.review.ranking import Standing


def computed(passing: int, below: int, places: int) -> dict[str, Standing]:
    said: dict[str, Standing] = {}
    for n in range(passing):
        said[f"app-{n}"] = "grant" if n < places else "reserve"
    return said | {f"app-{passing + n}": "below" for n in range(below)}


@given(
    st.integers(0, 6), st.integers(0, 4), st.integers(0, 4),
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 12)), max_size=5),
)  # fmt: skip
def test_moves_make_a_permutation_with_as_many_winners_as_there_are_places(
    passing: int, below: int, places: int, moves: list[tuple[int, int]]
) -> None:
    before = computed(passing, below, places)
    real = [(f"app-{n}", place) for n, place in moves if f"app-{n}" in before]
    after = settle(before, real, places=places)
    assert sorted(one.id for one in after) == sorted(before)
    assert [one.place for one in after] == list(range(1, len(before) + 1))
    moved = {id for id, _ in real}
    able = [one for one in after if before[one.id] != "below" or one.id in moved]
    assert [one.standing for one in able] == ["grant"] * min(places, len(able)) + ["reserve"] * max(
        0, len(able) - places
    )
    assert [one.reserve for one in after if one.reserve] == list(range(1, max(0, len(able) - places) + 1))
    if real:
        id, place = real[-1]
        assert next(one.place for one in after if one.id == id) == min(place, len(before))
    else:
        assert {one.id: one.standing for one in after} == before


def test_a_short_reserve_list_stays_short() -> None:
    after = settle(computed(5, 0, 1), [("app-4", 1)], places=1, reserve=2)
    assert [(one.id, one.standing) for one in after] == [
        ("app-4", "grant"), ("app-0", "reserve"), ("app-1", "reserve"), ("app-2", "below"), ("app-3", "below"),
    ]  # fmt: skip
