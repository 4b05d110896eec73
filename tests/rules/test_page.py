"""The page of the rules says what the rules say."""

from __future__ import annotations

from tools.rules_page import PAGE, page


def test_the_page_of_the_rules_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == page(), "run: python tools/rules_page.py"
