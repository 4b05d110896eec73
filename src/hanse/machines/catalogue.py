"""The catalogue: one YAML file a machine, in the Machine contract's own keys, each value with its source.

An operator's own file is checked by the same reader: `check(path)`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from hanse.contracts.errors import UsageError
from hanse.contracts.machine import Machine
from hanse.files import contract, document

_FOLDER: Final = Path(__file__).with_name("catalogue")


def ids() -> tuple[str, ...]:
    """Identifiers of all catalogued machines, in alphabetical order."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


def load(machine_id: str) -> Machine:
    """The catalogued machine of that id. Raises UsageError naming the nearest known id."""
    if machine_id not in ids():
        raise UsageError(
            f'no machine "{machine_id}" in the catalogue{contract.nearest(machine_id, ids())}',
            fix=f"Known: local, {', '.join(ids())}; or give the path of a machine file of your own.",
        )
    return check(_FOLDER / f"{machine_id}.yaml")


def check(path: Path) -> Machine:
    """Read a machine file. Raises one SpecError with key and line; the id must be the file's name."""
    source = document.read(path)
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
