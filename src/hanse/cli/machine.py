"""Which machine is meant: this one, one of the catalogue, or a description in a file of the user's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hanse.cli.home import home
from hanse.contracts.errors import UsageError

if TYPE_CHECKING:
    from hanse.contracts.machine import Calibration, Machine

LOCAL = "local"


def cached_local() -> Machine | None:
    """This machine as it was calibrated; None if it never was, or by an older Hanse that wrote it differently."""
    from pydantic import ValidationError

    from hanse.contracts.machine import Machine

    try:
        return Machine.from_json(home().local_machine.read_bytes())
    except (OSError, ValidationError):
        return None


def local() -> Machine:
    """This machine, calibrated or, until then, estimated."""
    from hanse.machines.local import local_machine

    return cached_local() or local_machine()


def keep_local(calibration: Calibration) -> Machine:
    """Remember what was measured here."""
    from hanse.machines.local import local_machine

    machine = local_machine(calibration)
    path = home().local_machine
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".new")
    scratch.write_text(machine.to_json(), encoding="utf-8")
    scratch.replace(path)
    return machine


def resolve(name: str) -> Machine:
    """The machine called `name`, or the only one whose id begins so; with a slash or a .yaml ending it is a file.

    `factory-25000-gb200` and its like are made on the spot.

    Raises:
        UsageError: there is none; the known ones and the nearest are named.
    """
    from hanse.machines import catalogue

    if name == LOCAL:
        return local()
    if "/" in name or name.endswith((".yaml", ".yml")):
        return catalogue.check(Path(name))
    if name.startswith("factory-") or any(name == one.id for one in catalogue.announced()):
        return catalogue.load(name)
    known = (LOCAL, *catalogue.ids())
    beginning = [one for one in known if one.startswith(name)]
    if name not in known and len(beginning) != 1:
        raise unknown(name, known)
    return catalogue.load(name if name in known else beginning[0])


def unknown(name: str, known: tuple[str, ...]) -> UsageError:
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1)
    return UsageError(
        f"There is no machine {name!r}." + (f" Did you mean {near[0]}?" if near else ""),
        fix=f"Known are {', '.join(known)}; 'hanse machines list' says more. A file of yours ends in .yaml.",
    )
