"""Write docs/reference/launch-facts.md: how jobs are started on each machine of the catalogue, and by which source."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from hanse.contracts.machine import Machine  # noqa: E402
from hanse.machines import catalogue  # noqa: E402
from hanse.machines.launch_facts import LaunchFact, in_words, launch_facts  # noqa: E402

PAGE = "docs/reference/launch-facts.md"
MADE = "<!-- made by tools/launch_facts.py from the catalogue; change a machine's file, then run it -->\n"
INTRODUCTION = """\
What job scripts are made of, machine by machine; `hanse launch --dry-run -m MACHINE` shows the script itself
([how to read it](../how-to/read-a-job-script.md)). How sure a fact is stands beside it: *official* is the site's own
page, *mirror* a copy of it, *observed* a public job script, *estimate* a guess. What stands at its default is left out.
"""


def page() -> str:
    parts = [f"{MADE}# How jobs are started\n", INTRODUCTION]
    for machine_id in catalogue.ids():
        machine = catalogue.load(machine_id)
        if machine.scheduler.kind != "local" and machine.status != "reference":
            parts += _machine(machine)
    return "\n".join(parts).rstrip() + "\n"


def _machine(machine: Machine) -> Iterator[str]:
    yield f"## {machine.name}\n"
    yield f"`{machine.id}`, {machine.site}\n"
    yield "| fact | value | how sure |"
    yield "|---|---|---|"
    for one in launch_facts(machine):
        yield f"| {one.name} | `{one.value}` | {_sure(one)} |"
    yield ""
    if machine.scheduler.cannot:
        yield "What it cannot do:\n"
        yield from (
            f"- {in_words(one)} ([{one.confidence}]({one.url}), {one.read_on})" for one in machine.scheduler.cannot
        )
        yield ""


def _sure(one: LaunchFact) -> str:
    if one.source is None or not one.source.url:
        return one.confidence
    return f"[{one.confidence}]({one.source.url}), {one.source.read_on}"


def main() -> None:
    (ROOT / PAGE).write_text(page())
    print(PAGE)


if __name__ == "__main__":
    main()
