"""A sentence of the house is found again with its values, and no text of anybody's takes long to be looked through."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.service.forms import spoken
from hanse.service.forms.spoken import Spoken

PART = st.text("abc .;1", min_size=0, max_size=6)
VALUE = st.text("abc1 ", min_size=1, max_size=8)


@given(parts=st.lists(PART, min_size=2, max_size=5), values=st.lists(VALUE, min_size=4, max_size=4))
def test_what_was_filled_in_is_found_and_fills_it_again(parts: list[str], values: list[str]) -> None:
    names = [f"name{number}" for number in range(len(parts) - 1)]
    template = "".join(f"{part}%({name})s" for part, name in zip(parts[:-1], names, strict=True)) + parts[-1]
    text = template % dict(zip(names, values, strict=False))
    found = Spoken.of(template).found_in(text)
    assert found is not None and template % found == text


@pytest.mark.parametrize(
    ("template", "text", "found"),
    [
        ("It ends on %(day)s.", "It ends on 29 January 2027.", {"day": "29 January 2027"}),
        ("It ends on %(day)s.", "It ends on Friday.", None),
        ("%(n)s left", "12 h left", {"n": "12 h"}),
        ("%(n)s left", "few left", None),
        ("%(a)s of %(a)s", "1 of 1", {"a": "1"}),
        ("%(a)s of %(a)s", "1 of 2", None),
        ("%(who)s left", "Somebody. Nobody left", None),
        ("Because: %(reason)s", "Because: It is late. Very late.", {"reason": "It is late. Very late."}),
        ("100 %% of it", "100 % of it", {}),
    ],
)  # fmt: skip
def test_a_slot_holds_what_its_name_allows_and_no_more(template: str, text: str, found: Any) -> None:
    assert Spoken.of(template).found_in(text) == found


def test_a_text_made_to_take_long_is_given_up_after_a_bounded_number_of_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    fits = spoken._fits

    def counted(*given: Any) -> bool:
        nonlocal looks
        looks += 1
        return fits(*given)

    monkeypatch.setattr(spoken, "_fits", counted)
    template = Spoken.of("It waits on %(machine)s: %(why)s since %(when)s.")
    assert template.found_in("It waits on " + "a: b since " * 180 + ".") is None
    assert looks <= spoken.MOST_LOOKS, "a pattern that tries all ways needs a minute for this"
