"""Write docs/reference/rules.md: the rules with their dates and sources, and how one is written.

`python tools/rules_page.py` writes it; tests/rules fails while the page says something else than the rules.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src")]

from hanse.contracts.compliance import ENDINGS  # noqa: E402
from hanse.rules.catalogue import questions_of  # noqa: E402
from hanse.rules.files import shipped  # noqa: E402
from hanse.rules.judge import verdict_of  # noqa: E402
from hanse.rules.ruleset import Rule  # noqa: E402

PAGE = ROOT / "docs" / "reference" / "rules.md"

HEAD = """\
<!-- made by tools/rules_page.py; change the rules, then run: python tools/rules_page.py -->
# Rules of the gate

Every rule of `src/hanse/rules/*.yaml`, {count} in all, as of the rule set of {version}: {secondary} rest on a dated
secondary source, {unread} on none that was read (those never alone pass or stop), {read} on the official text. Not
legal advice. `hanse comply rules --as-of DATE --json` prints those in force on a day, with links.

## How a rule is written

A rule is an entry in a YAML file of that folder; a new one needs no code. A file may share `defaults` among its rules,
a condition `applies`, and name conditions as `terms` that any file uses as `{{term: name}}`.

| Key | What it says |
| --- | --- |
| `id`, `title` | its name for machines and for people |
| `when` | a condition over answers and facts, made of `all`, `any`, `not` |
| `verdict` | `allow`, `condition` (with its text under `condition`), `review` or `deny` |
| `reason`, `what_would_change_it` | in our own words, never the law's text |
| `citation`, `link` | where it stands, and the official text |
| `source`, `confidence`, `last_verified` | what was read, how good that is, and when |
| `effective`, `until`, `replaced_by` | the first day, the first day no more, and which rule speaks then |
| `roles`, `for_whom`, `assigns` | to whom it speaks, and what role it gives |
| `risk` | the class it puts a system or model into |
| `duties` | each with an id, whose it is, where it stands, and where a clock runs its `within_days` `after` a date |
| `eases` | duties of other rules made lighter, or taken away with `lifts` |
| `if_unknown` | what follows while a fact is not known: `review`, or the condition |
| `silent` | it gives roles, duties or easings, and no finding |

A condition compares an answer (`is`, `any_of`, `before` a date or `today`, `given`) or a fact (`above`, `below`,
`above_part_of`, `is`, `one_of`); `if_missing` says what counts without one. What is not known leaves a rule open, and
an open question that matters asks for a person.

A question's `unless_answered` is what counts while nobody answers (an exception nobody claims does not apply), and its
`strict` answer never makes the outcome milder; tests hold both.
"""


def page() -> str:
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    rules = shipped()
    known = Counter(rule.confidence for rule in rules.rules)
    yield HEAD.format(
        count=len(rules.rules), version=rules.version, read=known["read"], secondary=known["secondary"],
        unread=known["unread"],
    )  # fmt: skip
    yield "## The rules\n"
    yield "| Rule | Outcome | From | Until | Where it stands | Confidence |"
    yield "| --- | --- | --- | --- | --- | --- |"
    yield from (_row(rule) for rule in rules.rules)
    yield "\n## The questions\n"
    yield "`*` marks those an application asks. What follows another question matters only after a yes to it.\n"
    yield "| Question | Answers | Text |"
    yield "| --- | --- | --- |"
    for one in questions_of():
        shown = ", ".join(one.allowed) if len(one.allowed) <= 4 else f"one or more of {len(one.allowed)} uses or kinds"
        after = f" (after `{one.follows}`)" if one.follows else ""
        yield f"| `{one.id}`{' *' if one.in_application else ''} | {shown} | {one.text}{after} |"
    yield ""


def _row(rule: Rule) -> str:
    ending = "–" if rule.silent else ENDINGS[verdict_of(rule)]
    where = f"[{rule.citation}]({rule.link or rule.source})"
    days = f"{rule.effective} | {rule.until or ''}"
    return f"| `{rule.id}`: {rule.title} | {ending} | {days} | {where} | {rule.confidence} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE.relative_to(ROOT))
