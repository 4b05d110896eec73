"""What a machine says of starting jobs, fact by fact, each with its value in words and its source.

`hanse machines show`, the dry run and the reference page print these; the job scripts are made of the same facts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hanse.contracts.machine import Capability, Inability, Machine, SchedulerFacts, Source
from hanse.machines import facts

GUESSED: Final = ("estimate", "derived")
"""Confidences of what nobody published or was seen to use."""


_CANNOT: Final[Mapping[Capability, str]] = {
    "images": "run images",
    "build-images": "build images",
    "internet-on-login": "reach the internet from login nodes",
    "internet-on-compute": "reach the internet from jobs",
    "part-of-a-node": "give part of a node",
    "requeue": "queue an ended job again",
    "mpiexec": "start programs with mpiexec",
    "cpus-by-choice": "take any number of cores",
    "long-tasks-on-login": "run long tasks on login nodes",
    "agents-on-login": "run agents and installers on login nodes",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchFact:
    """One fact as a person reads it; `source` is None where none names it or its group."""

    key: str
    name: str
    value: str
    source: Source | None

    @property
    def confidence(self) -> str:
        return self.source.confidence if self.source else "unsourced"


def launch_facts(machine: Machine) -> tuple[LaunchFact, ...]:
    """What is said of this machine; what stands at its default is not said."""
    found = []
    for field, name in facts.SCHEDULER_WORDS.items():
        value = getattr(machine.scheduler, field)
        if value == SchedulerFacts.model_fields[field].get_default(call_default_factory=True):
            continue
        key = f"scheduler.{field}"
        found.append(LaunchFact(key=key, name=name, value=_value_in_words(value), source=_own_source(machine, key)))
    return tuple(found)


def guesses(machine: Machine) -> tuple[LaunchFact, ...]:
    """Those that a script rests on although they are guessed, or have no source at all."""
    return tuple(one for one in launch_facts(machine) if one.source is None or one.confidence in GUESSED)


def in_words(one: Inability) -> str:
    """'Reach the internet from jobs: compute nodes have no route to it. Bring …'"""
    return " ".join(filter(None, (f"{_CANNOT[one.capability]}: {one.reason}", one.instead)))


def _own_source(machine: Machine, key: str) -> Source | None:
    """The source that names this very fact, or all of them at once ('scheduler')."""
    named = [one for one in machine.sources if {key, "scheduler"} & set(facts.keys(one.part))]
    return named[0] if named else None


def _value_in_words(value: object) -> str:
    if value is True:
        return "yes"
    if value == "":
        return "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={one}" for name, one in value.items())
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value)
