"""What a job writes cannot steer the reader's terminal, however it is cut into pieces."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.cli.plaintext import LogLines, plain


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;a title\x07text", "text"),
        ("\x1b]8;;http://example.eu\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;c3R1ZmY=\x07pasted", "pasted"),
        ("\x1bPq\x1b\\after", "after"),
        ("\x9b2Jcleared", "cleared"),
        ("a\tb\u202ec\x08\x07", "a\tbc"),
        ("Grüße, 3 ≤ 4", "Grüße, 3 ≤ 4"),
    ],
)
def test_sequences_are_taken_out_whole_and_text_stays(written: str, shown: str) -> None:
    assert plain(written) == shown


@given(text=st.text(st.sampled_from("ab\n\r\t\x1b[]0;m\x07\\\x9b"), max_size=60), cuts=st.lists(st.integers(0, 60)))
def test_no_piece_ever_holds_what_a_terminal_obeys(text: str, cuts: list[int]) -> None:
    lines, edges = LogLines(), [0, *sorted(cuts), len(text)]
    shown = [lines.take(text[a:b]) for a, b in pairwise(edges)] + [lines.rest()]
    assert not set("".join(shown)) & set("\r\x1b\x07\x9b")


@given(text=st.text(st.characters(categories=["L", "N", "P"]) | st.just("\n"), max_size=80), cut=st.integers(0, 80))
def test_ordinary_text_comes_out_as_it_went_in(text: str, cut: int) -> None:
    lines = LogLines()
    shown = lines.take(text[:cut]) + lines.take(text[cut:]) + lines.rest()
    assert shown == text + ("\n" if text and not text.endswith("\n") else "")


def test_of_a_progress_bar_the_last_state_of_each_look_is_shown() -> None:
    lines = LogLines()
    assert lines.take("start\r\n 10 %\r 20 %\r 30") == "start\n 20 %\n"
    assert lines.take(" %\r 100 %\ndone") == " 100 %\n"
    assert lines.rest() == "done\n"
