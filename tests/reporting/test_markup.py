"""Text never becomes markup by accident."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from hanse.reporting.markup import Html, h, join


@given(st.text(st.characters(exclude_categories=("Cc", "Cs", "Cn", "Cf"))))
def test_any_text_comes_back_as_text(words: str) -> None:
    read = ElementTree.fromstring(h("p", words, title=words))
    assert len(read) == 0
    assert (read.text or "") == words
    assert read.get("title") == words


@given(st.text())
def test_whatever_the_text_the_page_can_be_read(words: str) -> None:
    read = ElementTree.fromstring(h("p", words, title=words))
    assert len(read) == 0
    assert not set(read.text or "") & set("\x00\x1b\u202e\u2066")


def test_only_what_was_made_as_markup_is_markup() -> None:
    assert h("p", "<b>", Html("<b></b>")) == "<p>&lt;b&gt;<b></b></p>"
    assert join("a & b", None, [1, 2.5]) == "a &amp; b12.5"


def test_attributes_that_are_none_or_false_are_left_out() -> None:
    assert h("a", "x", href=None, hidden=False, download=True, data_label="y") == '<a download data-label="y">x</a>'
