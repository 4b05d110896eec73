"""Rule files as they are written wrongly: one message that names the place, never a raw error."""

from __future__ import annotations

import pytest

from hanse.contracts.errors import SpecError
from hanse.rules import texts
from hanse.rules.documents import forms
from hanse.rules.files import parse
from tests.rules.parts import HEAD, NEEDS_BOTH


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ("terms: [a, b]", "terms must be conditions by name"),
        ("terms: yes", "terms must be"),
        ("defaults: [1]", "defaults must be keys with values"),
        ("defaults: text", "defaults must be"),
        ("contradictions: {a: b}", "contradictions must be a list"),
        ("name: again", "'name' stands twice"),
        ("1: one", "no mapping of names"),
    ],
)
def test_a_part_of_the_wrong_shape_is_named_with_its_file(extra: str, says: str) -> None:
    with pytest.raises(SpecError, match=r"test\.yaml") as refused:
        parse(extra + HEAD + NEEDS_BOTH, where="test.yaml")
    assert says in refused.value.what


def test_a_key_that_stands_twice_inside_a_rule_is_found_with_its_line() -> None:
    with pytest.raises(SpecError, match=r"'title' stands twice.*line"):
        parse(HEAD + NEEDS_BOTH + "\n    title: another\n", where="test.yaml")


def test_forms_and_words_are_read_with_the_same_care() -> None:
    with pytest.raises(SpecError, match="stands twice"):
        forms.parse("id: a\nid: b\n", where="a.yaml")
    with pytest.raises(SpecError, match="not YAML"):
        texts.read("a: [", where="words.yaml")
    with pytest.raises(SpecError, match="no mapping"):
        forms.parse("- a\n", where="a.yaml")
