"""The catalogue: one YAML file a machine, in the Machine contract's own keys, each value with its source.

An operator's own file is checked by the same reader: `check(path)`. Where a file says `accelerator: H100`, that row of
the table of accelerators stands in its place, with the table's sources. `factory-25000-gb200` and its like are made on
the spot (`factories`).
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

from hanse.contracts.base import Contract
from hanse.contracts.errors import UsageError
from hanse.contracts.machine import Machine
from hanse.files import contract, document
from hanse.files.document import Document
from hanse.machines import accelerators, factories

_FOLDER: Final = Path(__file__).with_name("catalogue")
_ANNOUNCED: Final = Path(__file__).with_name("announced.yaml")


class Announced(Contract):
    """A system of which too little is published to plan with."""

    id: str
    name: str
    site: str
    country: str
    state: str
    url: str
    read_on: str


class _AllAnnounced(Contract):
    systems: tuple[Announced, ...]


@cache
def ids() -> tuple[str, ...]:
    """Identifiers of all catalogued machines, in alphabetical order; factories of any size come on top of them."""
    return tuple(sorted((*(path.stem for path in _FOLDER.glob("*.yaml")), *factories.READY_MADE)))


@cache
def announced() -> tuple[Announced, ...]:
    """Systems that are known to come, without the facts a plan needs."""
    return contract.build(_AllAnnounced, document.read(_ANNOUNCED)).systems


@lru_cache(maxsize=256)
def load(machine_id: str) -> Machine:
    """The machine of that id, read once a process. Raises UsageError naming the nearest known id."""
    if factories.is_one(machine_id):
        return factories.machine(machine_id)
    if machine_id in ids():
        return check(_FOLDER / f"{machine_id}.yaml")
    for one in announced():
        if one.id == machine_id:
            raise UsageError(
                f"{one.name} ({one.site}) cannot be planned with yet: {one.state}",
                fix=f"See {one.url}; describe it in a file of your own, or plan on a machine like it.",
            )
    raise UsageError(
        f'no machine "{machine_id}" in the catalogue{contract.nearest(machine_id, ids())}',
        fix=f"Known: local, {', '.join(ids())}, factory-N-ACCELERATOR; or give the path of a machine file of your own.",
    )


def check(path: Path) -> Machine:
    """Read a machine file. Raises one SpecError with key and line; the id must be the file's name."""
    source = _spelled_out(document.read(path))
    machine = contract.build(Machine, source)
    if machine.id != path.stem:
        raise source.error(f'the file is called {path.name}, so the id must be "{path.stem}"', ("id",))
    if machine.status != "reference" and machine.scheduler.kind != "local" and not machine.sources:
        raise source.error(
            "a machine needs the sources of its facts", fix="Add sources: part, url, confidence, read_on."
        )
    names = [(partition.name, partition.qos) for partition in machine.partitions]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise source.error("this partition and qos stand twice", ("partitions", index, "name"))
    return machine


def _spelled_out(source: Document) -> Document:
    """The document with an accelerator's name replaced by its row of the table."""
    name = source.data.get("accelerator")
    if not isinstance(name, str):
        return source
    try:
        row, read = accelerators.load(name), accelerators.sources(name)
    except UsageError as error:
        raise source.error(error.what, ("accelerator",), fix=error.fix) from None
    data: dict[str, Any] = {**source.data, "accelerator": row.model_dump(mode="json")}
    given = source.data.get("sources", [])
    if isinstance(given, list):
        data["sources"] = [*given, *(one.model_dump(mode="json") for one in read)]
    return replace(source, data=data)
